"""A network for sweeps under test: it trains in no time, or as slowly as asked, and gets into every kind of trouble.

What is to happen is read from a file, so that it may change from one command to the next without changing the
configuration: {"3": "kill 2"} has the run with seed 3 killed in its second epoch (of its process), {"*": "slow 0.5"}
makes each epoch of every run half a second longer; with {"*": "hold 2"} no run goes on in its second epoch until the
file says so no more, however fast or slow the machine is. "slow 3,hold 2" does both.
"""

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn

STEPS = 2  # training batches an epoch, as QUICK sets them
HELD_S = 600  # where a test forgets a run that it holds


class OddError(Exception):
    """Can be pickled, but not read back: its constructor wants more than its message."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"{what} in {where}")


class Troubled(nn.Module):
    """Conv and BatchNorm, dropout for randomness, a head, and what `file` says."""

    def __init__(self, num_classes: int, file: str, width: int) -> None:
        super().__init__()
        self.file, self.seed, self.calls = Path(file), torch.initial_seed(), 0
        self.first = nn.Conv2d(3, width, 3)
        self.norm = nn.BatchNorm2d(width)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        features = self.dropout(self.norm(self.first(images)).relu().mean((2, 3)))
        scores: Tensor = self.head(features)
        if self.training and images.device.type != "meta":
            self.calls += 1
            scores = scores * self._trouble()
        return scores

    def _trouble(self) -> float:
        for what, when in self._plan():
            if what == "slow":
                time.sleep(float(when) / STEPS)
            elif what == "hold" and self.calls > STEPS * (int(when or 1) - 1):
                ends = time.monotonic() + HELD_S
                while (what, when) in self._plan() and time.monotonic() < ends:
                    time.sleep(0.02)
            elif what != "hold" and self.calls == STEPS * (int(when or 1) - 1) + 1:
                return self._break_device() if what == "broken_device" else _happen(what)
        return 1.0

    def _break_device(self) -> float:
        """The device of the first worker that comes by here is broken; the others' are not."""
        worker, file = os.environ["FINEGRID_LEASES"], self.file.with_name("broken")
        with contextlib.suppress(FileExistsError), file.open("x") as stream:
            stream.write(worker)
        return _happen("cuda_fault") if file.read_text() == worker else 1.0

    def _plan(self) -> list[tuple[str, str]]:
        """What is to happen to this run, and when, as the file says now."""
        plan = json.loads(self.file.read_text()) if self.file.is_file() else {}
        parts = ",".join(plan.get(key, "") for key in ("*", str(self.seed))).split(",")
        return [(what, when) for what, _, when in (part.partition(" ") for part in parts) if what]


def _happen(what: str) -> float:
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "leave_child":  # which holds all that this process has open
        if not os.fork():
            time.sleep(30)
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "exit":
        sys.exit(7)
    elif what == "hang":
        time.sleep(600)
    elif what == "memory":
        raise MemoryError("no memory, on purpose")
    elif what == "cuda_memory":
        raise torch.OutOfMemoryError("CUDA out of memory, on purpose")
    elif what == "cuda_fault":
        raise RuntimeError("CUDA error: an illegal memory access was encountered, on purpose")
    elif what == "odd":
        raise OddError("broken on purpose", "a test")
    elif what == "raise":
        raise RuntimeError("broken on purpose")
    return float("nan")


def net(num_classes: int, file: str = "none", width: int = 4) -> nn.Module:
    """`file`: of what is to happen to whom."""
    return Troubled(num_classes, file, width)
