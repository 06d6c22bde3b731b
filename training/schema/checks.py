"""What the parts of a config are checked with."""

from dataclasses import field
from typing import Any

from training.errors import ConfigError

AUTO = "auto"  # of optimizer.lr
ALL = "all"  # of trainer.freeze_epochs
SPLITS = ("train", "val", "test")
MOST = {"epochs": 10**6, "batch_size": 10**9, "accumulate": 10**9, "threads": 4096}  # beyond it is a slip


def outside(default: Any) -> Any:
    """A field with `default` that does not enter the identity."""
    return field(default=default, metadata={"identity": False})


def need(condition: bool, message: str) -> None:
    """Raise ConfigError(message) unless `condition` holds."""
    if not condition:
        raise ConfigError(message)


def is_range(value: Any) -> bool:
    """Whether it is [lo, hi], two finite numbers with lo < hi."""
    numbers = isinstance(value, list | tuple) and all(type(one) in (int, float) and abs(one) < 1e38 for one in value)
    return numbers and len(value) == 2 and value[0] < value[1]


def folders_of(named: Any) -> list[Any]:
    """What data.splits names for a split, one folder or several, as a list; 2019 is a folder's name too."""
    several = named if isinstance(named, list | tuple) else [named]
    return [str(one) if isinstance(one, int | float) and not isinstance(one, bool) else one for one in several]
