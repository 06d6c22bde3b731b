"""What can be told of any network: its last layer, and its layers in order. Families know better of their own."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from training.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

Place = Callable[[str], tuple[int, str]]  # from the name of a parameter to the order and the name of its layer


def last_layer(model: "nn.Module") -> str:
    """The name of the last Linear or convolution, such as `fc` or `head`. Raises ConfigError where there is none."""
    from torch import nn

    layers: list[str] = [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    if not layers:
        raise ConfigError("the model has neither a linear nor a convolution layer, so no head can be told")
    return layers[-1]


def depthwise_share(model: "nn.Module") -> float:
    """Of all channels that convolutions and linear layers give, those of depthwise convolutions (a filter a channel).
    Such values cost a processor little to compute, and as much as any to read and write."""
    from torch import nn

    depthwise = channels = 0
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            channels += layer.out_features
        elif isinstance(layer, nn.Conv2d):
            channels += layer.out_channels
            depthwise += layer.out_channels * (layer.groups == layer.in_channels > 1)
    return depthwise / max(1, channels)


def children_in_order(model: "nn.Module") -> list[tuple[str, list[str]]]:
    """The children with parameters, in the order in which the network defines them; those of a Sequential are layers of
    their own. Parameters of the network itself, such as a class token, come first."""
    from torch import nn

    names: list[str] = []
    for name, child in model.named_children():
        names += [f"{name}.{part}" for part, _ in child.named_children()] if type(child) is nn.Sequential else [name]

    def place(parameter: str) -> tuple[int, str]:
        found = [(order, part) for order, part in enumerate(names) if parameter.startswith(f"{part}.")]
        return found[0] if found else (-1, "first")

    return grouped(model, place)


def grouped(model: "nn.Module", place: Place) -> list[tuple[str, list[str]]]:
    """Layers in the order that `place` gives, each with the names of its parameters."""
    found: dict[tuple[int, str], list[str]] = {}
    for name, _ in model.named_parameters():
        found.setdefault(place(name), []).append(name)
    return [(name, found[order, name]) for order, name in sorted(found)]
