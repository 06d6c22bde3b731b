"""The images of a run as they are shown to techniques that look at them beside training."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from training.config import RunConfig
from training.data.batches import Batches
from training.device import Compute, autocast

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Beginning:
    """The images of a run, for techniques that look at them beside training."""

    labels: np.ndarray  # int64 [N], of the train images
    classes: int
    plain: Callable[[], Iterable[Batch]]  # the train images in that order, as evaluation shows them to the network
    autocast: Callable[[], AbstractContextManager[None]]  # the run's precision
    val: Callable[[], Iterable[Batch]] = list  # as plain
    val_labels: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))  # int64 [N]
    order: Callable[[int], list[np.ndarray]] = lambda epoch: []  # of an epoch's batches: places in labels, int64 [B]


def beginning_of(batches: Batches, config: RunConfig, compute: Compute, size: int) -> Beginning:
    """Of a run. `size`: images at once, at most, in training."""
    dataset = batches.dataset
    return Beginning(
        dataset.labels[dataset.split["train"]],
        len(dataset.classes),
        lambda: batches.evaluate("train", size),
        lambda: autocast(compute, cached=False),
        lambda: batches.evaluate("val", size),
        dataset.labels[dataset.split["val"]],
        lambda epoch: batches.train_order(config.draws, epoch, config.trainer.batch_size),
    )
