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


@contextlib.contextmanager
def bar(title: str, total: int) -> Iterator[Callable[[], object]]:
    """Yields a function to call after each of `total` pieces of work."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda: progress.advance(task)
