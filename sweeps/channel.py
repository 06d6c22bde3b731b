"""What passes between a run and its sweep: a report upwards after every epoch, and its answer downwards.

The run waits for the answer, so that a pruned run trains no epoch more. A run that no controller watches looks after
every epoch whether somebody has asked for its end (sweeps/cancelling.py), and goes on else.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

from sweeps import cancelling
from sweeps.stopping import RunCancelled
from training.console.progress import EpochReport
from training.errors import Pruned, Stopped
from training.run_folder import RunInUse

Answer = Literal["go", "stop", "prune"]
_connection: Connection | None = None
_terminated = threading.Event()  # by SIGTERM to this process


def attach(connection: Connection) -> None:
    """Let this process's run report to the other end of `connection`."""
    global _connection
    _connection = connection


def attached() -> bool:
    """Whether a sweep is watching this process."""
    return _connection is not None


def terminate(*_: object) -> None:
    """A handler of SIGTERM in the process of a run: it ends after its epoch."""
    _terminated.set()


def on_epoch(report: EpochReport) -> None:
    """Report, and obey. Raises Stopped or Pruned."""
    if _connection is not None:
        _connection.send(("epoch", report))
        answer: Answer = _connection.recv()
        if answer == "prune":
            raise Pruned(report.epoch)
        if answer == "stop":
            raise Stopped(report.epoch)
    if _terminated.is_set():
        raise Stopped(report.epoch)


@contextlib.contextmanager
def listening(folder: Path, number: int | None) -> Iterator[Callable[[EpochReport], None]]:
    """What the run in `folder` tells its epochs. `number`: its job number in a sweep. Where no controller watches this
    process, the end of a run that was cancelled is written down here. Raises RunCancelled then."""
    epoch: int | None = None
    batch_number = None if attached() else number  # a controller that watches asks by the channel

    def look(report: EpochReport) -> None:
        nonlocal epoch
        epoch = report.epoch
        on_epoch(report)
        if cancelling.asked_of_run(folder, batch_number):
            raise Stopped(epoch)

    try:
        if attached():
            yield look
            return
        if cancelling.asked_of_run(folder, number):  # of a batch that was cancelled before this run began
            raise Stopped(0)
        cancelling.unmark_cancelled(folder.parents[1], [cancelling.name_of(folder)])
        with _sigterm_heeded():
            yield look
    except Stopped:
        if attached():
            raise
        with contextlib.suppress(OSError, RunInUse):  # a full disk, say: it is unfinished all the same
            cancelling.mark_cancelled(folder.parents[1], {cancelling.name_of(folder): epoch})
        raise RunCancelled(epoch) from None
    finally:
        cancelling.forget_request(folder)


@contextlib.contextmanager
def _sigterm_heeded() -> Iterator[None]:
    """In a process that was made for runs alone. (`python train.py` itself ends at once, others have ways of their
    own.)"""
    _terminated.clear()
    plain = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if not plain:
        yield
        return
    signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
