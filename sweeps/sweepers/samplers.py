"""The sampler and the pruner that a search's config names: Optuna's, or classes of the user's own.

A sampler or pruner is a YAML file with `_target_` in hydra/sweeper/sampler or hydra/sweeper/pruner, in conf/ or in a
folder of the user's (--config-dir). The composed config is the user's own, so it may name any class.
"""

import contextlib
import functools
import math
from collections.abc import Iterator
from typing import Any

import optuna
from hydra.utils import instantiate
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from sweeps.sweepers.optuna_private import grid_choices
from sweeps.sweepers.space import Space
from training.errors import ConfigError

# These need one seed for the whole study (a low-discrepancy sequence, a shuffled grid) and find their place in it by
# themselves; all others may draw each trial with a seed of its own.
ONE_SEED = (optuna.samplers.QMCSampler, optuna.samplers.GridSampler)


def build_pruner(settings: dict[str, Any]) -> BasePruner:
    """The pruner that these settings name. Raises ConfigError."""
    pruner = _build("pruner", settings)
    if not isinstance(pruner, BasePruner):
        raise ConfigError(f"hydra/sweeper/pruner: {settings.get('_target_')} gives no optuna.pruners.BasePruner")
    trial = optuna.create_study(pruner=_build("pruner", settings)).ask()
    trial.report(0.0, 1)
    with _told_as("pruner"):  # some look at their settings only when they are asked
        trial.should_prune()
    return pruner


def prunes(settings: dict[str, Any]) -> bool:
    """Whether a pruner of these settings ends any trial."""
    return not str(settings.get("_target_")).endswith("NopPruner")


class Samplers:
    """The samplers of a study. Raises ConfigError where the config names none that fits."""

    def __init__(self, settings: dict[str, Any], space: Space) -> None:
        self.settings, self.space = settings, space
        self.points: int | None = None  # of a grid
        self.first = self._make(0)

    def after(self, trials: int) -> BaseSampler:
        """The sampler for the trial after so many others. Each trial has a seed of its own, so that neither a restart
        nor another controller draws the same again."""
        if self.settings.get("seed") is None or isinstance(self.first, ONE_SEED):
            return self.first
        return self._make(trials)

    def _make(self, shift: int) -> BaseSampler:
        settings = dict(self.settings)
        if shift:
            settings["seed"] += shift
        sampler = _build("sampler", settings)
        if isinstance(sampler, functools.partial) and sampler.func is optuna.samplers.GridSampler:
            sampler = sampler(self._grid())
        if not isinstance(sampler, BaseSampler):
            raise ConfigError(f"hydra/sweeper/sampler: {settings.get('_target_')} gives no optuna.samplers.BaseSampler")
        return sampler

    def _grid(self) -> dict[str, list[Any]]:
        try:
            grid = {name: grid_choices(distribution) for name, distribution in self.space.items()}
        except ValueError as error:
            raise ConfigError(f"hydra/sweeper/sampler=grid: {error} Write choice(...) or range(...)") from error
        self.points = math.prod(len(choices) for choices in grid.values())
        return grid


def _build(group: str, settings: dict[str, Any]) -> Any:
    with _told_as(group):
        return instantiate(settings, _execution_whitelist_=tuple(_targets(settings)))


@contextlib.contextmanager
def _told_as(group: str) -> Iterator[None]:
    """Whatever a class makes of settings that it can't take is the user's mistake."""
    try:
        yield
    except Exception as error:
        cause = error.__cause__ or error
        raise ConfigError(f"hydra/sweeper/{group}: {type(cause).__name__}: {' '.join(str(cause).split())}") from error


def _targets(node: Any) -> Iterator[str]:
    """All `_target_`s in these settings."""
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    if isinstance(node, dict) and "_target_" in node:
        yield str(node["_target_"])
    for child in children:
        yield from _targets(child)
