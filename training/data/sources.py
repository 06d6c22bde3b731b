"""Where images and labels come from: a source is a function of the data config that returns a Source.

One of your own: write such a function in a module that Python finds, and name it: data._target_=my_module.my_function.
Those that come with finegrid: digits.py, image_folder.py, torchvision_sets.py; each has a file in conf/data.
"""

import inspect
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from training.data.splits import SPLITS
from training.errors import ConfigError
from training.record import LeftOut
from training.schema.checks import need
from training.schema.data_config import DataConfig
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
