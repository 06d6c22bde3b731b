"""The data set of a run: a source's images, checked, with its three splits and its fingerprint."""

import dataclasses
import functools
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from training.data.files.decoding import to_rgb
from training.data.files.left_out import left_out_lines
from training.data.files.same_files import SameFiles, same_files
from training.data.groups import DUPLICATES, groups_by, twins_in_train
from training.data.integrity import Look, examine, fingerprint, unchanged
from training.data.reading import READ_AS_EVER, Reading, reading_of
from training.data.sources import (
    EarlierReading,
    Source,
    check_classes,
    first_five,
    from_config,
    in_order_of_names,
    of_splits,
    take,
)
from training.data.splits import SPLITS, needs_draw, split_or_fold
from training.errors import ConfigError
from training.schema.data_config import DataConfig
from training.schema.record_parts import LeftOut

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Former:
    """What an earlier version called the same images, because it read them in another way."""

    why: str  # after `made with`: classes sorted as text (0, 1, 10)
    fingerprint: str
    drawn: tuple[str, ...]


@dataclass(frozen=True)
class Dataset:
    """N readable images in the order of their names. Shared by all who open the same config: not to be changed."""

    classes: tuple[str, ...]
    names: tuple[str, ...]  # [N]
    labels: np.ndarray  # int64 [N], indices into classes
    split: dict[str, np.ndarray]  # train, val and test: int64 indices of their images, ascending
    fingerprint: str  # 16 hex digits
    shared: dict[str, int]  # val and test: how many of their images are, to the byte, in train too
    drawn: tuple[str, ...]  # the splits that were drawn; the others came with the data
    skipped: tuple[str, ...]  # names of bad images that were left out
    load: Callable[[int], Image.Image]  # image i as upright 8-bit RGB, of any size
    paths: tuple[Path, ...] | None  # [N] files behind the images
    reading: Reading = READ_AS_EVER  # how pixels were made of what the files hold
    left_out: LeftOut = field(default_factory=LeftOut)  # what lies beside them and isn't used
    split_folders: dict[str, list[str]] = field(default_factory=dict)  # train, val, test: their folders
    same_files: SameFiles = field(default_factory=SameFiles)
    former: tuple[Former, ...] = ()
    twins: dict[str, int] | None = None  # val and test: images with a copy, near or exact, in train; None: not looked
    in_train: dict[str, np.ndarray] = field(default_factory=dict)  # val, test: bool [n], whether a copy is in train
    looks: Sequence[Look] = ()  # [N] what was found in each when it was checked

    def path_or_name(self, index: int) -> str:
        """What to call image `index` in a message: its path, or its name where it has none."""
        return self.names[index] if self.paths is None else str(self.paths[index])

    def summary(self) -> str:
        """What a run sees of its data, in one line: classes, images a split, what was left out and why."""
        drawn = {name: " (drawn)" * (name in self.drawn) for name in self.split}
        counts = ", ".join(f"{len(rows)} {name}{drawn[name]}" for name, rows in self.split.items())
        folders = ", ".join(f"{name} from {'/, '.join(places)}/" for name, places in self.split_folders.items())
        parts = [f"{len(self.classes)} classes ({first_five(self.classes)})", f"{counts} images", folders]
        parts += left_out_lines(self.left_out)
        if self.skipped:
            parts.append(f"bad images left out: {first_five(self.skipped)}")
        return "; ".join(filter(None, parts))


def open_dataset(config: DataConfig) -> Dataset:
    """Find, check, split and fingerprint the images that `config` names; kept for this process, so ask often.

    Raises ConfigError with one line for anything wrong with them: what, where, and what would be right.
    """
    return _open(json.dumps(dataclasses.asdict(config), sort_keys=True))


def open_as_read(config: DataConfig, fingerprint: str | None) -> Dataset:
    """The images of a finished run as it read them, where an earlier version did in another way; else what
    open_dataset(config) gives, which may be other images than those of the run."""
    dataset = open_dataset(config)
    source, looks, skipped = _usable_images(_without_fold(config))
    for earlier, former in zip(source.earlier, dataset.former, strict=False):  # those come first
        if former.fingerprint == fingerprint != dataset.fingerprint:
            read = {key: getattr(earlier, key) for key in ("classes", "labels", "splits")}
            kept = np.flatnonzero(earlier.labels >= 0).tolist()
            source = take(dataclasses.replace(source, **read, split_folders={}, earlier=()), kept)
            seen = [looks[index] for index in kept]
            groups = groups_by(config, source, seen)
            split, drawn = split_or_fold(source, config, _described(config), groups)
            return _dataset(source, seen, skipped, split, drawn, config, groups)
    return dataset


def open_without_test(config: DataConfig) -> Dataset:
    """Train and val of open_dataset(config), with a fingerprint of their own: no file of a test image is opened.

    (With data.on_bad=skip or data.group_by=duplicates and splits that have to be drawn, it is: the draw depends on
    which images are readable, and on what they show. And some of torchvision's sets open theirs to tell their labels.)
    """
    return _open(json.dumps(dataclasses.asdict(config), sort_keys=True), with_test=False)


@functools.lru_cache(maxsize=32)
def _open(config_as_json: str, with_test: bool = True) -> Dataset:
    config = DataConfig(**json.loads(config_as_json))
    if not with_test:
        return _without_test(config)
    source, looks, skipped = _usable_images(_without_fold(config))
    groups = groups_by(config, source, looks)
    split, drawn = split_or_fold(source, config, _described(config), groups)
    return _dataset(source, looks, skipped, split, drawn, config, groups)


def _without_fold(config: DataConfig) -> str:
    return json.dumps(dataclasses.asdict(config) | {"fold": None, "folds": None})


def _without_test(config: DataConfig) -> Dataset:
    source = in_order_of_names(from_config(config))
    check_classes(source, _described(config))
    if needs_draw(source, config) and (config.on_bad == "skip" or config.group_by == DUPLICATES):
        whole = open_dataset(config)
        return dataclasses.replace(whole, split=whole.split | {"test": np.empty(0, dtype=np.int64)})
    groups = None if config.group_by == DUPLICATES else groups_by(config, source, None)
    split, drawn = split_or_fold(source, config, _described(config), groups)
    source, looks, skipped = _without_bad(of_splits(source, split, ("train", "val")), config)
    split = {name: np.flatnonzero(source.splits == name) for name in SPLITS}
    return _dataset(source, looks, skipped, split, drawn, config, None)


def _dataset(
    source: Source,
    looks: list[Look],
    skipped: tuple[str, ...],
    split: dict[str, np.ndarray],
    drawn: tuple[str, ...],
    config: DataConfig,
    groups: np.ndarray | None,
) -> Dataset:
    reading = reading_of(source.names, looks, config.value_range)
    reading.tell()
    files = [look.content for look in looks]
    hashes = [look.raw or look.content for look in looks] if reading.differs else files
    same = same_files(split, source.labels, files, source.names, source.classes)
    for line in same.lines():
        log.warning("%s", line)
    former = [_former(source, files, one, drawn) for one in source.earlier]
    about = (source.classes, source.names, source.labels, source.splits)
    if reading.differs:
        former.append(Former(reading.reason, fingerprint(*about, files), drawn))
    load = unchanged(source, looks)
    return Dataset(
        classes=source.classes,
        names=source.names,
        labels=source.labels,
        split=split,
        fingerprint=fingerprint(*about, hashes, reading.differs),
        shared=_shared(split, hashes),
        drawn=drawn,
        skipped=skipped,
        load=lambda index: to_rgb(load(index), reading.ranges),
        paths=source.paths,
        reading=reading,
        left_out=source.left_out,
        split_folders=source.split_folders,
        same_files=same,
        twins=_twins(split, groups) if groups is not None and config.group_by == DUPLICATES else None,
        former=tuple(former),
        in_train=_in_train(split, hashes, groups if config.group_by == DUPLICATES else None),
        looks=looks,
    )


def contents(config: DataConfig, again: bool = False) -> dict[str, tuple[str, str, str]]:
    """Split, class and content hash of each image by its name, as open_dataset(config) has them in this process;
    `again`: as they are now. Raises ConfigError."""
    key = _without_fold(config)
    source, looks, _ = _usable_images.__wrapped__(key) if again else _usable_images(key)
    splits = [""] * len(looks) if source.splits is None else [str(split) for split in source.splits]
    classes = [source.classes[label] for label in source.labels.tolist()]
    hashes = [look.content for look in looks]
    return dict(zip(source.names, zip(splits, classes, hashes, strict=True), strict=True))


def _former(source: Source, hashes: list[str], earlier: EarlierReading, drawn: tuple[str, ...]) -> Former:
    used = np.flatnonzero(earlier.labels >= 0)
    names, contents = [source.names[index] for index in used], [hashes[index] for index in used]
    splits = None if earlier.splits is None else earlier.splits[used]
    name = fingerprint(earlier.classes, names, earlier.labels[used], splits, contents)
    if (splits is None) != (source.splits is None):
        drawn = SPLITS
    elif splits is not None:
        drawn = tuple(split for split in drawn if split == "train") + tuple({"val", "test"} - set(splits))
    return Former(earlier.why, name, drawn)


@functools.lru_cache(maxsize=32)
def _usable_images(config_as_json: str) -> tuple[Source, list[Look], tuple[str, ...]]:
    """The images that can be used, what is in each, and the names of those left out. The same for all folds."""
    config = DataConfig(**json.loads(config_as_json))
    source = in_order_of_names(from_config(config))
    check_classes(source, _described(config))
    return _without_bad(source, config)


def _without_bad(source: Source, config: DataConfig) -> tuple[Source, list[Look], tuple[str, ...]]:
    """Look at every image: those that can be read, what is in each, and the names of the others. Raises ConfigError."""
    looks, bad = examine(source, config)
    skipped = tuple(source.names[index] for index in bad)
    if bad:
        first, more = next(iter(bad.values())), len(bad) - 1
        others = f" (and {more} more bad images)" if more else ""
        if config.on_bad == "raise":
            raise ConfigError(f"bad image: {first}{others}; repair it, or leave such images out with data.on_bad=skip")
        log.warning("left out %d bad image(s), the first: %s", len(bad), first)
        source = take(source, [index for index in range(len(looks)) if index not in bad])
        check_classes(source, f"{_described(config)}, without its {len(bad)} bad images")
    return source, [look for look in looks if look is not None], skipped


def _described(config: DataConfig) -> str:
    return f"data.csv={config.csv}" if config.csv else config.root or config.name or config._target_


def _twins(split: dict[str, np.ndarray], groups: np.ndarray) -> dict[str, int]:
    twins = twins_in_train(split, groups)
    for name, count in twins.items():
        if count:
            log.warning("%d of the %s images have a copy, exact or near, in train", count, name)
    return twins


def _in_train(split: dict[str, np.ndarray], hashes: list[str], groups: np.ndarray | None) -> dict[str, np.ndarray]:
    """Val and test: which of their images are in train too, to the byte, or nearly where `groups` were looked for."""
    found = {}
    exact = {hashes[index] for index in split["train"]}
    for name in ("val", "test"):
        found[name] = np.array([hashes[index] in exact for index in split[name]], dtype=bool)
        if groups is not None:
            found[name] |= np.isin(groups[split[name]], groups[split["train"]])
    return found


def _shared(split: dict[str, np.ndarray], hashes: list[str]) -> dict[str, int]:
    seen = {hashes[index] for index in split["train"]}
    shared = {name: sum(hashes[index] in seen for index in split[name]) for name in ("val", "test")}
    for name, count in shared.items():
        if count:
            log.warning("%d of the %s images are in train too: %s accuracy is biased upwards", count, name, name)
    return shared
