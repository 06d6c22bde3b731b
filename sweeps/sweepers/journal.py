"""The file of a study that has no database: Optuna's journal, a line of JSON an entry.

A full disk, or a controller that is killed while it writes, leaves half a line at its end. Optuna would put the next
entry behind it, and nobody could read the file again; so whoever is about to write cuts such a piece off first.
"""

import contextlib
import json
import logging
import time
from pathlib import Path
from typing import BinaryIO

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from sweeps.sweepers.optuna_private import try_lock
from training.errors import ConfigError

JOURNAL = "study.journal"
PIECES = ".cut"  # added to the journal's name: what was cut off
BLOCK = 1 << 16  # bytes that are read at once, from the end of the file on
LOOK_S, LOOKS = 0.003, 1000  # between two looks at the journal's lock, and how often; from then on as Optuna does
log = logging.getLogger(__name__)


class MendingLock(JournalFileSymlinkLock):
    """Optuna's lock, which whoever appends holds; the file ends with a whole entry as soon as it is held."""

    def __init__(self, file: Path) -> None:
        super().__init__(str(file))
        self.file = file

    def acquire(self) -> bool:
        """Wait for the lock, and cut off what is no whole entry. Raises OSError."""
        held = self._soon() or super().acquire()
        try:
            cut_back(self.file)
        except BaseException:
            self.release()
            raise
        return held

    def _soon(self) -> bool:
        """Look for the lock again and again. Optuna looks ever less often, at last once a second, and of many who write
        much whoever waits longest waits ever longer."""
        for _ in range(LOOKS):
            if try_lock(self):
                return True
            time.sleep(LOOK_S)
        return False


def open_journal(file: Path) -> JournalStorage:
    """The storage in `file`. Raises ConfigError where an entry before the last is damaged."""
    try:
        return JournalStorage(JournalFileBackend(str(file), lock_obj=MendingLock(file)))
    except (ValueError, LookupError, TypeError, AssertionError) as error:  # no JSON, or JSON that is something else
        number = first_damaged(file)
        what = f"{f'line {number}' if number else 'a line'} is no entry of a study ({type(error).__name__}: {error})"
        raise ConfigError(
            f"{file}: {what}, and others follow; remove that line, or take another sweep.name for a new study"
        ) from None


def mend(file: Path) -> None:
    """Cut off what is no whole entry at the end of a journal, where there is one. Raises OSError."""
    if file.exists():
        lock = MendingLock(file)
        lock.acquire()
        lock.release()


def cut_back(file: Path) -> None:
    """Keep the entries of `file` up to the last whole one; the rest goes to a file beside it. Only for the holder of
    its lock. Raises OSError."""
    with file.open("rb+") as journal:
        end = whole_until(journal)
        journal.seek(end)
        piece = journal.read()
        if not piece:
            return
        journal.truncate(end)  # first, since on a full disk this may make room for the piece
        aside = file.with_name(file.name + PIECES)
        kept = f"kept in {aside}"
        try:
            with aside.open("ab") as pieces:
                pieces.write(piece + b"\n")
        except OSError as error:  # a full disk: the study is worth more than half an entry
            kept = f"lost ({error.strerror})"
    log.warning("%s ended with half an entry: cut off, %d bytes, %s; the study goes on", file, len(piece), kept)


def whole_until(journal: BinaryIO) -> int:
    """Where the last whole entry of a journal ends."""
    end = journal.seek(0, 2)
    while end:
        start = start_of_line(journal, end)
        journal.seek(start)
        line = journal.read(end - start)
        if line.endswith(b"\n") and is_entry(line):
            return end
        end = start
    return 0


def start_of_line(journal: BinaryIO, end: int) -> int:
    """Where the line begins that ends before `end`, its line feed included."""
    upto = end - 1  # the line's own line feed
    while upto > 0:
        start = max(0, upto - BLOCK)
        journal.seek(start)
        found = journal.read(upto - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        upto = start
    return 0


def is_entry(line: bytes) -> bool:
    """Whether a line is an entry as Optuna writes it."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and "op_code" in content


def first_damaged(file: Path) -> int:
    """The number of the first line that is no entry; counts from 1."""
    with contextlib.suppress(OSError), file.open("rb") as journal:
        for number, line in enumerate(journal, 1):
            if not is_entry(line):
                return number
    return 0
