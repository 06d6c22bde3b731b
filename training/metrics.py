"""What is said about a set of predictions."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import f1_score, recall_score


@dataclass(frozen=True)
class Predictions:
    """`labels` int64 [N], `logits` float32 [N, classes], `loss`: mean cross-entropy."""

    labels: np.ndarray
    logits: np.ndarray
    loss: float

    @property
    def correct(self) -> int:
        """How many images were put in their class."""
        return int((self.logits.argmax(1) == self.labels).sum())

    @property
    def accuracy(self) -> float:
        """Per cent of images put in their class."""
        return 100 * self.correct / len(self.labels)


def summarize(predictions: Predictions, classes: tuple[str, ...]) -> dict[str, Any]:
    """The figures of a record: all in per cent but the loss and the number of images, n."""
    guesses = predictions.logits.argmax(1)
    every = np.arange(len(classes))
    recall = recall_score(predictions.labels, guesses, labels=every, average=None, zero_division=0.0)
    return {
        "acc": predictions.accuracy,
        "loss": predictions.loss,
        "balanced_acc": float(100 * recall.mean()),
        "macro_f1": float(
            100 * f1_score(predictions.labels, guesses, labels=every, average="macro", zero_division=0.0)
        ),
        "per_class_acc": {name: float(100 * value) for name, value in zip(classes, recall, strict=True)},
        "n": len(predictions.labels),
    }
