"""What a study optimizes: figures of a record, and which way is better."""

import math
from typing import Any

from training.config import need

# name: (where in the record, better is)
OBJECTIVES = {
    "val_acc": (("val", "acc"), "maximize"),
    "val_loss": (("val", "loss"), "minimize"),
    "val_balanced_acc": (("val", "balanced_acc"), "maximize"),
    "val_macro_f1": (("val", "macro_f1"), "maximize"),
    "params": (("params",), "minimize"),
    "images_per_s": (("time", "images_per_s"), "maximize"),
    "minutes": (("time", "minutes"), "minimize"),
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
    return [OBJECTIVES[name][1] for name in names]


def values(record: dict[str, Any], names: list[str]) -> list[float] | None:
    """The objectives' values of a finished run, or None where one is missing or not finite."""
    found = []
    for name in names:
        node: Any = record
        for key in OBJECTIVES[name][0]:
            node = (node or {}).get(key)
        if not isinstance(node, int | float) or not math.isfinite(node):
            return None
        found.append(float(node))
    return found
