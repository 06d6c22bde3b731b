"""Where images and labels come from: a source is a function of the data config that returns a Source.

One of your own: write such a function in a module that Python finds, and name it: data._target_=my_module.my_function.
Those that come with finegrid: digits.py, image_folder.py, torchvision_sets.py; each has a file in conf/data.
"""

import dataclasses
import inspect
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from training.data.splits import SPLITS
from training.errors import ConfigError
from training.schema.checks import need
from training.schema.data_config import DataConfig
from training.schema.record_parts import LeftOut
from training.targets import failure, locate


@dataclass(frozen=True)
class EarlierReading:
    """How an earlier version of finegrid read the same N images, so that its runs can be found."""

    why: str  # what was other then, after `made with`: classes sorted as text (0, 1, 10)
    classes: tuple[str, ...]
    labels: np.ndarray  # int64 [N], indices into those classes; -1: the image was not used
    splits: np.ndarray | None  # as Source.splits


@dataclass(frozen=True)
class Source:
    """N labelled images, in any order. Raises ConfigError where the fields don't fit each other."""

    classes: tuple[str, ...]
    names: tuple[str, ...]  # [N], each once: the image's id in predictions, such as its relative path with /
    labels: np.ndarray  # int64 [N], indices into classes
    splits: np.ndarray | None  # str [N] of train, val and test, or train and one of them; None: to be drawn
    load: Callable[[int], Image.Image]  # image i, of any mode and size; called from several threads
    paths: tuple[Path, ...] | None = None  # [N] files behind the images; None: there are none
    left_out: LeftOut = field(default_factory=LeftOut)  # what lies beside them and isn't used
    split_folders: dict[str, list[str]] = field(default_factory=dict)  # train, val, test: folders, where they are any
    earlier: tuple[EarlierReading, ...] = ()

    def __post_init__(self) -> None:
        for key in ("labels", "splits", "paths"):
            value = getattr(self, key)
            fits = value is None or len(value) == len(self.names)
            need(fits, f"Source.{key}: expected one for each of {len(self.names)} names")
        for name, count in Counter(self.names).items():
            need(count == 1, f"Source.names: {name} is there {count} times")
        for label in set(np.asarray(self.labels).tolist()):
            ok = isinstance(label, int) and 0 <= label < len(self.classes)
            need(ok, f"Source.labels: {label}, expected an index into its {len(self.classes)} classes")
        for split in () if self.splits is None else set(np.asarray(self.splits).tolist()):
            need(split in SPLITS, f"Source.splits: {split}, expected train, val or test")


def from_config(config: DataConfig) -> Source:
    """Call the source that config names. Raises ConfigError if it isn't there or isn't one."""
    target = config._target_
    function = locate(target, "data", "module.function, importable from here")
    try:
        inspect.signature(function).bind(config)
    except (TypeError, ValueError) as error:
        wanted = "a function that takes the data config and returns a training.sources.Source"
        raise ConfigError(f"data._target_={target}: {error}; expected {wanted}") from error
    try:
        source = function(config)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"data._target_={target}: {failure(error)}") from error
    if not isinstance(source, Source):
        raise ConfigError(f"data._target_={target} returned {type(source).__name__}, expected training.sources.Source")
    return source


def in_order_of_names(source: Source) -> Source:
    """In the order of names, so that neither splits nor batches depend on how a file system or a CSV is ordered."""
    return take(source, sorted(range(len(source.names)), key=source.names.__getitem__))


def take(source: Source, kept: list[int]) -> Source:
    """The images `kept` of a source, in this order."""
    rows = np.array(kept, dtype=np.int64)
    load, paths = source.load, source.paths
    return Source(
        classes=tuple(source.classes),
        names=tuple(source.names[index] for index in kept),
        labels=np.asarray(source.labels)[rows].astype(np.int64),
        splits=None if source.splits is None else np.asarray(source.splits)[rows],
        load=lambda index: load(kept[index]),
        paths=None if paths is None else tuple(paths[index] for index in kept),
        left_out=source.left_out,
        split_folders=source.split_folders,
        earlier=tuple(_take_earlier(one, rows) for one in source.earlier),
    )


def _take_earlier(earlier: EarlierReading, rows: np.ndarray) -> EarlierReading:
    splits = None if earlier.splits is None else earlier.splits[rows]
    return dataclasses.replace(earlier, labels=earlier.labels[rows], splits=splits)


def of_splits(source: Source, split: dict[str, np.ndarray], wanted: tuple[str, ...]) -> Source:
    """The images of the `wanted` splits, as if the data had come with these."""
    splits = np.full(len(source.names), "", dtype="<U5")
    for name in wanted:
        splits[split[name]] = name
    kept = np.flatnonzero(splits != "").tolist()
    return take(dataclasses.replace(source, splits=np.where(splits == "", "test", splits), earlier=()), kept)


def check_classes(source: Source, where: str) -> None:
    """Raise ConfigError unless there are two classes or more, with images of each in every split that is given.
    `where`: what to call the data."""
    if not source.names:
        raise ConfigError(f"no images in {where}")
    if len(source.classes) < 2:
        raise ConfigError(f"{where} has one class only, {first_five(source.classes)}: a classifier needs 2 or more")
    if source.splits is None:
        present = {"": set(source.labels.tolist())}
    else:
        present = {split: set(source.labels[source.splits == split].tolist()) for split in SPLITS}
        present = {split: labels for split, labels in present.items() if labels}
        if "train" not in present:
            raise ConfigError(f"{where} has no train images")
    for split, labels in present.items():
        if split and labels - present["train"]:
            sides = (("train", present["train"] - labels), (split, labels - present["train"]))
            only = "; ".join(f"only in {name}: {_first_five_classes(source, extra)}" for name, extra in sides if extra)
            raise ConfigError(f"train and {split} have different classes in {where}: {only}")
    for split, labels in present.items():
        if missing := set(range(len(source.classes))) - labels:
            raise ConfigError(
                f"class without images{' in ' * bool(split)}{split}: {_first_five_classes(source, missing)} ({where})"
            )


def _first_five_classes(source: Source, labels: set[int]) -> str:
    return first_five(tuple(source.classes[label] for label in sorted(labels)))


def first_five(names: tuple[str, ...]) -> str:
    """The first five of some names, and how many more there are."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
