"""Progress on long work: a bar that goes away, on a terminal only."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@dataclass(frozen=True)
class EpochReport:
    """What a run tells its sweep after every epoch. Epochs count from 1, `val_acc` is in per cent."""

    epoch: int
    epochs: int
    val_acc: float
    val_loss: float
    images_per_s: float
    seconds_left: float
    monitor: str = "val_acc"
    value: float | None = None  # of the monitor, where it is neither val_acc nor val_loss
    gpu_memory_mb: float | None = None  # at its peak so far
    repeated: bool = False  # told by the run that goes on after it, since its sweep may not have heard of it

    def figure(self, name: str) -> float | None:
        """val_acc, val_loss or the monitor; None for anything else, which an epoch doesn't tell."""
        known = {self.monitor: self.value} | {"val_acc": self.val_acc, "val_loss": self.val_loss}
        return known.get(name)


@contextlib.contextmanager
def bar(title: str, total: int) -> Iterator[Callable[..., object]]:
    """Yields a function to call after each of `total` pieces of work, or with the number of those just done."""
    if not sys.stderr.isatty():
        yield lambda done=1: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done=1: progress.advance(task, done)
