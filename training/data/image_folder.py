"""Image files in class folders or in a CSV as a source: data=folder. Opens no image before its turn.

FOLDER/train|val|test/CLASS/.../IMAGE   under any of their usual names: Training, seg_train/seg_train, valid, dev_set
FOLDER/train|test/CLASS/.../IMAGE       or train/ and val/: the third is drawn from train later
FOLDER/CLASS/.../IMAGE                  all are drawn later
FILE.csv                                columns path,label[,split], paths relative to a folder

What is a split and what a class: files/layout.py, and data.splits where names don't tell. Which files are images and
what is left out: files/image_listing.py. The CSV: files/image_csv.py.
"""

import itertools
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from training.data.files.chosen_splits import listed
from training.data.files.class_order import class_order, text_order
from training.data.files.decoding import read_image
from training.data.files.earlier_layout import earlier_reading
from training.data.files.image_csv import from_csv
from training.data.files.image_listing import ImageFile, class_name, existing, images_in, subfolders
from training.data.files.layout import Layout, loose_images, read_layout
from training.data.files.left_out import left_out_lines, left_out_of
from training.data.files.split_names import is_unlabelled, split_names
from training.data.sources import EarlierReading, Source
from training.errors import ConfigError
from training.schema.checks import need
from training.schema.data_config import DataConfig
from training.schema.record_parts import LeftOut

log = logging.getLogger(__name__)


def folder(config: DataConfig) -> Source:
    """Image files in class folders below data.root, or listed in data.csv (the layouts: at the top of this file).

    Classes that are all numbers are in the order of the numbers; else in plain alphabetical order, as in torchvision's
    ImageFolder. Raises ConfigError for what is missing or contradicts itself, or can be read in two ways.
    """
    need(not config.name, f"data.name={config.name} is not for data=folder: did you mean data=torchvision?")
    need(not config.kwargs, "data.kwargs is for a source of your own (data._target_), not for data=folder")
    layouts = "train/ val/ test/ with class folders, or class folders alone"
    need(bool(config.root or config.csv), f"data=folder needs data.root=FOLDER ({layouts}) or data.csv=FILE")
    root = existing(config.root, "data.root") if config.root else None
    if config.csv:
        need(config.splits is None, "data.splits is for class folders; in data.csv a column split says it")
        file = existing(config.csv, "data.csv", folder=False)
        rows = sorted(from_csv(file, root or file.parent))
        return _source(rows, class_order({row.label for row in rows}), None, LeftOut())
    assert root is not None
    layout = read_layout(root, config.splits)
    rows, left_out = _rows(root, layout)
    for line in left_out_lines(left_out, root):
        log.info("%s", line)
    if not layout.splits and config.splits is None:
        _refuse_one_class_that_holds_all(root, layout)
        _say_odd_classes(root, [one.label for one in layout.classes])
    rows.sort()
    return _source(rows, class_order({class_name(one.label) for one in layout.classes}), layout, left_out)


def _rows(root: Path, layout: Layout) -> tuple[list[ImageFile], LeftOut]:
    """The images in the class folders, unsorted, and what else lies there."""
    rows: list[ImageFile] = []
    others: Counter[str] = Counter()
    system = set(layout.system)
    for place, label, split in layout.classes:
        named, written = class_name(label), "" if class_name(label) == label else label
        found = images_in(root, place, others, system)
        rows += [ImageFile(name, root / name, named, split, written) for name in found]
    left_out = left_out_of(layout, system, others, _loose(root, layout))
    if not rows:
        files = left_out_lines(LeftOut(files=left_out.files), root)
        raise ConfigError(f"no images in {root}" + (f" (other files: {files[0].rpartition(': ')[2]})" if files else ""))
    return rows, left_out


def _loose(root: Path, layout: Layout) -> dict[str, int]:
    """Images beside class folders, by the folder that they lie in."""
    classes = {place for place, _, _ in layout.classes}
    above = {"", *(place.rpartition("/")[0] for place in classes), *itertools.chain(*layout.splits.values())} - classes
    counts = {place or ".": loose_images(root / place) for place in sorted(above)}
    return {place: count for place, count in counts.items() if count}


def _refuse_one_class_that_holds_all(root: Path, layout: Layout) -> None:
    nested = root / layout.classes[0].folder
    if len(layout.classes) == 1 and (inside := subfolders(nested)):
        hint = f"did you mean {nested}, with {listed(inside)}?"
        raise ConfigError(f"{root} has one class folder only, {nested.name}/: {hint}")


def _say_odd_classes(root: Path, classes: list[str]) -> None:
    """A class may be called train, but whoever has such a folder may have meant something else."""
    if odd := {*split_names(classes), *filter(is_unlabelled, classes)}:
        others = listed(set(classes) - odd)
        log.warning(
            "%s is read as a class in %s, as %s are (data.splits={} says that it is one)", listed(odd), root, others
        )


def _say_alike(classes: list[str]) -> None:
    """Cat and cat are two classes, but seldom meant to be."""
    alike: dict[str, list[str]] = {}
    for name in classes:
        alike.setdefault(" ".join(name.casefold().replace("_", " ").split()), []).append(name)
    for names in alike.values():
        if len(names) > 1:
            log.warning("classes that differ in capitals or spaces alone are read as several: %s", ", ".join(names))


def _source(rows: Sequence[ImageFile], classes: list[str], layout: Layout | None, left_out: LeftOut) -> Source:
    _say_alike(classes)
    number = {name: index for index, name in enumerate(classes)}
    paths = tuple(row.path for row in rows)
    return Source(
        classes=tuple(classes),
        names=tuple(row.name for row in rows),
        labels=np.array([number[row.label] for row in rows], dtype=np.int64),
        splits=np.array([row.split for row in rows]) if rows[0].split else None,
        load=lambda index: read_image(paths[index]),
        paths=paths,
        left_out=left_out,
        split_folders=layout.splits if layout else {},
        earlier=_earlier(rows, classes, layout),
    )


def _earlier(rows: Sequence[ImageFile], classes: list[str], layout: Layout | None) -> tuple[EarlierReading, ...]:
    """How versions before read these images, if in another way."""
    now = [(row.written or row.label, row.split) for row in rows]
    why, read = "", list[tuple[str, str] | None](now)
    if layout is not None:
        folders = sorted({*(one.folder.partition("/")[0] for one in layout.classes), *layout.unused})
        found = earlier_reading(folders, rows)
        if found is None:
            return ()
        why, read = found
        if not any(split for _, split in filter(None, read)) and "".join(layout.unused):
            return ()  # images of those were read too, and nothing is known of them now
    same = read == now
    as_now = same and not any(row.written for row in rows)
    ordered = text_order(set(classes) if as_now else {one[0] for one in read if one}, from_csv=layout is None)
    if as_now and ordered == classes:
        return ()
    if same and not as_now:
        why = "names of classes in another Unicode form (decomposed)"
    elif same:
        first = f"{', '.join(ordered[:5])}{', ...' * (len(ordered) > 5)}"
        why = f"classes sorted as text ({first})"
    number = {name: index for index, name in enumerate(ordered)}
    labels = np.array([number[one[0]] if one else -1 for one in read], dtype=np.int64)
    splits = np.array([one[1] if one else "" for one in read])
    return (EarlierReading(why, tuple(ordered), labels, splits if splits.any() else None),)
