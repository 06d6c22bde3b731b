"""How a data set's files differ from what this process found when it opened them."""

from collections.abc import Collection

from training.data.dataset import contents
from training.errors import ConfigError
from training.schema.data_config import DataConfig


def since_planned(config: DataConfig) -> str:
    """How the images differ from what open_dataset(config) gave in this process; empty where they don't."""
    before = contents(config)
    try:
        after = contents(config, again=True)
    except ConfigError as error:
        return str(error)
    added, removed = after.keys() - before.keys(), before.keys() - after.keys()
    both = before.keys() & after.keys()
    replaced = {name for name in both if before[name][2] != after[name][2]}
    moved = {name for name in both - replaced if before[name] != after[name]}
    parts = [
        _count(added, "added"),
        _count(removed, "removed"),
        _count(replaced, "replaced by other pixels"),
        _count(moved, "in another class or split"),
    ]
    return "; ".join(part for part in parts if part)


def replaced_since_opened(config: DataConfig) -> str:
    """Which files that a run reads have other pixels now than when it began; empty where none has. Raises ConfigError
    where they can't be looked at."""
    before, after = contents(config), contents(config, again=True)
    replaced = {name for name in before.keys() & after.keys() if before[name][2] != after[name][2]}
    return _count(replaced, "replaced by other pixels")


def _count(names: Collection[str], what: str) -> str:
    return f"{len(names)} {what}, first: {min(names)}" if names else ""
