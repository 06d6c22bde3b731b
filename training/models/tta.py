"""Test-time augmentation: a network's answer to an image and to its mirror image, averaged (trainer.tta)."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.models.build import logits
from training.schema.checks import need

TTA = ("none", "flip")


class MirrorAveraged(nn.Module):
    """A network that is asked twice: images float32 [B, 3, S, S] to the log of the mean of both probabilities, float32
    [B, classes]; softmax gives that mean back (Krizhevsky et al. 2012, NIPS 25, averaged over crops as well). It takes
    twice the time. The network inside is the same object, not a copy."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        both = [logits(self.network(seen)).float() for seen in (images, images.flip(3))]
        return torch.stack([functional.log_softmax(one, 1) for one in both]).logsumexp(0) - math.log(2)


def averaged(model: nn.Module, tta: str) -> nn.Module:
    """The network as it is asked with `tta`, one of TTA. Raises ConfigError."""
    need(tta in TTA, f"tta={tta}: expected {' or '.join(TTA)}")
    return model if tta == "none" else MirrorAveraged(model)
