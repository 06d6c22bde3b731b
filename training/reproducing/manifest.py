"""The images of a run as a table with their hashes, and which of them differ from those that lie here.

A run's record has the fingerprint of its images, not a hash of each; so only an exported folder can name every file
that differs. For a run folder it is the names that val and test had, and the times of the files.
"""

import csv
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from training.console.progress import bar
from training.data.dataset import Dataset, contents
from training.record import read_predictions
from training.reproducing.original import Original
from training.run_folder import write_whole
from training.schema.data_config import DataConfig

MANIFEST = "manifest.csv"
COLUMNS = ("name", "sha256", "class", "split")
PIXELS = "pixels:"  # before the hash of an image that is no file
KNOWN_DIGITS = 32  # of the SHA-256 that finegrid goes by
MOST_NAMED = 5
Rows = dict[str, tuple[str, str, str]]  # name -> sha256, class, split


def rows_of(dataset: Dataset, config: DataConfig, whole: bool) -> Rows:
    """Of the images as they are now. `whole`: all digits of the hashes of files, which reads them once more."""
    known = contents(config)
    split = {int(index): name for name, indices in dataset.split.items() for index in indices}
    rows: Rows = {}
    with bar("hashing images", len(dataset.names)) as advance:
        for index, name in enumerate(dataset.names):
            sha256 = known[name][2] if dataset.paths is not None else PIXELS + known[name][2]
            if whole and dataset.paths is not None:
                with dataset.paths[index].open("rb") as file:
                    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            rows[name] = (sha256, dataset.classes[int(dataset.labels[index])], split.get(index, ""))
            advance()
    return rows


def write_manifest(file: Path, rows: Rows) -> None:
    """A CSV with a row an image."""
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([name, *row] for name, row in rows.items())
    write_whole(file, text.getvalue().encode("utf-8", "surrogateescape"))


def read_manifest(folder: Path) -> Rows | None:
    """What --write left; None where there is nothing that can be read."""
    try:
        with (folder / MANIFEST).open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            return {row["name"]: (row["sha256"], row["class"], row["split"]) for row in csv.DictReader(file)}
    except (OSError, KeyError, TypeError, ValueError, csv.Error):
        return None


def missing_files(rows: Rows, root: Path) -> list[str]:
    """Names of the manifest below `root` that are no files there."""
    return [name for name, row in rows.items() if not row[0].startswith(PIXELS) and not (root / name).is_file()]


def differing(before: Rows, now: Rows) -> list[str]:
    """How the images differ, a part a kind: missing, changed, in another class or split, added."""
    both = [name for name in before if name in now]
    changed = [name for name in both if not _same_hash(before[name][0], now[name][0])]
    moved = [name for name in both if before[name][1:] != now[name][1:]]
    parts = [
        named("missing", [name for name in before if name not in now]),
        named("with another content", changed),
        named("in another class or split", moved),
        named("that were not there", [name for name in now if name not in before]),
    ]
    return [part for part in parts if part]


def _same_hash(first: str, second: str) -> bool:
    length = min(len(first), len(second))
    return length >= KNOWN_DIGITS and first[:length] == second[:length]


def without_manifest(original: Original, dataset: Dataset) -> Iterator[str]:
    """What can be told of how the images differ from those of a run that has left no hashes."""
    record, place = original.record, {name: index for index, name in enumerate(dataset.names)}
    for split in ("train", "val", "test"):
        before, now = getattr(record.data.n, split), len(dataset.split[split])
        if before not in (None, now):
            yield f"{now} {split} images, {before} recorded"
    known = [str(name) for name in record.data.classes or []]
    if known and known != list(dataset.classes):
        yield f"other classes ({len(dataset.classes)}, {len(known)} recorded)"
    names: list[str] = []
    for split in ("val", "test"):
        try:
            names += read_predictions(original.folder, record, split)[0].tolist()
        except ValueError:
            continue
    if gone := [name for name in names if name not in place]:
        yield named("missing", gone)
    newer = newer_files(dataset, record.time.started)
    if len(newer) == len(dataset.names):
        yield "all files were written or copied here after the run began, so their times don't tell which"
    elif newer:
        yield named("written since the run began", newer)


def newer_files(dataset: Dataset, started: str | None) -> list[str]:
    """Names of the images whose files were written, or moved here, after the run `started` (ISO 8601)."""
    if started is None or dataset.paths is None:
        return []
    try:
        began = datetime.fromisoformat(started)
    except ValueError:
        return []
    began = began if began.tzinfo else began.replace(tzinfo=UTC)
    times = [path.stat().st_ctime for path in dataset.paths]
    return [name for name, time in zip(dataset.names, times, strict=True) if time > began.timestamp()]


def named(what: str, names: list[str]) -> str:
    """`3 missing: a, b, c`; nothing where there are none."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{len(names)} {what}: {', '.join(names[:MOST_NAMED])}{more}" if names else ""
