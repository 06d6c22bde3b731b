"""What a loop of benchmarks/loops.py is given, and its clock."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from training.device import Compute, layout


@dataclass(frozen=True)
class Setting:
    """One measurement. `folder`: class folders below train/, val/ and test/. `size`: px. `compute`: what suits this
    machine, images and network, for all rows but the tutorial's."""

    model: str
    folder: Path
    size: int
    batch: int
    epochs: int
    compute: Compute

    @property
    def cuda(self) -> bool:
        """Whether it is measured on a GPU."""
        return self.compute.device.startswith("cuda")

    @property
    def layout(self) -> torch.memory_format:
        """How images and weights lie in memory."""
        return layout(self.compute)


class Clock:
    """The seconds of each epoch, without those in which another loop had its turn. `stops`: after which epochs this
    process stops itself (SIGSTOP), to go on at SIGCONT."""

    def __init__(self) -> None:
        self.stops: Literal["never", "first", "each"] = "never"
        self.epochs: list[float] = []
        self.began = time.perf_counter()
        self.stopped = 0.0
        self.span = [0.0, 0.0]  # from the end of the first epoch to that of the last, as all processes count

    def epoch(self) -> None:
        """An epoch is over."""
        ended = now()
        self.epochs.append(ended - self.began)
        self.span[1] = time.monotonic()
        if self.stops == "each" or (self.stops == "first" and len(self.epochs) == 1):
            os.kill(os.getpid(), signal.SIGSTOP)
        self.began = time.perf_counter()
        if len(self.epochs) == 1:
            self.span[0] = time.monotonic()
        self.stopped += self.began - ended

    def monotonic(self) -> float:
        """time.monotonic() of a process that was never stopped: ours saves by it."""
        return time.monotonic() - self.stopped


CLOCK = Clock()


def now() -> float:
    """When all that was asked of the device is done."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()
