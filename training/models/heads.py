"""Heads that a library draws too large for few classes: they are drawn anew, as torch draws any layer.

EfficientNets, MobileNets and some others draw the layer that makes the scores from numbers that go by the count of
classes, not of features, as suits ImageNet's thousand: for six classes they are fifteen times as large as those of
torch.nn.Linear. The scores begin in the tens, the loss with them, and its gradient ruins pretrained features in the
first epoch. timm's own reset_classifier draws as torch does.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

# Library and class, as found by measuring one of each of their modules (tests/training/models/test_heads.py)
DRAWN_TOO_LARGE = frozenset(
    {
        *(f"timm.{name}" for name in ("DLA", "EfficientNet", "InceptionV3", "MobileNetV3", "MobileNetV5", "RexNet")),
        *(f"torchvision.{name}" for name in ("EfficientNet", "Inception3", "MNASNet")),
    }
)


def draws_large(model: "nn.Module") -> bool:
    """Whether this kind of network draws a head for few classes too large. Asks its class, not its numbers."""
    kind = type(model)
    return f"{kind.__module__.partition('.')[0]}.{kind.__name__}" in DRAWN_TOO_LARGE


def draw_again(layers: "nn.Module") -> None:
    """Draw the weights of a head as torch draws those of new layers, from its current seed."""
    from torch import nn

    for layer in layers.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            layer.reset_parameters()
