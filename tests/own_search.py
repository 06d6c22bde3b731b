"""A pruner and a sampler of a user's own, which a YAML file outside of finegrid names."""

from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial


class After(optuna.pruners.BasePruner):
    """Ends every trial after so many epochs."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        return (trial.last_step or 0) >= self.epochs


class Fixed(optuna.samplers.BaseSampler):
    """Draws the same value every time."""

    def __init__(self, value: float) -> None:
        self.value = value

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution) -> float:
        return self.value
