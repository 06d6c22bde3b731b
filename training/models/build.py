"""The network of a run, from the family that its config chooses; weights come later, see weights.py."""

import inspect
from typing import TYPE_CHECKING, Any

from training.config import ModelConfig
from training.errors import ConfigError, Impossible
from training.models.family import Family
from training.models.heads import draw_again, draws_large
from training.models.own import Own
from training.models.torchvision import Torchvision, torchvision_model
from training.targets import bind, locate

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["build_model", "builder_source", "family_of", "head_prefix", "layers_of", "logits"]
__all__ += ["bind", "locate", "torchvision_model"]  # which live elsewhere
MARK = "_finegrid_family"  # on a network, whose deep copies keep it


def family_of(config: ModelConfig) -> Family:
    """The family that `config` chooses, by its `_target_`. Raises ConfigError where there is no such thing."""
    if config._target_ == ModelConfig._target_:  # found without importing torch
        return Torchvision()
    found = locate(config._target_, "model")
    return found() if isinstance(found, type) and issubclass(found, Family) else Own()


def build_model(config: ModelConfig, num_classes: int) -> "nn.Module":
    """The untrained network, its random weights drawn from torch's current seed. Raises ConfigError."""
    family = family_of(config)
    try:
        model = family.build(config, num_classes)
    except (ConfigError, MemoryError):
        raise
    except Exception as error:
        raise Impossible(f"model {config.called} can't be built: {type(error).__name__}: {error}") from error
    model.__dict__[MARK] = family
    if redraws_head(model):
        draw_again(model.get_submodule(family.head(model)))
    return model


def redraws_head(model: "nn.Module") -> bool:
    """Whether `build_model` drew its head anew: where its library draws it too large. Your own networks it leaves."""
    return not isinstance(_family_that_built(model), Own) and draws_large(model)


def _family_that_built(model: "nn.Module") -> Family:
    family = getattr(model, MARK, None)
    return family if isinstance(family, Family) else Own()


def head_prefix(model: "nn.Module") -> str:
    """The name of the layer that makes the class scores, as its family says. Raises ConfigError where there is none."""
    return _family_that_built(model).head(model)


def layers_of(model: "nn.Module") -> list[tuple[str, list[str]]]:
    """Names of layers, the first layer first, each with the names of its parameters, as the network's family says.

    Raises ConfigError for a network that has one layer only.
    """
    layers = _family_that_built(model).layers(model)
    if len(layers) < 2:
        (only,) = {name for name, _ in layers} or {"nothing"}
        kind = type(model).__name__
        raise Impossible(
            f"optimizer.layer_decay needs a network with several layers as its children; {kind} has {only} only"
        )
    return layers


def logits(output: Any) -> "torch.Tensor":
    """The class scores [B, classes], also of a network that gives auxiliary ones with them (Inception, GoogLeNet)."""
    import torch

    return output if isinstance(output, torch.Tensor) else output.logits


def builder_source(config: ModelConfig) -> str:
    """The source of the module that builds a network outside of this package: it may change under the same name."""
    family = family_of(config)
    module = inspect.getmodule(locate(config._target_, "model") if isinstance(family, Own) else type(family))
    if module is None or module.__name__.startswith("training.models."):
        return ""
    try:
        return inspect.getsource(module)
    except (OSError, TypeError):
        return ""
