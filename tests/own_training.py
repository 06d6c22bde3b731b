"""Parts of training of a user's own, for config lines such as loss._target_=own_training.squared."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.engine.metrics import Predictions


def squared(logits: Tensor, targets: Tensor, scale: float = 1.0) -> Tensor:
    """A loss: for each image the squared distance of its probabilities (Brier score), times `scale`. Knows labels
    alone, no shares."""
    return scale * (logits.softmax(1) - functional.one_hot(targets, logits.shape[1])).square().sum(1)


class Hinge(nn.Module):
    """A loss that is a class, and takes class weights."""

    def __init__(self, margin: float) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, logits: Tensor, targets: Tensor, class_weights: Tensor | None = None) -> Tensor:
        """The mean over the images."""
        right = logits.gather(1, targets[:, None])
        others = (self.margin - right + logits).clamp_min(0).sum(1) - self.margin
        return (others if class_weights is None else others * class_weights[targets]).mean()


def a_row(logits: Tensor, targets: Tensor) -> Tensor:
    """No loss: it gives a number for each class."""
    return logits


def without_gradient(logits: Tensor, targets: Tensor) -> Tensor:
    """No loss: nothing can be learned from it."""
    return torch.ones(len(logits))


def top(predictions: Predictions, k: int = 1) -> float:
    """A metric: per cent of images whose class is among the `k` with the highest scores."""
    best = np.argsort(-predictions.logits, axis=1)[:, :k]
    return float(100 * (best == predictions.labels[:, None]).any(1).mean())


def surprise(predictions: Predictions) -> float:
    """A metric of which less is better: the largest loss of an image."""
    logits = torch.from_numpy(predictions.logits)
    return float(functional.cross_entropy(logits, torch.from_numpy(predictions.labels), reduction="none").max())


def no_number(predictions: Predictions) -> str:
    """No metric."""
    return "good"
