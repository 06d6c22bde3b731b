"""A study's search space: its points as override lines, its corners, and what about it must not change."""

import dataclasses
import itertools
import json
import math
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, distribution_to_json

from sweeps.hydra_glue.private import parse_overrides
from sweeps.plan.jobs import Job
from sweeps.sweepers.optuna_private import contains, parse_space
from training.config import need
from training.errors import ConfigError

Space = dict[str, BaseDistribution]
Point = dict[str, Any]
MANY = 48  # combinations of choices beyond which each choice is looked at once


@dataclass(frozen=True)
class SearchSpace:
    """What is searched, and what is the same in all trials: values by their key, and lines that delete something."""

    searched: Space
    fixed: dict[str, Any]
    fixed_overrides: list[str]

    def overrides(self, values: Point) -> list[str]:
        """The override lines of a trial with these parameters."""
        texts = {name: "null" if value is None else value for name, value in {**values, **self.fixed}.items()}
        return [*(f"{name}={text}" for name, text in texts.items()), *self.fixed_overrides]


def search_space(lines: Sequence[str]) -> SearchSpace:
    """The search space in override lines; of several for one key the command line's, which comes last, wins. Raises
    Hydra's errors, and ValueError for a range without values."""
    space, fixed, fixed_overrides = parse_space(lines)
    return SearchSpace({key: item for key, item in space.items() if key not in fixed}, fixed, fixed_overrides)


def corners(space: Space) -> Iterator[Point]:
    """Points that together show whether every choice composes: the combinations of all choices where those are few,
    and each end of a range. The first is every parameter's first value."""
    ends = {name: _ends(distribution) for name, distribution in space.items()}
    first = {name: values[0] for name, values in ends.items()}
    choices = {name: ends[name] for name, item in space.items() if isinstance(item, CategoricalDistribution)}
    yield first
    if few := math.prod(len(values) for values in choices.values()) <= MANY:
        for combination in itertools.islice(itertools.product(*choices.values()), 1, None):
            yield first | dict(zip(choices, combination, strict=True))
    for name, values in ends.items():
        for value in values[1:] if not (few and name in choices) else []:
            yield first | {name: value}


def choices_of(space: SearchSpace, name: str) -> tuple[Any, ...]:
    """The values that a parameter may take; none where it isn't searched, or in a range."""
    item = space.searched.get(name)
    return tuple(value for value in item.choices if value) if isinstance(item, CategoricalDistribution) else ()


def _ends(distribution: BaseDistribution) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    return [distribution.low, distribution.high]  # type: ignore[attr-defined]


def point(line: str, space: Space) -> Point:
    """An override line as a point of the search space, perhaps not in all its dimensions. Raises ConfigError."""
    found: Point = {}
    for override in parse_overrides(shlex.split(line)):
        name, value = override.get_key_element(), override.value()
        need(name in space, f"hydra.sweeper.enqueue: {name} is not in the search space ({', '.join(space)})")
        distribution = space[name]
        if isinstance(distribution, CategoricalDistribution):
            text = override.get_value_element_as_str()
            same = [choice for choice in distribution.choices if str(choice) == text or choice == value]
            need(bool(same), f"hydra.sweeper.enqueue: {name}={text} is not among {distribution.choices}")
            value = same[0]
        else:
            ok = isinstance(value, int | float) and contains(distribution, value)
            need(ok, f"hydra.sweeper.enqueue: {name}={value} lies outside of {distribution}")
        found[name] = value
    return found


def describe(space: Space, objective: list[str], first: Job) -> dict[str, Any]:
    """What must not change under a study, as JSON: objectives, search space, and all else that makes a result, as it
    is at the first corner."""
    assert first.prepared is not None
    settings = dict(_settings(first.run)) | {"seed": str(first.run.seed), "data.fold": str(first.run.data.fold)}
    resolved = first.prepared.resolved
    settings |= {"the data's fingerprint": resolved.fingerprint, "the weights": resolved.weights}
    search = {name: json.loads(distribution_to_json(item)) for name, item in space.items()}
    return {"objective": objective, "search": search, "settings": settings}


def _settings(node: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    for field in dataclasses.fields(node):
        value = getattr(node, field.name)
        if not field.metadata.get("identity", True):
            continue
        if dataclasses.is_dataclass(value):
            yield from _settings(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, str(value)


def check_same(name: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raise ConfigError where a study was made for something else than what is asked of it now."""
    change = _difference(old, new)
    if change:
        way_out = f"choose another sweep.name (or hydra.sweeper.study_name), or remove study {name}"
        raise ConfigError(f"the search space of study {name} has changed: {change}; {way_out}")


def _difference(old: dict[str, Any], new: dict[str, Any]) -> str:
    if old["objective"] != new["objective"]:
        return f"objective was {', '.join(old['objective'])}, now {', '.join(new['objective'])}"
    for key in {**old["search"], **new["search"]}:
        was, now = old["search"].get(key), new["search"].get(key)
        if was != now:
            return f"{key} was {_short(was)}, now {_short(now)}"
    for key, was in old["settings"].items():
        now = new["settings"].get(key, was)  # a setting that a newer version no longer has
        if was != now:
            return f"{key} was {was}, now {now}"
    return ""


def _short(value: Any) -> str:
    if value is None:
        return "not searched"
    shown = {key: item for key, item in value["attributes"].items() if item not in (None, False)}
    return ", ".join(f"{key} {item}" for key, item in shown.items())
