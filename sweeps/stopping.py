"""How a sweep ends before its time: who asked for it, how soon, and which exit code train.py gives."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType

CANCELLED = 130  # exit code of what `python -m sweeps.status --cancel` ended: as after Ctrl-C


class SweepEnded(Exception):
    """Some runs failed, or the sweep was stopped. `code` is train.py's exit code."""

    def __init__(self, code: int, line: str) -> None:
        super().__init__(line)
        self.code = code


class RunCancelled(SweepEnded):
    """A run ended after `epoch` (None: before its first), because somebody asked for it. It is no failure."""

    def __init__(self, epoch: int | None) -> None:
        when = "before its first epoch" if epoch is None else f"after epoch {epoch}"
        super().__init__(CANCELLED, f"cancelled {when}; the same command again goes on")
        self.epoch = epoch

    def __reduce__(self) -> tuple[type["RunCancelled"], tuple[int | None]]:
        return RunCancelled, (self.epoch,)


@dataclass
class StopRequest:
    """Whether somebody wants the sweep to end, and how soon: from then on no run starts, and those that run stop after
    the epoch under way, or at `deadline` (a time.monotonic()). `max_hours`: from now until it is made by itself."""

    max_hours: float | None = None
    reason: str = ""
    exit_code: int = 0
    deadline: float = float("inf")
    started: float = field(default_factory=time.monotonic)

    def make(self, reason: str, exit_code: int, within_s: float = float("inf")) -> None:
        """Stop for this reason, the first one given; at the latest after `within_s`."""
        self.reason, self.exit_code = self.reason or reason, self.exit_code or exit_code
        self.deadline = min(self.deadline, time.monotonic() + within_s)

    def is_made(self) -> bool:
        """Whether no new run may start."""
        if not self.reason and self.max_hours is not None and time.monotonic() - self.started > 3600 * self.max_hours:
            self.make(f"sweep.max_hours={self.max_hours:g} are over", 0)
        return bool(self.reason)

    @property
    def is_due(self) -> bool:
        """Whether what still runs has to end now."""
        return time.monotonic() > self.deadline

    def as_error(self) -> SweepEnded:
        """What to raise when all has stopped."""
        return SweepEnded(self.exit_code, f"{self.reason}; the same command again goes on")


@contextlib.contextmanager
def heed_signals(request: StopRequest, grace_s: float, say: Callable[[str], object]) -> Iterator[None]:
    """Ctrl-C once: stop after the epochs under way. Twice: now. SIGTERM: within `grace_s`, the summary included."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        again = bool(request.exit_code)
        request.make("interrupted", 128 + number, 0 if again else float("inf"))
        if not again:
            say("interrupted: the epochs under way are finished and saved; Ctrl-C again stops now")

    def terminate(number: int, frame: FrameType | None) -> None:
        request.make("terminated", 128 + number, 0.8 * grace_s)
        say(f"terminated: all runs stop within {grace_s:g} s")

    if threading.current_thread() is not threading.main_thread():  # where Python takes no handlers
        yield
        return
    handlers = {signal.SIGINT: interrupt, signal.SIGTERM: terminate}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
