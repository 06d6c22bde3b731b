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
    if drop_path is not None:
        kwargs["stochastic_depth_prob"] = drop_path
    if dropout is not None:
        kwargs["dropout"] = dropout
    try:
        model: nn.Module = get_model(name, weights=None, num_classes=num_classes, **kwargs)
        return model
    except TypeError as error:
        raise ConfigError(f"model.name={name}: {error}") from error


def locate(target: str, what: str) -> Callable[..., Any]:
    """What a `_target_` names. Raises ConfigError when there is no such thing."""
    try:
        found = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{what}._target_={target}: {error}{_nearest(target)}") from error
    if not callable(found):
        raise ConfigError(f"{what}._target_={target}: that is no function or class")
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
        raise ConfigError(
            f"{what}: {getattr(function, '__name__', function)} refuses these settings: {error}"
        ) from error


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
    model = function(**arguments)
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
