"""What a study optimizes: figures of a record, and which way is better."""

import math
from collections.abc import Collection
from typing import Any

from training.config import TrainerConfig
from training.errors import ConfigError
from training.metrics import METRICS, all_metrics
from training.record import Record
from training.schema.checks import need

LATENCY = "latency_ms"  # is measured only where tracking.latency=true
EVERY_EPOCH = (METRICS["acc"].monitor, METRICS["loss"].monitor)  # what a run tells while it runs, besides its monitor
COSTS = {  # beside the metrics of the val images: a figure of the record, and which way is better
    "params": "minimize",
    "images_per_s": "maximize",
    "minutes": "minimize",
    LATENCY: "minimize",
}


def known(trainer: TrainerConfig | None = None) -> dict[str, str]:
    """The objectives, with maximize or minimize for each. `trainer`: with the metrics that it adds."""
    metrics = all_metrics(trainer.metrics if trainer is not None else {})
    ways = {metric.monitor: str(metric.direction) for metric in metrics.values()}
    return ways | COSTS


def check(objective: Any, trainer: TrainerConfig | None = None) -> list[str]:
    """The objectives as a list of names. Without the `trainer` of a run, a name like val_... may be that of a metric of
    the user's own. Raises ConfigError; no study may see the test set."""
    names = [objective] if isinstance(objective, str) else list(objective)
    choices = known(trainer)
    for name in names:
        need(not str(name).startswith("test"), f"hydra.sweeper.objective={name}: the test set chooses nothing")
        ok = name in choices or (trainer is None and str(name).startswith("val_"))
        need(ok, f"hydra.sweeper.objective={name}: no such objective; choose from {', '.join(choices)}")
    need(bool(names), f"hydra.sweeper.objective is empty; choose from {', '.join(choices)}")
    return names


def directions(names: list[str], trainer: TrainerConfig | None = None) -> list[str]:
    """maximize or minimize, for each objective."""
    return [known(trainer)[name] for name in names]


def check_search(names: list[str], directions: list[str], ways: list[str], prunes: bool, monitor: str) -> None:
    """Raise ConfigError where a search can't go by these objectives. `ways`: which way is better, for each."""
    ok = len(directions) == len(names)
    need(ok, f"hydra.sweeper: {len(names)} objectives, but {len(directions)} directions")
    ok = {*directions} <= {"minimize", "maximize"}
    need(ok, f"hydra.sweeper.direction={','.join(directions)}: expected minimize or maximize")
    for name, given, right in zip(names, directions, ways, strict=True):
        if given != right:
            better, other = ("higher", "loss") if right == "maximize" else ("lower", "acc")
            instead = f", or name another objective (hydra.sweeper.objective=val_{other})" if len(names) == 1 else ""
            raise ConfigError(
                f"hydra.sweeper.direction={given} contradicts the objective {name}, which is better the {better} it is:"
                f" leave direction out, it follows from the objective ({right}){instead}"
            )
    need(not (prunes and len(names) > 1), "hydra/sweeper/pruner: Optuna can't prune for several objectives")
    told = "val_acc or val_loss, or trainer.monitor"
    ok = not prunes or names[0] in {*EVERY_EPOCH, monitor}
    need(ok, f"hydra/sweeper/pruner: pruning needs an objective that every epoch tells: {told}")


def measuring(names: list[str], fixed: dict[str, Any], space: Collection[str]) -> dict[str, Any]:
    """The settings that make runs measure these objectives. Raises ConfigError where a sweep sets them otherwise."""
    if LATENCY not in names:
        return {}
    key = "tracking.latency"
    ok = key not in space and str(fixed.get(key, True)).lower() == "true"
    need(ok, f"hydra.sweeper.objective={LATENCY} needs {key}=true")
    return {key: True}


def values(record: Record, names: list[str]) -> list[float] | None:
    """The objectives' values of a finished run, or None where one is missing or not finite."""
    found = [record.figure(name) for name in names]
    finite = [float(value) for value in found if value is not None and math.isfinite(value)]
    return finite if len(finite) == len(names) else None
