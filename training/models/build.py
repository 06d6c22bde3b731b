"""The network, from a torchvision builder or one of your own. Weights come later, see weights.py."""

import difflib
from typing import Any

import torch
import torchvision
from torch import nn
from torchvision.models import get_model, list_models
from torchvision.ops import StochasticDepth

from training.config import ModelConfig
from training.errors import ConfigError
from training.targets import bind, locate


def torchvision_model(
    name: str, num_classes: int, drop_path: float | None = None, dropout: float | None = None, **kwargs: Any
) -> nn.Module:
    """One of torchvision's classifiers, untrained.

    `drop_path` is the stochastic depth of the last block (Huang et al. 2016, arXiv 1603.09382), those before it have
    less; `dropout` is the builder's own: in Swin's blocks, before EfficientNet's head.
    """
    known = list_models(module=torchvision.models)
    if name not in known:
        near = difflib.get_close_matches(name, known, 3) or known[:3]
        raise ConfigError(f"model.name={name}: torchvision has no such classifier; near: {', '.join(near)}")
    if dropout is not None:
        kwargs["dropout"] = dropout
    if name in ("googlenet", "inception_v3"):  # what their ImageNet weights want; and spares a warning
        kwargs = {"transform_input": True, "init_weights": True} | kwargs
    try:
        model: nn.Module = get_model(name, weights=None, num_classes=num_classes, **kwargs)
    except TypeError as error:
        if dropout is not None and "'dropout'" in str(error):
            raise ConfigError(f"model.dropout={dropout}: {name} has no dropout") from error
        raise ConfigError(f"model.name={name}: {error}") from error
    if drop_path is not None:
        _set_drop_path(model, name, drop_path)
    return model


def _set_drop_path(model: nn.Module, name: str, drop_path: float) -> None:
    """Scale the stochastic depth of all blocks. (Swin's builders take no other than their own.)"""
    layers = [layer for layer in model.modules() if isinstance(layer, StochasticDepth)]
    largest = max((layer.p for layer in layers), default=0)
    if not largest:
        raise ConfigError(f"model.drop_path={drop_path}: {name} has no drop_path")
    for layer in layers:
        layer.p *= drop_path / largest


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
