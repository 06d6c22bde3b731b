"""Which images belong together, so that no split parts them: data.group_by=duplicates, or a column of data.csv."""

import hashlib
import io
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from training.data.files.decoding import to_rgb
from training.data.files.image_csv import column_of
from training.data.integrity import Look, cache_folder, unchanged
from training.data.parallel import in_threads
from training.data.sources import Source
from training.run_folder import UNREADABLE_ARRAYS, write_whole
from training.schema.checks import need
from training.schema.data_config import DataConfig

DUPLICATES = "duplicates"
VERSION = 2  # of what counts as a near copy: higher when training/data/near_copies finds others
log = logging.getLogger(__name__)


def groups_by(config: DataConfig, source: Source, looks: Sequence[Look] | None) -> np.ndarray | None:
    """The group of each image, int64 [N], as config.group_by has it; None where it is null. `looks`: what is in each
    image; only for duplicates. Raises ConfigError."""
    if config.group_by is None:
        return None
    if config.group_by == DUPLICATES:
        assert looks is not None
        return _of_copies(source, looks)
    named = f"data.group_by={config.group_by}"
    need(bool(config.csv), f"{named}: expected {DUPLICATES}, or a column of data.csv=FILE, which isn't given")
    file = Path(str(config.csv))
    values = column_of(file, Path(config.root) if config.root else file.parent, config.group_by)
    missing = [name for name in source.names if not values[name]]
    need(not missing, f"{named}: {len(missing)} image(s) have no value in this column, such as {' '.join(missing[:1])}")
    _, groups = np.unique(np.array([values[name] for name in source.names]), return_inverse=True)
    found: np.ndarray = groups.astype(np.int64)
    return found


def _of_copies(source: Source, looks: Sequence[Look]) -> np.ndarray:
    """Kept in the cache folder: all images have to be decoded for them."""
    lines = "\n".join(f"{name}\0{look.content}" for name, look in zip(source.names, looks, strict=True))
    digest = hashlib.sha256(f"{VERSION}\n{lines}".encode("utf-8", "surrogatepass")).hexdigest()[:16]
    file = cache_folder() / f"copies-{digest}.npy"
    try:
        kept: np.ndarray = np.load(file, allow_pickle=False)
        if kept.shape == (len(looks),) and kept.dtype == np.int64:
            return kept
    except UNREADABLE_ARRAYS:  # not there, or not ours: found out again
        pass
    found = _looked_for(source, looks)
    stream = io.BytesIO()
    np.save(stream, found)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, stream.getvalue())
    except OSError as error:
        log.debug("not cached: %s", error)
    return found


def _looked_for(source: Source, looks: Sequence[Look]) -> np.ndarray:
    from training.data.near_copies.candidates import CLOSER_SIDE, SIDE, small_grey  # SciPy: not for every plan
    from training.data.near_copies.search import groups_of, near_copies

    load = unchanged(source, looks)
    small = np.zeros((len(looks), SIDE, SIDE), dtype=np.uint8)

    def look(index: int) -> None:
        small[index] = small_grey(to_rgb(load(index)))

    in_threads(look, range(len(looks)), "looking for copies")

    def closer(indices: Sequence[int]) -> list[np.ndarray]:
        return in_threads(lambda index: small_grey(to_rgb(load(index)), CLOSER_SIDE), indices, "a closer look")

    pairs = [(twins.first, twins.second) for twins in near_copies(small, closer_look=closer)]
    first: dict[str, int] = {}
    for index, one in enumerate(looks):
        if (before := first.setdefault(one.content, index)) != index:
            pairs.append((before, index))
    return groups_of(len(looks), pairs)


def twins_in_train(split: dict[str, np.ndarray], groups: np.ndarray) -> dict[str, int]:
    """Val and test: how many of their images have a copy, exact or near, in train."""
    train = set(groups[split["train"]].tolist())
    return {name: sum(group in train for group in groups[split[name]].tolist()) for name in ("val", "test")}
