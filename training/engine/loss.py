"""The loss; rare classes can be weighed up in it."""

import numpy as np
from torch import Tensor
from torch.nn import functional


def balanced_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """The weight of each class, float32 [classes]: images / (classes * images of the class), as scikit-learn's
    "balanced" (King & Zeng 2001). Their mean over the images `labels` [N] is 1."""
    counts = np.bincount(labels, minlength=classes)
    return (len(labels) / (classes * np.maximum(counts, 1))).astype(np.float32)


def training_loss(scores: Tensor, labels: Tensor, smoothing: float, weights: Tensor | None) -> Tensor:
    """Mean cross-entropy of `scores` [B, classes] to labels [B] or shares of labels [B, classes].

    With weights [classes] it is the sum of the weighted losses over the number of images (not, as torch's mean, over
    the sum of their weights), so that the parts of an accumulated batch add up to the whole.
    """
    if weights is None:
        return functional.cross_entropy(scores, labels, label_smoothing=smoothing)
    total = functional.cross_entropy(scores, labels, weights, label_smoothing=smoothing, reduction="sum")
    return total / len(labels)
