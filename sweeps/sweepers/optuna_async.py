"""hydra/sweeper=optuna_async: Optuna's ask and tell, one trial for one free slot.

Takes what hydra-optuna-sweeper takes (search space syntax, samplers, config keys) and adds pruning, restarts, known
results, several objectives, and a confirmation of the best with further seeds.
"""

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import MISSING, DictConfig

from training.schema.checks import need

if TYPE_CHECKING:
    from sweeps.sweepers.search import Search


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
    direction: Any = None  # null: follows from the objective, and must not contradict it; a list for several
    directions: Any = None  # the same under the name that Optuna has for several objectives
    storage: Any = None  # an Optuna URL; null: a journal file in the sweep's folder
    study_name: str | None = None  # null: the sweep's name
    n_trials: int = 20  # the study's total, over restarts and controllers
    n_jobs: int = 2  # trials in a batch, under Hydra's own launchers only
    max_failure_rate: float = 1.0  # the sweep ends when more of its trials have failed
    params: dict[str, Any] | None = None
    custom_search_space: str | None = None
    enqueue: list[str] = field(default_factory=list)  # override lines of known good points, tried first
    confirm: ConfirmConfig = field(default_factory=ConfirmConfig)


ConfigStore.instance().store(
    group="hydra/sweeper", name="optuna_async", node=OptunaAsyncConfig, provider="finegrid"
)  # its pruners: conf/hydra/sweeper/pruner


ELSEWHERE = {  # keys of older versions and of Optuna, with what does the same here
    "search_space": "write 'optimizer.lr=tag(log,interval(1e-4,1e-2))', or in a recipe such lines below params:",
    "timeout": "sweep.max_hours=H ends a sweep",
}


class OptunaAsyncSweeper(Sweeper):
    """The class that Hydra finds, light to import: sweeps/sweepers/search.py does the work, and imports Optuna."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.search: Search | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the searcher, which makes the launcher. Raises ConfigError."""
        from sweeps.sweepers.search import Search

        settings = dict(self.settings)
        known = [field.name for field in fields(OptunaAsyncConfig)]
        for name in settings:  # by +hydra.sweeper.NAME=... on the command line
            hint = ELSEWHERE.get(name, f"choose from {', '.join(known[2:])}")
            need(name in known, f"hydra.sweeper.{name}: no such key; {hint}")
        top, seeds = settings["confirm"]["top"], list(settings["confirm"]["seeds"])
        need(top >= 0 and (not top or bool(seeds)), "hydra.sweeper.confirm needs top of 0 or more, and seeds")
        settings["confirm"] = (top, seeds)
        several = settings.pop("directions", None)
        need(several is None or settings["direction"] is None, "hydra.sweeper: give direction or directions, not both")
        settings["direction"] = settings["direction"] if several is None else several
        self.search = Search(**settings)
        self.search.setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def sweep(self, arguments: list[str]) -> Any:
        """Search. Raises ConfigError before anything starts, SweepEnded after failures."""
        assert self.search is not None, "Hydra calls setup first"
        return self.search.sweep(arguments)
