"""The controller's side of a board: runs that were given out, and what comes back of them."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sweeps.channel import Answer
from sweeps.launchers.launcher import Handle
from sweeps.launchers.workers import board
from sweeps.launchers.workers.assignment import Assignment, WorkerProgram

CONTROLLER_BEAT_S = 0.5


@dataclass(eq=False)
class Entry:
    """A run that was given out. `fence`: how often. `attempts`: how often its worker was lost since its last epoch.
    `failed_on`: workers whose devices may be to blame for its failures. `asked`: the message that an answer is to.
    `avoid`: workers that shall not take it."""

    handle: Handle
    assignment: Assignment
    order: int
    fence: int = 1
    attempts: int = 0
    epoch: int = 0
    worker: str = ""
    asked: int = 0
    failed_on: frozenset[str] = field(default_factory=frozenset)
    avoid: frozenset[str] = field(default_factory=frozenset)

    @property
    def key(self) -> str:
        """Its name on the board."""
        return f"{self.order:08}.{self.handle.number}.{self.fence}"


class Queue:
    """The board of one controller. `more`: whether further runs are to come."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder = root, root / board.BOARDS / board.new_name()
        self.entries: list[Entry] = []
        self.given, self.more = 0, True
        self.beat = board.Beat(self.folder / board.BEAT, lambda: {"more": self.more}, CONTROLLER_BEAT_S)

    @classmethod
    def open(cls, sweep_folder: Path, program: WorkerProgram) -> "Queue":
        """A new one. Raises ConfigError, OSError."""
        queue = cls(board.own_folder(sweep_folder))
        for name in (board.TODO, board.TAKEN, board.UP, board.DOWN, board.ASIDE):
            (queue.folder / name).mkdir(parents=True)
        board.put_pickled(queue.folder / board.PROGRAM, program)
        queue.beat.start()
        return queue

    def add(self, handle: Handle, assignment: Assignment) -> None:
        """Give a run out."""
        entry = Entry(handle, assignment, self.given)
        self.given += 1
        board.put_pickled(self.folder / board.TODO / entry.key, assignment)
        self.entries.append(entry)

    def of(self, handle: Handle) -> Entry:
        """The entry of a job."""
        return next(entry for entry in self.entries if entry.handle is handle)

    def waiting(self) -> list[Entry]:
        """Runs that no worker has."""
        return [entry for entry in self.entries if not entry.worker]

    def messages(self) -> Iterator[tuple[Entry, str, str, Any]]:
        """What workers have told since: of which run, which worker, what, and more of it. An earlier fence's is
        dropped."""
        self.beat.turn()
        self._see_who_has_what()
        for name in board.names(self.folder / board.UP):
            file = self.folder / board.UP / name
            key, _, number = name.rpartition(".")
            entry = next((one for one in self.entries if one.key == key), None)
            if entry is not None and not entry.worker:
                self._see_who_has_what()
            if entry is not None and (told := board.read_pickled(file)) is not None:
                entry.asked = int(number) if told[0] == "epoch" else entry.asked
                yield entry, entry.worker, *told
            board.drop(file)

    def _see_who_has_what(self) -> None:
        taken = dict(name.rsplit(".", 1) for name in board.names(self.folder / board.TAKEN))
        for entry in self.entries:
            entry.worker = taken.get(entry.key, entry.worker)

    def answer(self, entry: Entry, answer: Answer) -> None:
        """To the last epoch that a run has told."""
        board.put_pickled(self.folder / board.DOWN / f"{entry.key}.{entry.asked:06}", answer)

    def _take_back(self, entry: Entry) -> None:
        """End the lease, or take the run out of the queue: whoever renames it at this moment loses it again."""
        if not board.drop(self.folder / board.TODO / entry.key):
            for name in board.names(self.folder / board.TAKEN):
                if name.startswith(f"{entry.key}."):
                    board.drop(self.folder / board.TAKEN / name)

    def give_out_again(self, entry: Entry, avoid: frozenset[str] = frozenset()) -> None:
        """Under the next fence. `avoid`: workers that shall not take it."""
        self._take_back(entry)
        entry.fence, entry.worker, entry.avoid = entry.fence + 1, "", avoid
        board.put_pickled(self.folder / board.TODO / entry.key, replace(entry.assignment, avoid=avoid))

    def over(self, entry: Entry) -> None:
        """A run has ended, or shall."""
        self._take_back(entry)
        self.entries.remove(entry)

    def close(self) -> None:
        """Take the board away: no worker does anything for it any more."""
        self.beat.stop()
        for _ in range(3):  # a worker may write this moment
            shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()
