"""Image files in class folders or in a CSV as a source: data=folder. Opens no image before its turn.

FOLDER/train|val|test/CLASS/.../IMAGE   val/ may be called valid/ or validation/
FOLDER/train|test/CLASS/.../IMAGE       or train/ and val/: the third is drawn from train later
FOLDER/CLASS/.../IMAGE                  all are drawn later
FILE.csv                                columns path,label[,split], paths relative to a folder

Which files are images and what is left out: image_listing.py. The CSV: image_csv.py.
"""

import logging
from collections import Counter
from pathlib import Path

import numpy as np

from training.config import DataConfig, need
from training.data.files.decoding import read_image
from training.data.files.image_csv import SPLIT_NAMES, from_csv
from training.data.files.image_listing import ImageFile, existing, images_in, subfolders, system_counts
from training.data.sources import Source
from training.errors import ConfigError

log = logging.getLogger(__name__)


def folder(config: DataConfig) -> Source:
    """Image files in class folders below data.root, or listed in data.csv (the layouts: at the top of this file).

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
        load=lambda index: read_image(paths[index]),
        paths=paths,
    )


def from_folders(root: Path) -> tuple[list[ImageFile], list[str]]:
    """The images below `root`, and the names of all class folders, empty ones too; both unsorted."""
    system: set[str] = set()
    folders = subfolders(root, system)
    given = {name: SPLIT_NAMES[name.lower()] for name in folders if name.lower() in SPLIT_NAMES}
    kinds = set(given.values())
    if given and kinds.isdisjoint({"train"}) and len(given) == len(folders):
        raise ConfigError(f"{root} has {_list(given)} but no train/")
    if "train" not in kinds or (len(kinds) == 1 and len(folders) > 1):  # a class may be called train: car, bus, train
        given = {"": ""}
    elif len(kinds) < len(given):
        raise ConfigError(f"{root} has {_list(given)}: expected one folder a split")
    elif len(given) < len(folders):
        log.info("not used: %s in %s, beside %s", _list(set(folders) - set(given)), root, _list(given))
    rows: list[ImageFile] = []
    classes: set[str] = set()
    others: Counter[str] = Counter()
    for folder, split in given.items():
        labels = subfolders(root / folder, system)
        if not labels:
            raise ConfigError(f"{root / folder} has no class folders: expected {root / folder}/CLASS/IMAGE")
        classes.update(labels)
        for label in labels:
            start = f"{folder}/{label}" if folder else label
            found = (ImageFile(name, root / name, label, split) for name in images_in(root, start, others, system))
            rows.extend(found)
    kinds_of_files = ", ".join(f"{count} {ending or 'without extension'}" for ending, count in others.most_common(5))
    if not rows:
        raise ConfigError(f"no images in {root}" + (f" (other files: {kinds_of_files})" if others else ""))
    if others:
        log.info("no images, not used in %s: %s", root, kinds_of_files)
    if system:
        log.info("system and hidden files and folders, not used in %s: %s", root, system_counts(system))
    if not any(given) and len(classes) == 1 and (inside := subfolders(root / rows[0].label)):
        nested = root / rows[0].label
        raise ConfigError(
            f"{root} has one class folder only, {nested.name}/: did you mean {nested}, with {_list(inside)}?"
        )
    return rows, sorted(classes)


def _list(folders: "set[str] | dict[str, str] | list[str]") -> str:
    names = [f"{name}/" for name in sorted(folders)]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
