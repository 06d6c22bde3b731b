"""Which images are readable, and what they are: every new file is decoded once and hashed, before a run begins.

What was found is kept in a small file in the user's cache folder ($FINEGRID_CACHE, else $XDG_CACHE_HOME/finegrid, else
~/.cache/finegrid) by name, size and modification time. Losing that file costs time and nothing else.
"""

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from training.config import DataConfig
from training.data.files.decoding import BadImage, decode
from training.data.parallel import in_threads
from training.data.sources import Source

Known = dict[str, list[int | str]]  # name -> [size, mtime in ns, hash]
log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Where finegrid keeps what it can find out again."""
    if given := os.environ.get("FINEGRID_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "finegrid"  # noqa: PTH111


def examine(source: Source, config: DataConfig) -> tuple[list[str], dict[int, str]]:
    """A hash of the content of each image ("" for a bad one), and what is wrong with the bad ones by index.

    Files are hashed as they are, images without a file by their pixels. Bad files are never cached, so they get
    another chance when Pillow learns to read them.
    """
    bad: dict[int, str] = {}
    hashes = [""] * len(source.names)
    stats: list[tuple[int, int]] = []
    known: Known = {}
    if source.paths is not None:
        file = _cache_file(config)
        known = _read(file)
        stats = [_stat(path) for path in source.paths]
        for index, (name, stat) in enumerate(zip(source.names, stats, strict=True)):
            size, changed, content = known.get(name, (0, 0, ""))
            if (size, changed) == stat:
                hashes[index] = str(content)

    def look(index: int) -> None:
        try:
            hashes[index] = _content(source, index)
        except BadImage as error:
            bad[index] = str(error)

    new = [index for index, content in enumerate(hashes) if not content]
    try:
        in_threads(look, new, "checking images")
    finally:  # when interrupted too: half an hour of checking isn't lost
        if source.paths is not None and (readable := [index for index in new if hashes[index]]):
            known.update({source.names[index]: [*stats[index], hashes[index]] for index in readable})
            _write(file, known)
    return hashes, dict(sorted(bad.items()))


def fingerprint(
    classes: Sequence[str], names: Sequence[str], labels: np.ndarray, splits: np.ndarray | None, hashes: Sequence[str]
) -> str:
    """16 hex digits that stand for a data set: its classes and, for N images in any order, name, label, split, content.

    Where it lies, file times and the order in which a file system lists it don't enter.
    """
    given = [""] * len(names) if splits is None else [str(split) for split in splits]
    images = sorted(zip(names, labels.tolist(), given, hashes, strict=True))
    return hashlib.sha256(json.dumps([list(classes), images]).encode()).hexdigest()[:16]


def _content(source: Source, index: int) -> str:
    path = source.paths[index] if source.paths is not None else None
    image = decode(lambda: source.load(index), str(path or source.names[index]))
    if path is None:
        return hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest()[:32]
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:32]


def _stat(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:  # said better when it is opened
        return -1, -1
    return found.st_size, found.st_mtime_ns


def _cache_file(config: DataConfig) -> Path:
    where = [os.path.abspath(path) if path else None for path in (config.root, config.csv)]  # noqa: PTH100
    named = [config.name] if config.name else []
    place = json.dumps([config._target_, *where, config.kwargs, *named], sort_keys=True, default=str)
    return cache_folder() / f"images-{hashlib.sha256(place.encode()).hexdigest()[:16]}.json"


def _read(file: Path) -> Known:
    try:
        found = json.loads(file.read_text())
        return {str(name): [int(size), int(changed), str(content)] for name, (size, changed, content) in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):  # not there, or not ours: found out again
        return {}


def _write(file: Path, known: Known) -> None:
    """Whole or not at all, so that readers and other writers never meet half a file."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=file.stem, delete=False) as stream:
            half = Path(stream.name)
            try:
                json.dump(known, stream)
                stream.close()
                half.replace(file)
            except BaseException:
                half.unlink()
                raise
    except OSError as error:
        log.debug("not cached: %s", error)
