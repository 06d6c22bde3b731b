"""Enqueued points: override lines as points of a search space, that of custom_search_space included."""

import shlex
from collections.abc import Callable
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial

from sweeps.hydra_glue.private import Override, parse_overrides
from sweeps.sweepers.optuna_private import contains
from sweeps.sweepers.space import Point, Space
from training.errors import ConfigError
from training.schema.checks import need

DRAWS = 20  # to find the branch of a custom space in which a name is suggested
Suggest = Callable[[Any], None]


def points(lines: list[str], space: Space, draw: Suggest | None) -> list[Point]:
    """The points of hydra.sweeper.enqueue, perhaps not in all their dimensions. `draw`: suggests a trial's parameters,
    where there is a custom_search_space. Raises ConfigError."""
    return [_point(line, space, draw) for line in lines]


def _point(line: str, space: Space, draw: Suggest | None) -> Point:
    given = {override.get_key_element(): override for override in parse_overrides(shlex.split(line))}
    known = dict(space)
    if draw is not None and not given.keys() <= known.keys():
        known |= _custom(given, space, draw)
    for name in given:
        need(name in known, f"hydra.sweeper.enqueue: {name} is not in the search space ({', '.join(known)})")
    return {name: _checked(name, override, known[name]) for name, override in given.items()}


def _custom(given: dict[str, Override], space: Space, draw: Suggest) -> Space:
    """What a trial with these values is asked for."""
    values = {name: _checked(name, item, space[name]) for name, item in given.items() if name in space}
    found: Space = {}
    for seed in range(DRAWS):
        found |= drawn(draw, values, seed).distributions
        for name in given.keys() & found.keys() - values.keys():  # which may lead to further names
            values[name] = _checked(name, given[name], found[name])
        if given.keys() <= found.keys():
            break
    return found


def drawn(draw: Suggest, values: Point, seed: int = 0) -> FrozenTrial:
    """A trial at random, but for these values. Raises what `draw` raises."""
    study = optuna.create_study(sampler=RandomSampler(seed=seed))
    study.enqueue_trial(values)
    draw(study.ask())
    return study.trials[0]


def _checked(name: str, override: Override, distribution: BaseDistribution) -> Any:
    value: Any = override.value()
    if isinstance(distribution, CategoricalDistribution):
        text = override.get_value_element_as_str()
        same = [choice for choice in distribution.choices if str(choice) == text or choice == value]
        need(bool(same), f"hydra.sweeper.enqueue: {name}={text} is not among {distribution.choices}")
        return same[0]
    if not (isinstance(value, int | float) and contains(distribution, value)):
        raise ConfigError(f"hydra.sweeper.enqueue: {name}={value} lies outside of {distribution}")
    return value
