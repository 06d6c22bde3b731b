"""What is said about a set of predictions."""

from dataclasses import dataclass
from typing import Any

import numpy as np


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


# trainer.monitor: (the key in `summarize`, 1 where higher is better, else -1)
MONITORS = {"val_acc": ("acc", 1), "val_balanced_acc": ("balanced_acc", 1), "val_macro_f1": ("macro_f1", 1)}
MONITORS["val_loss"] = ("loss", -1)


def monitored(predictions: Predictions, monitor: str, classes: tuple[str, ...]) -> float:
    """The figure that selects the best epoch and that a search optimizes. Balanced accuracy is the mean of the classes'
    recalls (Brodersen et al. 2010, ICPR), macro-F1 the mean of their F1 (Opitz & Burst 2019, arXiv 1911.03347)."""
    if monitor in ("val_acc", "val_loss"):
        return predictions.accuracy if monitor == "val_acc" else predictions.loss
    return float(summarize(predictions, classes)[MONITORS[monitor][0]])


def summarize(predictions: Predictions, classes: tuple[str, ...]) -> dict[str, Any]:
    """The figures of a record: all in per cent but the loss and the number of images, n."""
    from sklearn.metrics import f1_score, recall_score  # takes a second or two, which the first step needn't wait for

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
