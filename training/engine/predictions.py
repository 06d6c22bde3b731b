"""What is said about a set of predictions: the functions behind the table in training/metrics.py."""

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from training.config import TrainerConfig
from training.data.dataset import Dataset
from training.errors import ConfigError
from training.metrics import METRICS, Metric, all_metrics, own_metrics
from training.run_folder import predictions_file, write_whole
from training.targets import bind, locate


@dataclass(frozen=True)
class Predictions:
    """`labels` int64 [N], `logits` float32 [N, classes], `loss`: mean cross-entropy."""

    labels: np.ndarray
    logits: np.ndarray
    loss: float

    @property
    def guesses(self) -> np.ndarray:
        """The class with the highest score of each image, int64 [N]."""
        guesses: np.ndarray = self.logits.argmax(1)
        return guesses

    @property
    def correct(self) -> int:
        """How many images were put in their class."""
        return int((self.guesses == self.labels).sum())

    @property
    def accuracy(self) -> float:
        """Per cent of images put in their class."""
        return 100 * self.correct / len(self.labels)

    @cached_property
    def recalls(self) -> np.ndarray:
        """The proportion of each class's images that were put in it, float64 [classes]; 0 for a class without any."""
        from sklearn.metrics import recall_score  # takes a second or two, which the first step needn't wait for

        every = np.arange(self.logits.shape[1])
        recalls: np.ndarray = recall_score(self.labels, self.guesses, labels=every, average=None, zero_division=0.0)
        return recalls


def accuracy(predictions: Predictions) -> float:
    """Per cent of images put in their class."""
    return predictions.accuracy


def cross_entropy(predictions: Predictions) -> float:
    """Mean cross-entropy, whatever loss is trained with."""
    return predictions.loss


def balanced_accuracy(predictions: Predictions) -> float:
    """Per cent: the mean of the classes' recalls (Brodersen et al. 2010, ICPR)."""
    return float(100 * predictions.recalls.mean())


def macro_f1(predictions: Predictions) -> float:
    """Times 100: the mean of the classes' F1 (Opitz & Burst 2019, arXiv 1911.03347)."""
    from sklearn.metrics import f1_score

    every = np.arange(predictions.logits.shape[1])
    score = f1_score(predictions.labels, predictions.guesses, labels=every, average="macro", zero_division=0.0)
    return float(100 * score)


def measure(predictions: Predictions, metric: Metric) -> float:
    """The value of one metric; one of a user's own may be nan."""
    return float(locate(metric.target, f"trainer.metrics.{metric.name}")(predictions, **metric.kwargs))


def signed(value: float, metric: Metric) -> float:
    """A value so that higher is better; nan is the worst."""
    return -math.inf if math.isnan(value) else metric.sign * value


def monitored(predictions: Predictions, trainer: TrainerConfig) -> float:
    """The value of trainer.monitor, so that higher is better."""
    metrics = {metric.monitor: metric for metric in all_metrics(trainer.metrics).values()}
    return signed(measure(predictions, metrics[trainer.monitor]), metrics[trainer.monitor])


def summarize(
    predictions: Predictions, classes: tuple[str, ...], config: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The figures of a record: all in per cent but the loss and the number of images, n. `config`: trainer.metrics, the
    metrics of the user's own."""
    recalls = zip(classes, predictions.recalls, strict=True)
    return {
        **{name: measure(predictions, metric) for name, metric in METRICS.items()},
        "per_class_acc": {name: float(100 * recall) for name, recall in recalls},
        "n": len(predictions.labels),
        **{name: measure(predictions, metric) for name, metric in own_metrics(config or {}).items()},
    }


def check_own_metrics(config: Mapping[str, Any], classes: int) -> None:
    """Try the metrics of trainer.metrics on one image of each class. Raises ConfigError."""
    predictions = Predictions(np.arange(classes), np.eye(classes, dtype=np.float32), 0.0)
    for name, metric in own_metrics(config).items():
        key = f"trainer.metrics.{name}"
        bind(locate(metric.target, key), key, predictions, **metric.kwargs)
        try:
            measure(predictions, metric)
        except Exception as error:
            raise ConfigError(f"{key}: {metric.target} raises {type(error).__name__}: {error}") from error


def save_predictions(folder: Path, dataset: Dataset, val: Predictions, test: Predictions) -> None:
    """Write predictions_val.npz and predictions_test.npz: id, label, logits, and where there are any, which images have
    a copy in train: twin, bool [N]. Raises OSError."""
    for split, predictions in (("val", val), ("test", test)):
        names = [dataset.names[index] for index in dataset.split[split]]
        twin = dataset.in_train.get(split, np.zeros(0, dtype=bool))
        columns: dict[str, Any] = {
            "id": np.array(names),
            "label": predictions.labels,
            "logits": predictions.logits.astype(np.float32),
        }
        if twin.any():
            columns["twin"] = twin
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **columns)
        write_whole(folder / predictions_file(split), buffer.getvalue())
