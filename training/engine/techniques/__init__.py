"""What can be added to plain training, a file each (docs/recipes.md); they are found by this package, and by no name.

May import: training's own files, data, models.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from types import ModuleType
from typing import Any

from torch import nn

from training.config import RunConfig
from training.engine.techniques.beginning import Beginning, beginning_of
from training.engine.techniques.technique import Batch, EpochContext, Shortcut, Technique
from training.errors import ConfigError
from training.schema.checks import need
from training.targets import bind, locate

__all__ = [
    "Batch",
    "Beginning",
    "EpochContext",
    "Shortcut",
    "Technique",
    "active_techniques",
    "beginning_of",
    "open_techniques",
]


@cache
def _modules() -> list[ModuleType]:
    """The files of this package that hold a technique: those with a function from_config."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return [module for module in modules if hasattr(module, "from_config")]


def active_techniques(config: RunConfig) -> dict[str, Technique]:
    """The techniques that a run uses, in the order in which they act, under the names that their states have in the
    resume state: finegrid's own by the alphabet, then those of trainer.techniques. Raises ConfigError."""
    active: dict[str, Technique] = {}
    for module in _modules():
        if (technique := module.from_config(config)) is not None:
            active[getattr(module, "STATE", module.__name__.rpartition(".")[2])] = technique
    for number, settings in enumerate(config.trainer.techniques):
        active[f"technique_{number}"] = _own(f"trainer.techniques[{number}]", dict(settings))
    return active


def _own(key: str, settings: dict[str, Any]) -> Technique:
    target = settings.pop("_target_", None)
    need(isinstance(target, str), f"{key}: expected {{_target_: module.class}} and its arguments")
    make = locate(str(target), key)
    bind(make, key, **settings)
    try:
        technique = make(**settings)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"{key}: {target} refuses these settings: {type(error).__name__}: {error}") from error
    if not isinstance(technique, Technique):
        raise ConfigError(f"{key}: {target} gave a {type(technique).__name__}, expected a Technique")
    return technique


def open_techniques(techniques: Mapping[str, Technique], model: nn.Module, beginning: Beginning, new: bool) -> None:
    """Show the images of a run to its techniques, and where it is `new` let them change the initial weights."""
    for technique in techniques.values():
        technique.open(beginning)
        if new:
            technique.initialize(model, beginning)
