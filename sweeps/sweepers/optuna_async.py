"""hydra/sweeper=optuna_async: Optuna's ask and tell, one trial for one free slot.

Takes what hydra-optuna-sweeper takes (search space syntax, samplers, config keys) and adds pruning, restarts, known
results, several objectives, and a confirmation of the best with further seeds.
"""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import MISSING, DictConfig

from training.config import need


@dataclass
class PrunerConfig:
    """hydra/sweeper/pruner=none"""

    _target_: str = "optuna.pruners.NopPruner"


@dataclass
class MedianPrunerConfig(PrunerConfig):
    """Stop what is worse than the median of earlier trials at the same epoch."""

    _target_: str = "optuna.pruners.MedianPruner"
    n_startup_trials: int = 5
    n_warmup_steps: int = 0
    interval_steps: int = 1
    n_min_trials: int = 1


@dataclass
class SuccessiveHalvingPrunerConfig(PrunerConfig):
    """Asynchronous successive halving (Li et al. 2018, arXiv 1810.05934); resources are epochs."""

    _target_: str = "optuna.pruners.SuccessiveHalvingPruner"
    min_resource: int = 1
    reduction_factor: int = 3
    min_early_stopping_rate: int = 0
    bootstrap_count: int = 0


@dataclass
class HyperbandPrunerConfig(PrunerConfig):
    """Hyperband (Li et al. 2016, arXiv 1603.06560); resources are epochs."""

    _target_: str = "optuna.pruners.HyperbandPruner"
    min_resource: int = 1
    max_resource: Any = "${trainer.epochs}"
    reduction_factor: int = 3
    bootstrap_count: int = 0


@dataclass
class ConfirmConfig:
    """Run the best configurations again with further seeds: the best of one seed is partly luck."""

    top: int = 0
    seeds: list[int] = field(default_factory=list)


@dataclass
class OptunaAsyncConfig:
    """hydra/sweeper=optuna_async"""

    _target_: str = "sweeps.sweepers.optuna_async.OptunaAsyncSweeper"
    defaults: list[Any] = field(default_factory=lambda: [{"sampler": "tpe"}, {"pruner": "none"}])
    sampler: Any = MISSING
    pruner: Any = MISSING
    objective: Any = None  # a name or a list of them; null: trainer.monitor
    direction: Any = None  # null: follows from the objective
    storage: Any = None  # an Optuna URL; null: a journal file in the sweep's folder
    study_name: str | None = None  # null: the sweep's name
    n_trials: int = 20  # the study's total, over restarts and controllers
    n_jobs: int = 2  # trials in a batch, under Hydra's own launchers only
    max_failure_rate: float = 1.0  # the sweep ends when more of its trials have failed
    params: dict[str, Any] | None = None
    custom_search_space: str | None = None
    enqueue: list[str] = field(default_factory=list)  # override lines of known good points, tried first
    confirm: ConfirmConfig = field(default_factory=ConfirmConfig)


store = ConfigStore.instance()
store.store(group="hydra/sweeper", name="optuna_async", node=OptunaAsyncConfig, provider="finegrid")
for name, node in {
    "none": PrunerConfig,
    "median": MedianPrunerConfig,
    "successive_halving": SuccessiveHalvingPrunerConfig,
    "hyperband": HyperbandPrunerConfig,
}.items():
    store.store(group="hydra/sweeper/pruner", name=name, node=node, provider="finegrid")


class OptunaAsyncSweeper(Sweeper):
    """The plugin's face: light to import. What it does stands in sweeps/sweepers/search.py."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the searcher, which makes the launcher. Raises ConfigError."""
        from sweeps.sweepers.search import Search

        settings = dict(self.settings)
        top, seeds = settings["confirm"]["top"], list(settings["confirm"]["seeds"])
        need(top >= 0 and (not top or bool(seeds)), "hydra.sweeper.confirm needs top of 0 or more, and seeds")
        settings["confirm"] = (top, seeds)
        self.search = Search(**settings)
        self.search.setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def sweep(self, arguments: list[str]) -> Any:
        """Search. Raises ConfigError before anything starts, SweepEnded after failures."""
        return self.search.sweep(arguments)
