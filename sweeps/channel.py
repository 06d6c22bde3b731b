"""What passes between a run and its sweep: a report upwards after every epoch, and its answer downwards.

The run waits for the answer, so that a pruned run trains no epoch more. A run that nobody watches hears `go` always.
"""

from multiprocessing.connection import Connection
from typing import Literal

from training.console.progress import EpochReport
from training.errors import Pruned, Stopped

Answer = Literal["go", "stop", "prune"]
_connection: Connection | None = None


def attach(connection: Connection) -> None:
    """Let this process's run report to the other end of `connection`."""
    global _connection
    _connection = connection


def attached() -> bool:
    """Whether a sweep is watching this process."""
    return _connection is not None


def on_epoch(report: EpochReport) -> None:
    """Report, and obey. Raises Stopped or Pruned."""
    if _connection is None:
        return
    _connection.send(("epoch", report))
    answer: Answer = _connection.recv()
    if answer == "stop":
        raise Stopped(report.epoch)
    if answer == "prune":
        raise Pruned(report.epoch)
