"""The command of a run, and whether it would train the same config today."""

import dataclasses
import shlex
from collections.abc import Callable, Iterator
from typing import Any

from training.config import RunConfig, as_dict
from training.console.program import called
from training.provenance.differences import config_of
from training.record import Record
from training.reproducing.original import Original, overrides_of

MOST_NAMED = 5  # keys
REPLICATE = ("seed", "data.fold")  # outside the identity, but what is drawn depends on it


def command_of(original: Original) -> str | None:
    """For a shell; None where it isn't known."""
    if (kept := original.expected.get("command")) is not None:
        return str(kept)
    overrides = overrides_of(original.folder)
    if overrides is None:
        return None
    line = shlex.join([*called("train").split(), *overrides])
    return line if line.isprintable() else None


def command_today(original: Original, config_now: Callable[[list[str]], RunConfig]) -> str:
    """How the config that the command gives now differs from the recorded one, since conf/ or a recipe has changed;
    nothing where it doesn't, or the command isn't known. `config_now`: composes it."""
    overrides = overrides_of(original.folder)
    if not overrides:
        return ""
    try:
        now = config_now([line for line in overrides if not line.startswith(("hydra", "sweep.plan"))])
    except Exception as error:  # Hydra's own too: a config group that isn't there any more
        return f"command: it gives no config today: {' '.join(str(error).split())[:200]}"
    before, after = config_of(original.record), config_of(Record(config=as_dict(now)))
    ignored = set(_outside(RunConfig(), "")) - set(REPLICATE)
    keys = [key for key in before if before[key] != after.get(key) and not _is_in(key, ignored)]
    if not keys:
        return ""
    named = ", ".join(f"{key}={after.get(key)} ({before[key]} recorded)" for key in keys[:MOST_NAMED])
    more = f" and {len(keys) - MOST_NAMED} more" if len(keys) > MOST_NAMED else ""
    return f"command: today it gives another config, {named}{more}; the run was trained again with the recorded one"


def _is_in(key: str, names: set[str]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in names)


def _outside(node: Any, prefix: str) -> Iterator[str]:
    """Keys that change no result: those outside the identity, and those of which one value is as good as another."""
    for entry in dataclasses.fields(node):
        if not entry.metadata.get("identity", True) or "as_default" in entry.metadata:
            yield prefix + entry.name
        elif dataclasses.is_dataclass(value := getattr(node, entry.name)):
            yield from _outside(value, f"{prefix}{entry.name}.")
