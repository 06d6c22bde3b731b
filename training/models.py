"""The network, from a torchvision builder or one of your own. Weights come later, see weights.py."""

import difflib
import inspect
import pkgutil
from collections.abc import Callable
from typing import Any

import torch
import torchvision
from torch import nn
from torchvision.models import get_model, list_models

from training.config import ModelConfig
from training.errors import ConfigError


def torchvision_model(
    name: str, num_classes: int, drop_path: float | None = None, dropout: float | None = None, **kwargs: Any
) -> nn.Module:
    """One of torchvision's classifiers, untrained.

    `drop_path` is its stochastic_depth_prob (Huang et al. 2016, arXiv 1603.09382), `dropout` the one before its head.
    """
    known = list_models(module=torchvision.models)
    if name not in known:
        near = difflib.get_close_matches(name, known, 3) or known[:3]
        raise ConfigError(f"model.name={name}: torchvision has no such classifier; near: {', '.join(near)}")
    given = {"drop_path": ("stochastic_depth_prob", drop_path), "dropout": ("dropout", dropout)}
    kwargs |= {theirs: value for theirs, value in given.values() if value is not None}
    if name in ("googlenet", "inception_v3"):  # what their ImageNet weights want; and spares a warning
        kwargs = {"transform_input": True, "init_weights": True} | kwargs
    try:
        model: nn.Module = get_model(name, weights=None, num_classes=num_classes, **kwargs)
    except TypeError as error:
        for key, (theirs, value) in given.items():
            if value is not None and f"'{theirs}'" in str(error):
                raise ConfigError(f"model.{key}={value}: {name} has no {key}") from error
        raise ConfigError(f"model.name={name}: {error}") from error
    return model


def locate(target: str, what: str) -> Callable[..., Any]:
    """What a `_target_` names. Raises ConfigError when there is no such thing."""
    wanted = "expected module.name of a function or class that Python can import from here"
    try:
        found = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{what}._target_={target}: {error}{_nearest(target) or f'; {wanted}'}") from error
    except Exception as error:  # the module's own mistake
        raise ConfigError(f"{what}._target_={target}: importing it raises {type(error).__name__}: {error}") from error
    if not callable(found):
        raise ConfigError(f"{what}._target_={target}: {wanted}, found a {type(found).__name__}")
    return found  # type: ignore[no-any-return]


def _nearest(target: str) -> str:
    module, _, name = target.rpartition(".")
    try:
        names = dir(pkgutil.resolve_name(module))
    except (ImportError, AttributeError, ValueError):
        return ""
    near = difflib.get_close_matches(name, names, 1)
    return f"; did you mean {module}.{near[0]}?" if near else ""


def bind(function: Callable[..., Any], what: str, *args: Any, **kwargs: Any) -> None:
    """Raise ConfigError unless `function` takes these arguments."""
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError as error:
        called = getattr(function, "__name__", function)
        takes = ", ".join(name for name in inspect.signature(function).parameters if name != "self")
        raise ConfigError(f"{what}: {called} refuses these settings: {error}; it takes {takes}") from error
    except ValueError:  # built-in, so it can't say what it takes
        return


def build_model(config: ModelConfig, num_classes: int) -> nn.Module:
    """The untrained network, its random weights drawn from torch's current seed.

    A `_target_` of the user's own is called with num_classes, the kwargs, and those of drop_path and dropout that its
    `accepts` names. Raises ConfigError.
    """
    function = locate(config._target_, "model")
    arguments = dict(config.kwargs, num_classes=num_classes)
    for key in config.accepts:
        if getattr(config, key) is not None:
            arguments[key] = getattr(config, key)
    if function is torchvision_model:
        arguments["name"] = config.name
    bind(function, "model", **arguments)
    try:
        model = function(**arguments)
    except (ConfigError, MemoryError):
        raise
    except Exception as error:
        raise ConfigError(f"model {config.called} can't be built: {type(error).__name__}: {error}") from error
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model._target_={config._target_} gave a {type(model).__name__}, not a torch.nn.Module")
    return model


def head_prefix(model: nn.Module) -> str:
    """The name of the layer that makes the class scores: the last Linear or convolution, such as `fc` or `head`."""
    layers: list[str] = [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    if not layers:
        raise ConfigError("the model has neither a linear nor a convolution layer, so no head can be told")
    return layers[-1]


def logits(output: Any) -> torch.Tensor:
    """The class scores [B, classes], also of a network that gives auxiliary ones with them (Inception, GoogLeNet)."""
    return output if isinstance(output, torch.Tensor) else output.logits
