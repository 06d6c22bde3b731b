"""Where images and labels come from. A source is a function of the data config that returns a Source.

One of your own: write such a function in a module that Python finds, and name it: data._target_=my_module.my_function.
"""

import inspect
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from training.config import DataConfig, need
from training.data.decoding import load_image
from training.data.image_folder import existing, from_csv, from_folders
from training.data.splits import SPLITS
from training.errors import ConfigError
from training.targets import failure, locate


@dataclass(frozen=True)
class Source:
    """N labelled images, in any order. Raises ConfigError where the fields don't fit each other."""

    classes: tuple[str, ...]
    names: tuple[str, ...]  # [N], each once: the image's id in predictions, such as its relative path with /
    labels: np.ndarray  # int64 [N], indices into classes
    splits: np.ndarray | None  # str [N] of train, val and test, or train and one of them; None: to be drawn
    load: Callable[[int], Image.Image]  # image i, of any mode and size; called from several threads
    paths: tuple[Path, ...] | None = None  # [N] files behind the images; None: there are none

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


def digits(config: DataConfig) -> Source:
    """scikit-learn's 1797 handwritten digits, 8 x 8 grey (Alpaydin and Kaynak 1998, UCI's optical recognition set)."""
    need(not config.name, f"data.name={config.name} is not for data=digits: did you mean data=torchvision?")
    for key in ("root", "csv", "kwargs"):
        value = getattr(config, key)
        need(not value, f"data.{key}={value} is not for data=digits: did you mean data=folder data.{key}={value}?")
    from sklearn.datasets import load_digits  # takes a second, and only this needs it

    data = load_digits()
    pixels = np.rint(data.images * (255 / 16)).astype(np.uint8)
    names = tuple(f"digit-{index:04}" for index in range(len(pixels)))
    classes = tuple(str(digit) for digit in range(10))
    return Source(classes, names, data.target.astype(np.int64), None, lambda index: Image.fromarray(pixels[index]))


def folder(config: DataConfig) -> Source:
    """Image files in class folders below data.root, or listed in data.csv (image_folder.py shows the layouts).

    Classes are in plain alphabetical order, as in torchvision's ImageFolder; labels of a CSV that are all whole
    numbers are in the order of the numbers. Raises ConfigError for what is missing or contradicts itself.
    """
    need(not config.name, f"data.name={config.name} is not for data=folder: did you mean data=torchvision?")
    need(not config.kwargs, "data.kwargs is for a source of your own (data._target_), not for data=folder")
    layouts = "train/ val/ test/ with class folders, or class folders alone"
    need(bool(config.root or config.csv), f"data=folder needs data.root=FOLDER ({layouts}) or data.csv=FILE")
    root = existing(config.root, "data.root") if config.root else None
    if config.csv:
        file = existing(config.csv, "data.csv", folder=False)
        rows = from_csv(file, root or file.parent)
        classes = sorted({row.label for row in rows})
        if all(name.isdecimal() for name in classes):
            classes.sort(key=int)
    elif root:
        rows, classes = from_folders(root)
    rows.sort()
    number = {name: index for index, name in enumerate(classes)}
    paths = tuple(row.path for row in rows)
    return Source(
        classes=tuple(classes),
        names=tuple(row.name for row in rows),
        labels=np.array([number[row.label] for row in rows], dtype=np.int64),
        splits=np.array([row.split for row in rows]) if rows[0].split else None,
        load=lambda index: load_image(paths[index]),
        paths=paths,
    )
