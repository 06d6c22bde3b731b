"""The metrics, in one table: which there are, which way is better, and the function of each. Without torch.

A line in METRICS is all that a metric of finegrid's own takes: it can then be monitored (trainer.monitor=val_NAME), is
an objective of a search, a key of `val` and `test` in the record, a column val_NAME and test_NAME of the data that
analysis.load gives, and a TensorBoard scalar NAME/val. One of a user's own is the same by the config,
trainer.metrics.NAME={_target_: module.function, direction: maximize}, whose other keys go to the function.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from training.errors import ConfigError

Direction = Literal["maximize", "minimize"]
RESERVED = ("n", "per_class_acc")  # keys beside the metrics in a record's val and test


@dataclass(frozen=True)
class Metric:
    """A number that is said about a set of predictions."""

    name: str
    direction: Direction
    target: str  # dotted name of a function of training.engine.predictions.Predictions
    kwargs: dict[str, Any] = field(default_factory=dict)

    @property
    def sign(self) -> int:
        """1 where higher is better, else -1."""
        return 1 if self.direction == "maximize" else -1

    @property
    def monitor(self) -> str:
        """What it is called where a run or a search goes by it, and in history.csv."""
        return f"val_{self.name}"


TABLE = (
    Metric("acc", "maximize", "training.engine.predictions.accuracy"),
    Metric("loss", "minimize", "training.engine.predictions.cross_entropy"),
    Metric("balanced_acc", "maximize", "training.engine.predictions.balanced_accuracy"),
    Metric("macro_f1", "maximize", "training.engine.predictions.macro_f1"),
)
METRICS = {metric.name: metric for metric in TABLE}


def own_metrics(config: Mapping[str, Any]) -> dict[str, Metric]:
    """The metrics that trainer.metrics adds, by name. Raises ConfigError."""
    return {name: _own(name, given) for name, given in config.items()}


def all_metrics(config: Mapping[str, Any]) -> dict[str, Metric]:
    """The table with those that trainer.metrics adds, by name. Raises ConfigError."""
    return METRICS | own_metrics(config)


def check_monitor(monitor: str, config: Mapping[str, Any]) -> None:
    """Raise ConfigError unless `monitor` is a metric of the val images."""
    known = [metric.monitor for metric in all_metrics(config).values()]
    if monitor not in known:
        raise ConfigError(f"trainer.monitor={monitor}: no such metric; choose from {', '.join(known)}")


def _own(name: str, given: Any) -> Metric:
    key = f"trainer.metrics.{name}"
    if name in METRICS or name in RESERVED or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ConfigError(f"{key}: expected a new name of small letters, digits and _")
    settings = dict(given) if isinstance(given, Mapping) else {}
    target, direction = settings.pop("_target_", None), settings.pop("direction", "maximize")
    if not isinstance(target, str):
        raise ConfigError(f"{key}={given}: expected {{_target_: module.function, direction: maximize or minimize}}")
    if direction not in ("maximize", "minimize"):
        raise ConfigError(f"{key}.direction={direction}: expected maximize or minimize")
    return Metric(name, direction, target, {str(name): value for name, value in settings.items()})
