"""What a study optimizes: figures of a record, and which way is better."""

import math
from collections.abc import Collection
from typing import Any

from training.config import need
from training.record import Record

LATENCY = "latency_ms"  # is measured only where tracking.latency=true
EVERY_EPOCH = ("val_acc", "val_loss")  # what a run tells while it runs, besides its monitor
OBJECTIVES = {  # a figure of the record, and which way is better
    "val_acc": "maximize",
    "val_loss": "minimize",
    "val_balanced_acc": "maximize",
    "val_macro_f1": "maximize",
    "params": "minimize",
    "images_per_s": "maximize",
    "minutes": "minimize",
    LATENCY: "minimize",
}


def check(objective: Any) -> list[str]:
    """The objectives as a list of names. Raises ConfigError; no study may see the test set."""
    names = [objective] if isinstance(objective, str) else list(objective)
    known = ", ".join(OBJECTIVES)
    for name in names:
        need(not str(name).startswith("test"), f"hydra.sweeper.objective={name}: the test set chooses nothing")
        need(name in OBJECTIVES, f"hydra.sweeper.objective={name}: no such objective; choose from {known}")
    need(bool(names), f"hydra.sweeper.objective is empty; choose from {known}")
    return names


def directions(names: list[str]) -> list[str]:
    """maximize or minimize, for each objective."""
    return [OBJECTIVES[name] for name in names]


def check_search(names: list[str], directions: list[str], prunes: bool, monitor: str) -> None:
    """Raise ConfigError where a search can't go by these objectives."""
    ok = len(directions) == len(names)
    need(ok, f"hydra.sweeper: {len(names)} objectives, but {len(directions)} directions")
    ok = {*directions} <= {"minimize", "maximize"}
    need(ok, f"hydra.sweeper.direction={','.join(directions)}: expected minimize or maximize")
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
    known = [float(value) for value in found if value is not None and math.isfinite(value)]
    return known if len(known) == len(names) else None
