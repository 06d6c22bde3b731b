"""The CSV of predictions, and classes.json beside it.

Rows are written as they come, to FILE.part, which takes the name FILE when all are in it. So FILE is whole, or an older
one, or not there; and whatever ends the work early, FILE.part holds the rows so far. The next start replaces it.
"""

import contextlib
import csv
import fcntl
import io
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from training.data.files.decoding import BadImage
from training.errors import ConfigError
from training.run_folder import read_json, write_json
from training.schema.checks import need

CLASSES = "classes.json"
COLUMNS = ("ID", "label")
START = ",".join(COLUMNS).encode()
Append = Callable[[Sequence[Sequence[str]]], None]


def part_of(file: Path) -> Path:
    """The file that holds the rows until all are there."""
    return file.with_name(f"{file.name}.part")


@contextlib.contextmanager
def growing_csv(file: Path, columns: Sequence[str]) -> Iterator[Append]:
    """Yields a function that writes rows at once. At the end FILE.part becomes `file`. What is raised before leaves
    FILE.part, but for a BadImage, which the user wanted to stop at. Raises OSError with the path in it."""
    part = part_of(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with part.open("ab") as stream:
            _hold(stream.fileno(), part)
            stream.truncate(0)

            def append(rows: Sequence[Sequence[str]]) -> None:
                text = io.StringIO()
                csv.writer(text, lineterminator="\n").writerows(rows)
                stream.write(text.getvalue().encode())
                stream.flush()

            append([columns])
            yield append
            os.fsync(stream.fileno())
            part.replace(file)
    except BadImage:
        part.unlink()
        raise
    except OSError as error:
        error.filename = error.filename or str(part)  # "no space left on device" alone helps nobody
        raise


def _hold(descriptor: int, part: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise ConfigError(f"{part}: another process writes its predictions there; choose another --out") from error


def check_out(file: Path, lists: Sequence[str]) -> None:
    """Raise ConfigError where predictions can't be written to `file`, or would replace something else: a file that is
    not of predictions, a list of images or a classes.json that is not of predictions."""
    need(file.is_file() or not file.exists(), f"--out {file} is a folder or a device, expected a file")
    for one in lists:
        same = file.exists() and Path(one).exists() and file.samefile(one)
        need(not same, f"--out {file} is the file that the images are taken from; choose another")
    need(
        not file.exists() or not file.stat().st_size or _first_line(file).startswith(START),
        f"--out {file} is there and is not of predictions; choose another",
    )
    beside = file.parent / CLASSES
    need(
        not beside.exists() or bool(_mapping(beside)),
        f"{beside} is there and is not of predictions; choose another --out",
    )


def _first_line(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.readline(1000)


def write_classes(folder: Path, classes: Sequence[str]) -> str:
    """classes.json: {"0": "cat", "1": "dog"}, index and name as in the CSV. Gives a line where others stood there."""
    file = folder / CLASSES
    mapping = {str(index): name for index, name in enumerate(classes)}
    before = _mapping(file)
    if before == mapping:
        return ""
    write_json(file, mapping)
    return f"{file}: replaced, other predictions beside it may be of other classes" if before else ""


def _mapping(file: Path) -> dict[str, str]:
    """The content of a classes.json; {} where it is something else."""
    found = read_json(file)
    return found if list(found) == [str(index) for index in range(len(found))] else {}
