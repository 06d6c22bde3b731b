"""The classification sets of torchvision.datasets as a source, by their name there: data=torchvision data.name=EuroSAT.

A set is asked for what it has, so that there is no list of sets here: a set with `train=` has train and test images,
one with `split=` those parts that it knows; what is missing is drawn, as everywhere.
"""

import difflib
import inspect
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.data.files.decoding import extensions, read_image
from training.data.files.image_listing import existing
from training.data.integrity import cache_folder
from training.data.parallel import in_threads
from training.data.sources import Source
from training.errors import ConfigError
from training.run_folder import lock
from training.schema.checks import need
from training.schema.data_config import DataConfig

PARTS = {"train": ("train", "trainval", "train-standard"), "val": ("val", "valid"), "test": ("test",)}
LABELS = ("targets", "_labels", "labels", "y")  # what the sets call their labels, one for each image
PAIRS = ("_samples", "samples")  # ... or image and label together
FILES = ("_image_files", "_images")  # what they call their files
SET_BY_FINEGRID = ("root", "download", "transform", "transforms", "target_transform")  # not for data.kwargs
PAGE = "https://docs.pytorch.org/vision/stable/generated/torchvision.datasets.%s.html"
DAY_S = 86400.0  # that a download by another process may take
Part = tuple[str, Any]  # train, val, test or "" (to be drawn), and the data set


def torchvision(config: DataConfig) -> Source:
    """The set that data.name names, in data.root or $TORCH_HOME/datasets (~/.cache/torch/datasets), downloaded if it is
    not there. data.kwargs are for the set itself (DTD's partition, EMNIST's split).

    Raises ConfigError with one line that says what is missing, and where its files belong.
    """
    need(not config.csv, f"data.csv={config.csv} is not for data=torchvision: did you mean data=folder?")
    need(config.splits is None, "data.splits is for data=folder; this set says itself what is train and test")
    builder = find(config.name)
    taken = ", ".join(name for name in config.kwargs if name in SET_BY_FINEGRID)
    need(not taken, f"data.kwargs: {taken} is set by finegrid; data.kwargs is for what else {config.name} takes")
    root = folder(config.root)
    parts = open_parts(builder, root, config.kwargs)
    labels = [labels_of(part, builder.__name__) for _, part in parts]
    paths = [paths_of(part) for _, part in parts]
    splits = [[split] * len(part) for split, part in parts]
    found = np.concatenate(labels)
    images = [(part, index) for _, part in parts for index in range(len(part))]
    given = None if parts[0][0] == "" else np.concatenate(splits)
    if all(known is not None for known in paths):
        files = tuple(Path(file) for known in paths for file in known or ())
        names = tuple(Path(os.path.relpath(file, root)).as_posix() for file in files)
        classes = class_names(parts[0][1], found)
        return Source(classes, names, found, given, lambda index: read_image(files[index]), files)
    names = tuple(f"{split or 'image'}-{index:06}" for split, part in parts for index in range(len(part)))
    return Source(
        class_names(parts[0][1], found), names, found, given, lambda index: images[index][0][images[index][1]][0]
    )


def find(name: str | None) -> Any:
    """The class in torchvision.datasets. Raises ConfigError."""
    from torchvision import datasets

    need(bool(name), "data=torchvision needs data.name=NAME, a set of torchvision.datasets such as CIFAR10 or EuroSAT")
    known = [each for each in datasets.__all__ if inspect.isclass(getattr(datasets, each, None))]
    if name not in known:
        by_lower_case = {each.lower(): each for each in known}
        near = [by_lower_case[each] for each in difflib.get_close_matches(str(name).lower(), by_lower_case, 3)]
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise ConfigError(f"data.name={name}: torchvision.datasets has no such set{hint}")
    return getattr(datasets, str(name))


def folder(given: str | None) -> Path:
    """Where sets lie: data.root, which is made if only its last part is new, or a place beside torch's own weights."""
    if given is None:
        import torch

        return Path(torch.hub.get_dir()).parent / "datasets"
    path = Path(os.path.expanduser(given)).absolute()  # noqa: PTH111 (as in image_listing.existing)
    return path if path.parent.is_dir() and not path.exists() else existing(given, "data.root")


def parameters(builder: Any) -> set[str]:
    """What a set's class takes, handed on to the classes that it extends too."""
    names: set[str] = set()
    for part in inspect.getmro(builder):
        if "__init__" in vars(part):
            taken = inspect.signature(vars(part)["__init__"]).parameters
            names |= {name for name, kind in taken.items() if kind.kind is not kind.VAR_KEYWORD}
            if all(kind.kind is not kind.VAR_KEYWORD for kind in taken.values()):
                break
    return names


def open_parts(builder: Any, root: Path, kwargs: dict[str, Any]) -> list[Part]:
    """The set's own train, val and test, as far as it has them; all images together where it has none."""
    takes = parameters(builder)
    if unknown := set(kwargs) - takes:
        known = ", ".join(sorted(takes - {*SET_BY_FINEGRID, "self"})) or "nothing"
        raise ConfigError(f"data.kwargs: {builder.__name__} takes no {', '.join(sorted(unknown))}; it takes {known}")
    if "train" in takes and "train" not in kwargs:
        return [
            (split, open_part(builder, root, "download" in takes, {**kwargs, "train": split == "train"}))
            for split in ("train", "test")
        ]
    if "split" not in takes or "split" in kwargs:
        return [("", open_part(builder, root, "download" in takes, kwargs))]
    parts = []
    for split, called in PARTS.items():
        for name in called:
            part = open_part(builder, root, "download" in takes, {**kwargs, "split": name})
            if part is not None:
                parts.append((split, part))
                break
    need(bool(parts) and parts[0][0] == "train", f"data.name={builder.__name__}: its split= has no train images")
    return parts


def open_part(builder: Any, root: Path, downloads: bool, kwargs: dict[str, Any]) -> Any:
    """The set with these arguments, downloaded where it isn't there; None where it has no such split."""
    name = builder.__name__
    try:
        return builder(root=root, **kwargs, **({"download": False} if downloads else {}))
    except ValueError as error:
        if "argument split" in str(error) and "split" in kwargs and name != "EMNIST":
            return None
        raise ConfigError(f"data.name={name}: {_flat(error)}") from error
    except TypeError as error:
        raise ConfigError(f"data.name={name}: {_flat(error)}; its arguments go into data.kwargs") from error
    except (RuntimeError, OSError) as error:
        if not downloads:
            raise ConfigError(cannot_download(name, root, error)) from error
    try:
        with lock(cache_folder() / "downloads", wait_s=DAY_S):
            root.mkdir(parents=True, exist_ok=True)
            return builder(root=root, **kwargs, download=True)
    except Exception as error:  # no network, another place than before, a broken archive, a full disk
        raise ConfigError(cannot_download(name, root, error)) from error


def cannot_download(name: str, root: Path, error: Exception) -> str:
    """What to do where torchvision can't fetch a set: its page says which files it has, and what they are called."""
    reason = " ".join(_flat(error).split()[:30])
    return (
        f"data.name={name} is not in {root}, and can't be downloaded ({reason}): put its files there, see {PAGE % name}"
    )


def labels_of(part: Any, name: str) -> np.ndarray:
    """int64 [N], without loading images where the set has them in a list. Raises ConfigError for other targets."""
    count = len(part)
    for labels in _candidates(part):
        values = np.asarray(labels)
        if values.shape == (count,) and np.issubdtype(values.dtype, np.integer) and _agree_with_the_set(part, values):
            return values.astype(np.int64)
    try:
        return np.array(in_threads(lambda index: int(part[index][1]), range(count), "reading labels"), dtype=np.int64)
    except (TypeError, ValueError, IndexError) as error:
        reason = f"its targets are no class indices ({_flat(error)})"
        raise ConfigError(f"data.name={name} is no classification set: {reason}") from error


def _candidates(part: Any) -> list[Sequence[Any]]:
    found = [getattr(part, name) for name in LABELS if hasattr(part, name)]
    pairs = [getattr(part, name) for name in PAIRS if hasattr(part, name)]
    return [*found, *([pair[1] for pair in some] for some in pairs if some and len(some[0]) == 2)]


def _agree_with_the_set(part: Any, labels: np.ndarray) -> bool:
    """Whether the set itself gives some of its images these labels."""
    try:
        return all(int(part[index][1]) == labels[index] for index in {0, len(labels) // 2, len(labels) - 1})
    except OSError:  # a bad image: told of later, with its path
        return True
    except (TypeError, ValueError):
        return False


def paths_of(part: Any) -> list[Any] | None:
    """The files behind the images; None where there are none, or none of their own."""
    lists = [getattr(part, name) for name in FILES if hasattr(part, name)]
    lists += [[pair[0] for pair in getattr(part, name)] for name in PAIRS if hasattr(part, name)]
    for files in lists:
        if len(files) == len(part) and all(isinstance(file, str | Path) for file in files):
            known = extensions()
            return list(files) if all(Path(file).suffix.lower() in known for file in files) else None
    return None


def class_names(part: Any, labels: np.ndarray) -> tuple[str, ...]:
    """What the set calls its classes; numbers where it doesn't."""
    count = int(labels.max()) + 1 if len(labels) else 0
    for key in ("classes", "categories"):
        names = getattr(part, key, None)
        if isinstance(names, list | tuple) and len(names) >= count:
            return tuple(name if isinstance(name, str) else ", ".join(map(str, name)) for name in names)
    return tuple(str(number) for number in range(count))


def _flat(error: Exception) -> str:
    return " ".join(str(error).split())
