"""A study's search space: its points as override lines, its corners, and what about it must not change."""

import dataclasses
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from optuna.distributions import BaseDistribution, CategoricalDistribution, distribution_to_json

from sweeps.plan.jobs import Job
from sweeps.sweepers.space_lines import parse_space
from training.errors import ConfigError

Space = dict[str, BaseDistribution]
Point = dict[str, Any]
FINGERPRINT = "the data's fingerprint"  # among the settings that a study keeps
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


def search_space(lines: Sequence[str], loader: ConfigLoader | None = None) -> SearchSpace:
    """The search space in override lines; of several for one key the command line's, which comes last, wins. Raises
    ConfigError and Hydra's errors."""
    return SearchSpace(*parse_space(lines, loader))


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


def describe(space: Space, objective: list[str], first: Job) -> dict[str, Any]:
    """What must not change under a study, as JSON: objectives, search space, and all else that makes a result, as it
    is at the first corner."""
    assert first.prepared is not None
    settings = dict(_settings(first.run)) | {"seed": str(first.run.seed), "data.fold": str(first.run.data.fold)}
    resolved = first.prepared.resolved
    settings |= {FINGERPRINT: resolved.fingerprint, "the weights": resolved.weights}
    search = {name: json.loads(distribution_to_json(item)) for name, item in space.items()}
    return {"objective": objective, "search": search, "settings": settings}


def _settings(node: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    for field in dataclasses.fields(node):
        value = getattr(node, field.name)
        if not field.metadata.get("identity", True):
            continue
        if dataclasses.is_dataclass(value):
            yield from _settings(value, f"{prefix}{field.name}.")
        else:  # values that come to the same as the default are no change
            same = value in field.metadata.get("as_default", ())
            yield prefix + field.name, str(field.default if same else value)


def check_same(name: str, old: dict[str, Any], new: dict[str, Any], read_before: Mapping[str, str]) -> None:
    """Raise ConfigError where a study was made for something else than what is asked of it now. `read_before`: how
    earlier versions read the images of now, by the fingerprint that this gave."""
    if change := _difference(old, new):
        if why := read_before.get(old["settings"].get(FINGERPRINT, "")):
            change = f"it was made with {why}, which are read in another way now ({change})"
        raise changed(name, change)


def changed(name: str, change: str) -> ConfigError:
    """What is told of a study that was made for something else."""
    way_out = f"choose another sweep.name (or hydra.sweeper.study_name), or remove study {name}"
    return ConfigError(f"the search space of study {name} has changed: {change}; {way_out}")


def difference(was: Space, now: Space) -> str:
    """The first parameter that is drawn from something else, in words; "" where there is none."""
    for name in {**was, **now}:
        if was.get(name) != now.get(name):
            old, new = (_as_json(space.get(name)) for space in (was, now))
            return f"{name} was {_short(old)}, now {_short(new)}"
    return ""


def _as_json(distribution: BaseDistribution | None) -> Any:
    return json.loads(distribution_to_json(distribution)) if distribution is not None else None


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
    shown = {key: item for key, item in value["attributes"].items() if item is not None and item is not False}
    return ", ".join(f"{key} {item}" for key, item in shown.items())
