"""The sampler and the pruner that a search's config names: Optuna's, or classes of the user's own.

A sampler or pruner is a YAML file with `_target_` in hydra/sweeper/sampler or hydra/sweeper/pruner, in conf/ or in a
folder of the user's (--config-dir). The composed config is the user's own, so it may name any class.
"""

import contextlib
import functools
import importlib.util
import logging
import math
import re
import warnings
from collections.abc import Iterator
from typing import Any

import optuna
from hydra.utils import instantiate
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from sweeps.sweepers.optuna_private import Grid, grid_choices
from sweeps.sweepers.points import Suggest
from sweeps.sweepers.space import Space
from training.errors import ConfigError

# These need one seed for the whole study (a low-discrepancy sequence, a shuffled grid) and find their place in it by
# themselves; all others may draw each trial with a seed of its own.
ONE_SEED = (optuna.samplers.QMCSampler, optuna.samplers.GridSampler)

PACKAGES = {  # what Optuna imports only when it is needed, after the first trials have been paid for
    "CmaEsSampler": ("cmaes",),
    "GPSampler": ("scipy", "torch"),
    "QMCSampler": ("scipy",),
    "WilcoxonPruner": ("scipy",),
    "TerminatorPruner": ("scipy", "torch"),
}
LEAST = {  # what Optuna takes without a word, and what breaks or misleads a search below it
    "n_startup_trials": 0,
    "n_warmup_steps": 0,
    "n_ei_candidates": 1,
    "population_size": 2,
    "popsize": 2,
    "n_min_trials": 1,
    "interval_steps": 1,
    "bootstrap_count": 0,
}


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

    def check_points(self, points: list[dict[str, Any]]) -> None:
        """Raise ConfigError for an enqueued point that a grid can't place."""
        for point in points if isinstance(self.first, Grid) else []:
            lacking = [name for name in self.space if name not in point]
            if lacking:
                raise ConfigError(f"hydra.sweeper.enqueue: with sampler=grid a point needs all keys, {lacking[0]} too")

    def try_out(self, directions: list[str], draw: Suggest) -> None:
        """Have the sampler draw two trials after a few finished ones, in memory: what it can't do, or lacks, shows here
        and not after trials that were paid for. Raises ConfigError."""
        settings = dict(self.settings)
        if isinstance(settings.get("n_startup_trials"), int):
            settings["n_startup_trials"] = min(1, settings["n_startup_trials"])
        study = optuna.create_study(directions=directions, sampler=optuna.samplers.RandomSampler(seed=0))  # type: ignore[arg-type]
        with _told_as("sampler"), _quiet():
            for number in range(5):
                if number == 3:
                    study.sampler = self._make(0, settings)
                trial = study.ask()
                draw(trial)
                try:
                    study.tell(trial, [float(number)] * len(directions))
                except RuntimeError as error:  # BruteForceSampler stops a small study; outside of optimize it can't
                    if "Study.stop" not in str(error):
                        raise

    def _make(self, shift: int, settings: dict[str, Any] | None = None) -> BaseSampler:
        settings = dict(settings or self.settings)
        if shift:
            settings["seed"] += shift
        sampler = _build("sampler", settings)
        if isinstance(sampler, functools.partial) and sampler.func is optuna.samplers.GridSampler:
            sampler = Grid(self._grid(), *sampler.args, **sampler.keywords)
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
    check_settings(group, settings)
    with _told_as(group):
        return instantiate(settings, _execution_whitelist_=tuple(_targets(settings)))


@contextlib.contextmanager
def _told_as(group: str) -> Iterator[None]:
    """Whatever a class makes of settings that it can't take is the user's mistake."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        cause = error.__cause__ or error
        missing = re.search(r"No module named '([^']+)'", str(cause))
        if missing and not _is_own(missing[1]):
            raise _lacks(group, missing[1]) from error
        raise ConfigError(f"hydra/sweeper/{group}: {type(cause).__name__}: {' '.join(str(cause).split())}") from error


def check_settings(group: str, settings: dict[str, Any]) -> None:
    """Raise ConfigError for a package that is missing, and for a number that is too small."""
    for target in _targets(settings):
        for package in PACKAGES.get(target.rpartition(".")[2], ()):
            if importlib.util.find_spec(package) is None:
                raise _lacks(group, package)
    for key, least in LEAST.items():
        value = settings.get(key)
        if isinstance(value, int | float) and value < least:
            raise ConfigError(f"hydra.sweeper.{group}.{key}={value}: expected {least} or more")


def _lacks(group: str, package: str) -> ConfigError:
    """What is told of a package that is missing."""
    return ConfigError(
        f"hydra/sweeper/{group}: it needs the package {package}, which is missing; pip install {package}"
    )


def _is_own(module: str) -> bool:
    """Whether a part of an installed package is missing, which is a wrong name and no missing package."""
    top = module.partition(".")[0]
    return top != module and importlib.util.find_spec(top) is not None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Nothing that Optuna says: the trials are no real ones."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _targets(node: Any) -> Iterator[str]:
    """All `_target_`s in these settings."""
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    if isinstance(node, dict) and "_target_" in node:
        yield str(node["_target_"])
    for child in children:
        yield from _targets(child)
