"""Private parts of Optuna and of hydra-optuna-sweeper, all of them that finegrid uses. Import them from here.

A new version may change them without notice: tests/sweeps/test_private_parts.py tries each and says by name what broke.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.utils import instantiate
from hydra_plugins.hydra_optuna_sweeper._impl import OptunaSweeperImpl, create_optuna_distribution_from_override
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import GridSampler
from optuna.storages.journal import JournalFileSymlinkLock
from optuna.study import Study
from optuna.trial import FixedTrial, FrozenTrial, Trial, TrialState

from training.errors import ConfigError

__all__ = ["OptunaSweeperImpl"]


def parse_lines(lines: Sequence[str], loader: ConfigLoader | None) -> list[Override]:
    """Override lines, parsed. `loader`: knows the choices that glob(...) is about. Raises Hydra's errors."""
    return OverridesParser.create(config_loader=loader).parse_overrides(list(lines))


def parse_value(override: Override) -> Any:
    """What an override searches, a distribution, or the text of the value that it fixes. Raises ValueError,
    AssertionError and NotImplementedError for what Optuna can't search."""
    if isinstance(override.value(), Glob):
        return CategoricalDistribution([str(choice) for choice in override.sweep_iterator()])
    return create_optuna_distribution_from_override(override)


def directions_of(sweeper: OptunaSweeperImpl) -> list[str]:
    """Its `direction`, whichever way it was written, as a list of names."""
    return sweeper._get_directions()


def suggest(sweeper: OptunaSweeperImpl, trial: Any, space: dict[str, BaseDistribution], fixed: dict[str, Any]) -> None:
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


def mark_waiting(study: Study, trial: FrozenTrial, marks: dict[str, Any]) -> None:
    """Write who is about to take a waiting trial. One that another program takes at this moment may be over already."""
    with contextlib.suppress(UpdateFinishedTrialError):
        for key, value in marks.items():
            study._storage.set_trial_user_attr(trial._trial_id, key, value)


def try_lock(lock: JournalFileSymlinkLock) -> bool:
    """Take the lock of a journal, unless another has it. Raises OSError."""
    try:
        Path(lock._lock_file).symlink_to(lock._lock_target_file)
    except FileExistsError:
        return False
    return True


def is_enqueued(study: Study, point: dict[str, Any]) -> bool:
    """Whether a trial of the study was enqueued as, or drew, exactly this point."""
    return study._should_skip_enqueue(point)


class NotDrawn(Exception):
    """A parameter is asked for that an earlier trial did not have."""


class Replay(FixedTrial):
    """An earlier trial's values as a trial: what is asked of it is kept in `asked`."""

    def __init__(self, values: dict[str, Any], number: int) -> None:
        super().__init__(values, number)
        self.values = values
        self.asked: dict[str, BaseDistribution] = {}

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        self.asked[name] = distribution
        if name not in self.values:
            raise NotDrawn(name)
        return super()._suggest(name, distribution)


class Grid(GridSampler):
    """Optuna's, which would draw a point twice that was enqueued, and stop a study that is not its own to stop."""

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Give the trial its point: the enqueued one, that of its number, or the first that no trial has. One that is
        taken over from a controller that died keeps its own."""
        if "grid_id" in trial.system_attrs:
            return
        told = trial.system_attrs.get("fixed_params")
        points = [dict(zip(self._param_names, point, strict=True)) for point in self._all_grids]
        if told is not None:
            chosen = next((number for number, point in enumerate(points) if point == told), None)
        else:
            trials = study._storage.get_all_trials(study._study_id, deepcopy=False)
            begun = [one for one in trials if one.state is not TrialState.WAITING]
            taken = {one.system_attrs.get("grid_id") for one in begun}
            free = [number for number in range(len(points)) if number not in taken]
            chosen = trial.number if trial.number in free else (free or [0])[0]
        if chosen is not None:
            study._storage.set_trial_system_attr(trial._trial_id, "search_space", self._search_space)
            study._storage.set_trial_system_attr(trial._trial_id, "grid_id", chosen)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Nothing: the search counts its trials itself."""


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


def stock_sweeper(settings: dict[str, Any]) -> OptunaSweeperImpl:
    """hydra-optuna-sweeper's own sweeper. Raises ConfigError for a custom_search_space that isn't there."""
    name = settings["custom_search_space"]
    sweeper = OptunaSweeperImpl(sampler=None, **{**settings, "custom_search_space": None})
    if name:
        try:  # the config is the user's own and may name any function; Hydra would warn of that in eight lines
            sweeper.custom_search_space_extender = instantiate(
                {"_target_": name, "_partial_": True}, _execution_whitelist_=(name,)
            )
        except Exception as error:
            cause = " ".join(str(error.__cause__ or error).split())
            raise ConfigError(f"hydra.sweeper.custom_search_space={name}: {cause}") from error
    return sweeper
