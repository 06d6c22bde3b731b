"""The files through which a controller and its workers speak: a folder that all of them reach, and atomic renames.

    <sweep>/.workers/                    only its owner may enter: what is pickled there is carried out
      members/WORKER                     a worker that lives: its beat, its slots
      boards/CONTROLLER/                 of one controller, which beats too
        program                          what all runs have in common
        todo/KEY                         a run to be taken
        taken/KEY.WORKER                 the lease: todo/KEY, renamed by the worker that takes it
        up/KEY.000003                    the third thing that the worker tells of it
        down/KEY.000003                  the answer to that
        threads                          CPU threads of a run whose trainer.threads is auto, where no GPU is used
        aside/WORKER                     this worker shall take nothing more

KEY is ORDER.NUMBER.FENCE. The fence counts how often the run was given out: a lease that is gone from `taken` is
over, whoever held it, and what comes from an earlier fence is not looked at. No lock is asked of the file system, and
no clock is compared with another's: a beat is a file that changes, and whoever watches it has a clock of its own.
"""

import contextlib
import json
import os
import pickle
import platform
import re
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudpickle

from training.schema.checks import need

WORKERS = ".workers"  # in a sweep's folder
MEMBERS, BOARDS = "members", "boards"
PROGRAM, BEAT, THREADS = "program", "beat", "threads"
TODO, TAKEN, UP, DOWN, ASIDE = "todo", "taken", "up", "down", "aside"
OUTPUT = ("logs", "slurm")  # what workers and their jobs have said
BEAT_S = 2.0


def new_name() -> str:
    """Of a worker or controller: HOST-PROCESS-RANDOM, without dots."""
    return f"{re.sub('[^A-Za-z0-9_-]', '_', platform.node())}-{os.getpid()}-{uuid.uuid4().hex[:6]}"


def own_folder(sweep_folder: Path) -> Path:
    """`.workers` of a sweep, made where it isn't there. Raises ConfigError where it is another user's, who could have
    anything carried out."""
    folder = sweep_folder / WORKERS
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    found = folder.lstat()
    need(found.st_uid == os.getuid() and folder.is_dir(), f"{folder} belongs to another user: take another sweep.name")
    if found.st_mode & 0o077:
        folder.chmod(0o700)
    return folder


def tidy(root: Path) -> None:
    """Remove `.workers` where neither a worker nor a controller is left in it."""
    with contextlib.suppress(OSError):
        for name in (BOARDS, MEMBERS):
            if (root / name).exists():
                (root / name).rmdir()
        for name in OUTPUT:
            shutil.rmtree(root / name, ignore_errors=True)
        root.rmdir()


def put(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all. (It need not outlive a power cut.) Raises OSError."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_bytes(content)
    part.replace(path)


def put_pickled(path: Path, content: object) -> None:
    """The same of any object."""
    put(path, cloudpickle.dumps(content))


def take(source: Path, target: Path) -> bool:
    """Rename `source`, for one of all who try. A server that answers twice says that the file is gone to whom it has
    given it, so the target decides. Raises OSError but for a file that is gone."""
    try:
        source.rename(target)
    except FileNotFoundError:
        return target.exists()
    return True


def drop(path: Path) -> bool:
    """Remove a file; False where there is none."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def names(folder: Path) -> list[str]:
    """What lies in a folder, sorted, but for files that are being written; nothing where there is none."""
    try:
        return sorted(entry.name for entry in os.scandir(folder) if not entry.name.startswith("."))
    except OSError:
        return []


def read_pickled(path: Path) -> Any:
    """A file of our own `.workers`. None where it is gone."""
    try:
        return pickle.loads(path.read_bytes())
    except FileNotFoundError:
        return None


def holds(lease: Path) -> bool | None:
    """Whether a lease is still held; None where that can't be known now. (Opening a file asks the server, where looking
    for its name may be answered from a cache.)"""
    try:
        lease.open("rb").close()
    except FileNotFoundError:
        return False
    except OSError:
        return None
    return True


class Beat:
    """Renews a file as long as this process lives and does its work (`turn`). `content`: what else it
    says."""

    def __init__(self, file: Path, content: Callable[[], Mapping[str, Any]], every_s: float = BEAT_S) -> None:
        self.file, self.content, self.every_s = file, content, every_s
        self.count = 0
        self.written = time.monotonic()  # when it was written last
        self.turned = time.monotonic()  # when the work went on last
        self.over, self.wake = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Write it once, raising OSError where that can't be, then go on in the background."""
        self._write()
        self.thread.start()

    def turn(self) -> None:
        """The work goes on."""
        self.turned = time.monotonic()

    def soon(self) -> None:
        """What it says has changed: beat at once."""
        self.wake.set()

    def stop(self) -> None:
        """Beat no more; the file goes."""
        self.over.set()
        self.wake.set()
        if self.thread.is_alive():
            self.thread.join()
        with contextlib.suppress(OSError):
            self.file.unlink()

    def _write(self) -> None:
        self.count += 1
        put(self.file, json.dumps({"beat": self.count, **self.content()}).encode())
        self.written = time.monotonic()

    def _run(self) -> None:
        while not self.over.is_set():
            self.wake.wait(self.every_s)
            self.wake.clear()
            if self.over.is_set():
                return
            if time.monotonic() - self.turned > 600:  # what hangs is no better than what is dead
                continue
            try:
                self._write()
            except OSError:  # a full disk: the time of the file changes without one
                with contextlib.suppress(OSError):
                    os.utime(self.file)
                    self.written = time.monotonic()


@dataclass
class Seen:
    """Of a beat: what it was when it was looked at last, since when, and how often it has changed."""

    state: object
    since: float
    changes: int = 0
    content: dict[str, Any] | None = None


@dataclass
class Watch:
    """Beats of others, seen by this process's own clock."""

    seen: dict[Path, Seen] = field(default_factory=dict)

    def look(self, file: Path) -> dict[str, Any] | None:
        """What a beat says; None where there is none."""
        before = self.seen.get(file)
        content: dict[str, Any] | None = None
        state: object = None
        try:
            with file.open("rb") as stream:
                text, time_ns = stream.read(), os.fstat(stream.fileno()).st_mtime_ns
            state, content = (text, time_ns), json.loads(text)
        except FileNotFoundError:
            pass
        except (OSError, ValueError):  # the server doesn't answer: no change either
            state = before.state if before else None
        if before is None:
            self.seen[file] = Seen(state, time.monotonic(), 0, content)
        elif before.state != state:
            self.seen[file] = Seen(state, time.monotonic(), before.changes + 1, content)
        return content

    def still_for(self, file: Path) -> float:
        """Seconds for which a beat has not changed, since it was first looked at."""
        return time.monotonic() - self.seen[file].since if file in self.seen else 0.0

    def lives(self, file: Path, lost_s: float) -> bool:
        """Look at a beat: has it changed since it was first looked at, and of late? (What a killed process left, or
        what came with a copied folder, never does.)"""
        return self.look(file) is not None and self.seen[file].changes > 0 and self.still_for(file) < lost_s
