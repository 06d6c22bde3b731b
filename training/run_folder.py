"""The files of a run folder: their names, the lock, and how they are written: whole or not at all. Without torch.

record.json (training/record.py) is written last, so whoever finds one finds a finished run. config.json says what a run
without a record is.
"""

import contextlib
import csv
import fcntl
import io
import json
import os
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

OUTPUTS = "outputs"  # where sweeps lie unless sweep.root says otherwise
RECORD = "record.json"
CONFIG = "config.json"
HISTORY = "history.csv"
MISTAKES = "mistakes.json"  # {"images": [...]}, see training/engine/tracking/mistakes.py
BEST = "best.safetensors"
RESUME = "resume.pt"
LOG = "run.log"
LOCK = ".lock"
MULTIRUN = "multirun.yaml"  # of a sweep, as Hydra calls it
ASKED = "sweep.json"  # of a sweep: the names that weights were asked for under, and a search's objectives
TRACKERS = "trackers.json"  # which run of a tracker this is (training/engine/tracking/elsewhere.py)
CARD = "README.md"  # training/engine/model_card.py
EXPORTS = {"onnx": "model.onnx", "torch": "model.pt2"}  # kind: its file, where no other is named
# What numpy raises for a file of predictions that is damaged, by where
UNREADABLE_ARRAYS = (
    *(OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, EOFError, MemoryError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error),
)

LOOK_S = 0.01  # between two looks at a lock; with long ones whoever lets go and soon asks again always wins

before_write: list[Callable[[], None]] = []  # called before a file takes the place of another; one may end the process


class RunInUse(Exception):
    """Another process is working on this run folder."""


def predictions_file(split: str) -> str:
    """The file of predictions for val or test: npz with id [N] str, label [N] int64, logits [N, classes] float32;
    twin [N] bool where some have a copy in train."""
    return f"predictions_{split}.npz"


def data_card_file(fingerprint: str) -> str:
    """Of a sweep: what its images of this fingerprint are (training/schema/data_card.py)."""
    return f"data_card-{fingerprint}.json"


def contact_sheet_file(fingerprint: str) -> str:
    """Of a sweep: some of these images in one picture."""
    return f"contact_sheet-{fingerprint}.webp"


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """Write `content` to `path` so that a reader, or a crash at any point, sees the old file or the new one.

    Raises OSError with the path in it, and the old file stays.
    """
    with replacing(path) as part, part.open("wb") as file:
        file.write(content)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside `path` to write to. At the end it takes the place of `path`; whatever is raised before, it is
    removed, and the old file stays. Raises OSError with the path in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        for check in before_write:
            check()
        part.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink()
        if isinstance(error, OSError):
            error.filename = str(path)  # "no space left on device" alone helps nobody
        raise


def remove_parts(folder: Path) -> None:
    """Remove what processes that were killed while writing have left. Only for the holder of the folder's lock."""
    for part in folder.glob(".*.part"):
        part.unlink()


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a dict as JSON, whole or not at all."""
    write_whole(path, (json.dumps(content, indent=1) + "\n").encode())


def read_text(path: Path, errors: str = "strict") -> str:
    """The text of a file. Raises OSError, also for what is no file (a pipe would be waited for), and ValueError."""
    if path.exists() and not path.is_file():
        raise OSError("it is no file")
    return path.read_text(encoding="utf-8", errors=errors)


def read_json(path: Path) -> dict[str, Any]:
    """The dict in a JSON file; {} where there is none that can be read."""
    try:
        content = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def read_history(folder: Path) -> list[dict[str, float]]:
    """The epochs in a run's history.csv, from the first on, up to one that is damaged: each has its number, and no
    cell that is no number (an empty one is left out). [] where there is none that can be read."""
    rows: list[dict[str, float]] = []
    with contextlib.suppress(OSError, ValueError, TypeError, AttributeError, csv.Error):
        for row in csv.DictReader(io.StringIO(read_text(folder / HISTORY, "replace"), newline="")):
            figures = {name: float(cell) for name, cell in row.items() if cell.strip()}
            if figures.get("epoch") != len(rows) + 1:
                break
            rows.append(figures)
    return rows


@contextlib.contextmanager
def lock(folder: Path, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the run folder. The lock is the kernel's: it goes with its owner, however that dies.

    Raises RunInUse when another process still holds it after `wait_s`.
    """
    ends = time.monotonic() + wait_s
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a+") as file:
        while not _locked(file):
            if time.monotonic() >= ends:
                file.seek(0)
                raise RunInUse(f"{folder} is in use by {file.read().strip() or 'another process'}")
            time.sleep(LOOK_S)
        with contextlib.suppress(OSError):  # on a full disk the lock holds all the same
            os.ftruncate(file.fileno(), 0)
            os.write(file.fileno(), f"process {os.getpid()} on {os.uname().nodename}".encode())
        yield


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
