"""Private parts of Optuna and of hydra-optuna-sweeper, all of them that finegrid uses. Import them from here.

A new version may change them without notice: tests/sweeps/test_private_parts.py tries each and says by name what broke.
"""

from collections.abc import Sequence
from typing import Any

from hydra_plugins.hydra_optuna_sweeper._impl import OptunaSweeperImpl, create_params_from_overrides
from optuna.distributions import BaseDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial

__all__ = ["OptunaSweeperImpl"]


def parse_space(lines: Sequence[str]) -> tuple[dict[str, BaseDistribution], dict[str, Any], list[str]]:
    """The search space in override lines, the parameters that they fix, and lines that delete something."""
    return create_params_from_overrides(list(lines))


def directions_of(sweeper: OptunaSweeperImpl) -> list[str]:
    """Its `direction`, whichever way it was written, as a list of names."""
    return sweeper._get_directions()


def suggest(
    sweeper: OptunaSweeperImpl, trial: Trial, space: dict[str, BaseDistribution], fixed: dict[str, Any]
) -> None:
    """Draw this trial's parameters, those of hydra.sweeper.custom_search_space too, which may look at what is fixed.

    Raises ValueError where both set the same parameter, and whatever the user's own function raises.
    """
    told = fixed if sweeper.custom_search_space_extender else {}  # each costs a write to the storage
    sweeper._configure_trials([trial], space, told, [])


def grid_choices(distribution: BaseDistribution) -> list[Any]:
    """All values of a discrete distribution. Raises ValueError for a continuous one."""
    return list(OptunaSweeperImpl._to_grid_sampler_choices(distribution))


def contains(distribution: BaseDistribution, value: float) -> bool:
    """Whether a numerical distribution can give this value."""
    return distribution._contains(value)


def take_up(study: Study, running: FrozenTrial) -> Trial:
    """A trial that is under way in the storage, to go on with. Where its controller died while it drew the parameters,
    the sampler is brought to where it was, so that the others are drawn as they would have been."""
    if not running.params:
        study.sampler.before_trial(study, running)  # as `ask` does, which may not have come to it
    trial = Trial(study, running._trial_id)
    drawn = {} if running.intermediate_values else running.distributions
    for name, distribution in drawn.items():
        given = name in trial._fixed_params or distribution.single()
        if not given and not trial._is_relative_param(name, distribution):
            study.sampler.sample_independent(study, running, name, distribution)
    return trial
