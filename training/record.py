"""The files of a run folder that others read, and how they are written: whole or not at all. Without torch.

record.json is written last, so whoever finds one finds a finished run. config.json says what a run without a record is.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RECORD = "record.json"
CONFIG = "config.json"
HISTORY = "history.csv"
BEST = "best.safetensors"
RESUME = "resume.pt"
LOG = "run.log"
LOCK = ".lock"
SCHEMA = 1


class RunInUse(Exception):
    """Another process is working on this run folder."""


def predictions_file(split: str) -> str:
    """The file of predictions for val or test: npz with id [N] str, label [N] int64, logits [N, classes] float32."""
    return f"predictions_{split}.npz"


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that a reader, or a crash at any point, sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a dict as JSON, whole or not at all."""
    write_whole(path, (json.dumps(content, indent=1) + "\n").encode())


def read_record(folder: Path) -> dict[str, Any] | None:
    """The record in `folder`, or None where the run has not ended (or its record can't be read)."""
    try:
        record = json.loads((folder / RECORD).read_text())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold the run folder. The lock is the kernel's: it goes with its owner, however that dies. Raises RunInUse."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            owner = file.read().strip() or "another process"
            raise RunInUse(f"{folder} is in use by {owner}") from error
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {os.uname().nodename}")
        file.flush()
        yield
