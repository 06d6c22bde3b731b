"""Which images are readable, and what they are: every new file is decoded once and hashed, before a run begins.

What was found is kept in a small file in the user's cache folder ($FINEGRID_CACHE, else $XDG_CACHE_HOME/finegrid, else
~/.cache/finegrid) by name, size, times, inode and a hash of some blocks. Losing that file costs time and nothing else.
"""

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from training.data.files import decode_memory
from training.data.files.decoding import GIANT, BadImage, checked, decode, in_file, reduction, to_rgb
from training.data.files.image_facts import has_frames, header, is_transparent, one_colour
from training.data.files.value_range import Values, kind_of, measured
from training.data.parallel import in_threads
from training.data.sources import Source
from training.schema.data_config import DataConfig

# Of an image: `deep` (Values), `one` (one colour), `blank` (so for its transparency), `giant`, `frames` (several), and
# `file` (width, height and mode there; null where they can't be told).
Seen = dict[str, Any]
Stat = tuple[int, int, int, int]  # of a file: size in bytes, mtime in ns, inode, ctime in ns
BLOCK = 4096  # bytes at the beginning, the middle and the end of a file that are compared each time
TRIES = 3  # to read a file that changes meanwhile
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Look:
    """What was found in a readable image. `content` and `raw`: 32 hex digits; `raw` only for deep images without a
    file, whose content is hashed as they were read before there was a range. `stat`, `sample`: of its file."""

    content: str
    seen: Seen
    stat: Stat | None = None
    sample: str = ""
    raw: str = ""

    def to_json(self) -> list[Any]:
        """A line of the cache: what earlier versions kept, and then what they didn't."""
        assert self.stat is not None
        return [*self.stat[:2], self.content, *self.stat[2:], self.sample, self.seen]

    @classmethod
    def from_json(cls, line: Any) -> "Look | None":
        """None for a line of an earlier version: such a file is looked at again, once."""
        size, changed, content, *more = line
        if len(more) != 4:
            return None
        inode, ctime, sample, seen = more
        return cls(str(content), dict(seen), (int(size), int(changed), int(inode), int(ctime)), str(sample))

    @property
    def values(self) -> Values | None:
        """Of a deep image."""
        return Values(*self.seen["deep"]) if "deep" in self.seen else None


Known = dict[str, Look]  # by name


def cache_folder() -> Path:
    """Where finegrid keeps what it can find out again."""
    if given := os.environ.get("FINEGRID_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "finegrid"  # noqa: PTH111


def examine(source: Source, config: DataConfig) -> tuple[list[Look | None], dict[int, str]]:
    """What is in each image (None for a bad one), and what is wrong with the bad ones by index.

    Files are hashed as they are, images without a file by their pixels. Bad files are never cached, so they get
    another chance when Pillow learns to read them. A file is known again by its size, times, inode and a few of its
    blocks; where one differs, or with data.verify, by the hash of the whole.
    """
    bad: dict[int, str] = {}
    looks: list[Look | None] = [None] * len(source.names)
    file = _cache_file(config)
    known: Known = {} if source.paths is None else _read(file)
    changed: set[int] = set()
    decode_memory.set_limit(config.memory_gb)

    def look(index: int) -> None:
        before = known.get(source.names[index])
        try:
            if source.paths is None:
                looks[index] = _look_at_pixels(source, index)
                return
            found = None if before is None else _known_again(source.paths[index], before, config.verify)
            looks[index] = found or _look_at_file(source, index)
            if looks[index] != before:
                changed.add(index)
        except BadImage as error:
            bad[index] = str(error)

    try:
        in_threads(look, range(len(looks)), "checking images")
    finally:  # when interrupted too: half an hour of checking isn't lost
        if changed:
            known.update({source.names[index]: found for index in changed if (found := looks[index])})
            _write(file, known)
    return looks, dict(sorted(bad.items()))


def unchanged(source: Source, looks: Sequence[Look | None]) -> Callable[[int], Image.Image]:
    """source.load of files that still have the content that was looked at. Raises BadImage for one that hasn't."""
    if source.paths is None:
        return source.load
    paths, stats, contents = (
        source.paths,
        [look and look.stat for look in looks],
        [look and look.content for look in looks],
    )

    def load(index: int) -> Image.Image:
        path = paths[index]
        for _ in range(TRIES):
            before = _stat(path)
            image = source.load(index)
            if before == stats[index] == _stat(path):
                return image
            content = _hash(path)
            if before == _stat(path):
                if content != contents[index]:
                    raise BadImage(f"{path}: its content has changed since the images were looked at")
                stats[index] = before
                return image
        raise BadImage(f"{path}: it changes while it is read")

    return load


def fingerprint(
    classes: Sequence[str],
    names: Sequence[str],
    labels: np.ndarray,
    splits: np.ndarray | None,
    hashes: Sequence[str],
    reading: Mapping[str, Any] | None = None,
) -> str:
    """16 hex digits that stand for a data set: its classes and, for N images in any order, name, label, split, content.

    Where it lies, file times and the order in which a file system lists it don't enter. `reading`: how images are read
    otherwise than by earlier versions; empty where all are read as ever.
    """
    given = [""] * len(names) if splits is None else [str(split) for split in splits]
    images = sorted(zip(names, labels.tolist(), given, hashes, strict=True))
    content = [list(classes), images, *([reading] if reading else [])]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _known_again(path: Path, before: Look, whole: bool) -> Look | None:
    """The look at a file that has not changed since; None where it has, or can't be read."""
    for _ in range(TRIES):
        stat = _stat(path)
        try:
            sample = _sample(path, stat[0])
            same = stat == before.stat and sample == before.sample
            if (not same or whole) and _hash(path) != before.content:
                return None
        except OSError:
            return None
        if _stat(path) == stat:
            before = before if "file" in before.seen else _with_header(before, path)
            return before if same else replace(before, stat=stat, sample=sample)
    return None


def _with_header(before: Look, path: Path) -> Look:
    """The look of an earlier version, which kept neither size nor mode."""
    known = header(path)
    return replace(before, seen={**before.seen, "file": None if known is None else list(known)})


def _look_at_file(source: Source, index: int) -> Look:
    assert source.paths is not None
    path = source.paths[index]
    for _ in range(TRIES):
        stat = _stat(path)
        with decode_memory.held():
            seen = _seen(_loaded(source, index), path)
        try:
            found = Look(_hash(path), seen, stat, _sample(path, stat[0]))
        except OSError as error:
            raise BadImage(f"{path}: {str(error.strerror or error).lower()}") from error
        if _stat(path) == stat:
            return found
    raise BadImage(f"{path}: it changes while it is read")


def _look_at_pixels(source: Source, index: int) -> Look:
    raw = _loaded(source, index)
    image = decode(lambda: raw, source.names[index])
    content = hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest()[:32]
    seen = _seen(raw, None)
    if "deep" not in seen:
        return Look(content, seen)
    pixels = hashlib.sha256(repr((raw.size, raw.mode)).encode() + raw.tobytes()).hexdigest()[:32]
    return Look(content, seen, raw=pixels)


def _loaded(source: Source, index: int) -> Image.Image:
    """An image as its source gives it, its pixels loaded. Raises BadImage."""

    def load() -> Image.Image:
        image = source.load(index)
        if not isinstance(image, Image.Image):
            raise TypeError(f"expected a Pillow image, got {type(image).__name__}")
        if 0 in image.size:
            raise ValueError("the image has no pixels")
        image.load()
        return image

    return checked(load, str(source.paths[index] if source.paths is not None else source.names[index]))


def _seen(image: Image.Image, path: Path | None) -> Seen:
    seen: Seen = {}
    if kind_of(image.mode) is not None:
        seen["deep"] = measured(image.mode, np.asarray(image)).to_json()
    elif one_colour(rgb := to_rgb(image)):
        seen["blank" if rgb.getpixel((0, 0)) == (255, 255, 255) and is_transparent(image, path) else "one"] = 1
    width, height, mode = in_file(image)
    if path is not None and 10 * image.width * image.height > GIANT:
        width, height, mode = header(path) or (width, height, mode)
    seen["file"] = [width, height, mode]
    if reduction((width, height)) > 1:
        seen["giant"] = 1
    if path is not None and has_frames(path):
        seen["frames"] = 1
    return seen


def _hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:32]


def _sample(path: Path, size: int) -> str:
    """16 hex digits for the first, middle and last block of a file of `size` bytes. Raises OSError."""
    digest = hashlib.blake2b(digest_size=8)
    with path.open("rb", buffering=0) as stream:
        if size <= 3 * BLOCK:
            digest.update(stream.read(3 * BLOCK))
        else:
            for start in (0, size // 2, size - BLOCK):
                digest.update(os.pread(stream.fileno(), BLOCK, start))
    return digest.hexdigest()


def _stat(path: Path) -> Stat:
    try:
        found = os.stat(path)  # noqa: PTH116 (a third of the time)
    except OSError:  # said better when it is opened
        return -1, -1, -1, -1
    return found.st_size, found.st_mtime_ns, found.st_ino, found.st_ctime_ns


def _cache_file(config: DataConfig) -> Path:
    where = [os.path.abspath(path) if path else None for path in (config.root, config.csv)]  # noqa: PTH100
    named = [config.name] if config.name else []
    place = json.dumps([config._target_, *where, config.kwargs, *named], sort_keys=True, default=str)
    return cache_folder() / f"images-{hashlib.sha256(place.encode()).hexdigest()[:16]}.json"


def _read(file: Path) -> Known:
    try:
        lines = json.loads(file.read_text()).items()
        return {str(name): look for name, line in lines if (look := Look.from_json(line)) is not None}
    except (OSError, ValueError, TypeError, AttributeError):  # not there, or not ours: found out again
        return {}


def _write(file: Path, known: Known) -> None:
    """Whole or not at all, so that readers and other writers never meet half a file."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=file.stem, delete=False) as stream:
            half = Path(stream.name)
            try:
                json.dump({name: look.to_json() for name, look in known.items()}, stream)
                stream.close()
                half.replace(file)
            except BaseException:
                half.unlink()
                raise
    except OSError as error:
        log.debug("not cached: %s", error)
