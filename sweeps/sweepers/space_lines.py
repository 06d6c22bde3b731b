"""Override lines as a search space: which keys are searched, and over what. Mistakes are told with their key."""

import dataclasses
import math
import types
import typing
from collections.abc import Sequence
from typing import Any

from hydra.core.config_loader import ConfigLoader
from optuna.distributions import BaseDistribution, FloatDistribution

from sweeps.hydra_glue.private import Override
from sweeps.sweepers.optuna_private import parse_lines, parse_value
from training.config import RunConfig
from training.errors import ConfigError
from training.schema.checks import need


def parse_space(
    lines: Sequence[str], loader: ConfigLoader | None = None
) -> tuple[dict[str, BaseDistribution], dict[str, Any], list[str]]:
    """The search space in override lines, the values that they fix, and lines that delete something. Of several lines
    for one key the last one holds. `loader`: knows the choices that glob(...) is about. Raises ConfigError for a range
    or choice that can't be searched, and Hydra's errors."""
    space: dict[str, BaseDistribution] = {}
    fixed: dict[str, Any] = {}
    deleted: list[str] = []
    for override in parse_lines(lines, loader):
        if override.is_delete():
            deleted.append(str(override.input_line))
            continue
        key, value = override.get_key_element(), _value(override)
        other = key[1:] if key.startswith("+") else f"+{key}"
        for known in (key, other):
            space.pop(known, None)
            fixed.pop(known, None)
        (space if isinstance(value, BaseDistribution) else fixed)[key] = value
    return space, fixed, deleted


def nested_lines(params: Any, prefix: str = "") -> list[str]:
    """The override lines of hydra.sweeper.params, of which the command line makes a tree: {optimizer: {lr: ...}}."""
    lines: list[str] = []
    for key, value in (params or {}).items():
        if isinstance(value, dict):
            lines += nested_lines(value, f"{prefix}{key}.")
        else:
            lines.append(f"{prefix}{key}={'null' if value is None else value}")
    return lines


def _value(override: Override) -> Any:
    line = str(override.input_line)
    try:
        value = parse_value(override)
    except (ValueError, AssertionError, NotImplementedError) as error:
        raise ConfigError(f"{line}: {' '.join(str(error).split())}{_hint(override)}") from error
    tags = getattr(override.value(), "tags", ())
    if override.is_range_sweep() and "log" in tags:
        raise ConfigError(f"{line}: a range goes in equal steps, which log can't; write tag(log,interval(LOW,HIGH))")
    if isinstance(value, FloatDistribution):
        need(math.isfinite(value.low) and math.isfinite(value.high), f"{line}: both ends have to be finite")
        if value.step is None and is_whole(override.key_or_group):
            ends = line.partition("=")[2]
            raise ConfigError(f"{line}: {override.key_or_group} is a whole number; write int({ends})")
    return value


def _hint(override: Override) -> str:
    """What would be right, where that is plain."""
    value: Any = override.value()
    if "glob(" in str(override.input_line):
        return f"; no choice of {override.key_or_group} matches"
    start, end = getattr(value, "start", None), getattr(value, "end", None)
    if override.is_interval_sweep() and isinstance(start, int | float) and isinstance(end, int | float):
        if start > end:
            return f"; the smaller end comes first: interval({end},{start})"
        if "log" in value.tags and start <= 0:
            return "; a logarithm needs an interval above 0"
    if override.is_range_sweep():
        return "; range(start,stop,step) leaves stop out"
    return ""


def is_whole(key: str) -> bool:
    """Whether a key of the config takes whole numbers alone."""
    kind: Any = RunConfig
    for part in key.split("."):
        kind = typing.get_type_hints(kind).get(part) if dataclasses.is_dataclass(kind) else None
    kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    return int in kinds and not {float, str} & set(kinds)
