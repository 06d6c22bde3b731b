"""Image files in class folders or in a CSV as a source: data=folder. Opens no image before its turn.

FOLDER/train|val|test/CLASS/.../IMAGE   val/ may be called valid/ or validation/
FOLDER/train|test/CLASS/.../IMAGE       or train/ and val/: the third is drawn from train later
FOLDER/CLASS/.../IMAGE                  all are drawn later
FILE.csv                                columns path,label[,split], paths relative to a folder

Hidden files and folders and those of systems (thumbnails, recycle bins, resource forks) are left out at any depth.
"""

import csv
import difflib
import logging
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from training.config import DataConfig, need
from training.data.decoding import extensions, load_image
from training.data.sources import Source
from training.errors import ConfigError

SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
# In lower case; what begins with a dot (.DS_Store, ._*, .@__thumb) belongs to them too.
SYSTEM_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini"}
SYSTEM_FOLDERS = {"@eadir", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "$recycle.bin", "recycler"}
SYSTEM_NAMES = SYSTEM_FILES | SYSTEM_FOLDERS | {"system volume information", "lost+found", "__macosx", "__pycache__"}
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
        load=lambda index: load_image(paths[index]),
        paths=paths,
    )


class ImageFile(NamedTuple):
    """One image. `name` is its path with / as it is known in predictions; `split` is train, val, test or empty."""

    name: str
    path: Path
    label: str
    split: str


def existing(given: str, key: str, folder: bool = True) -> Path:
    """The path given for config key `key`, or ConfigError that says how far it exists and what lies there."""
    path = Path(os.path.expanduser(given)).resolve()  # noqa: PTH111 (Path's own raises for ~name without such a user)
    if path.is_dir() if folder else path.is_file():
        return path
    if path.exists():
        raise ConfigError(f"{key}={given} is a {'file' if folder else 'folder'}, expected a {_kind(folder)}")
    parent = next(parent for parent in path.parents if parent.is_dir())
    wanted = path.relative_to(parent).parts[0]
    entries = [entry.name for entry in parent.iterdir()] if os.access(parent, os.R_OK) else []
    close = difflib.get_close_matches(wanted, entries, n=1)
    hint = f"did you mean {parent / close[0]}?" if close else f"the nearest folder that exists is {parent}"
    raise ConfigError(f"{key}={given}: no such {_kind(folder)} ({hint})")


def _kind(folder: bool) -> str:
    return "folder" if folder else "file"


def from_folders(root: Path) -> tuple[list[ImageFile], list[str]]:
    """The images below `root`, and the names of all class folders, empty ones too; both unsorted."""
    system: set[str] = set()
    folders = _subfolders(root, system)
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
        labels = _subfolders(root / folder, system)
        if not labels:
            raise ConfigError(f"{root / folder} has no class folders: expected {root / folder}/CLASS/IMAGE")
        classes.update(labels)
        for label in labels:
            start = f"{folder}/{label}" if folder else label
            found = (ImageFile(name, root / name, label, split) for name in _images(root, start, others, system))
            rows.extend(found)
    kinds_of_files = ", ".join(f"{count} {ending or 'without extension'}" for ending, count in others.most_common(5))
    if not rows:
        raise ConfigError(f"no images in {root}" + (f" (other files: {kinds_of_files})" if others else ""))
    if others:
        log.info("no images, not used in %s: %s", root, kinds_of_files)
    if system:
        log.info("system and hidden files and folders, not used in %s: %s", root, _system_counts(system))
    if not any(given) and len(classes) == 1 and (inside := _subfolders(root / rows[0].label)):
        nested = root / rows[0].label
        raise ConfigError(
            f"{root} has one class folder only, {nested.name}/: did you mean {nested}, with {_list(inside)}?"
        )
    return rows, sorted(classes)


def _list(folders: "set[str] | dict[str, str] | list[str]") -> str:
    names = [f"{name}/" for name in sorted(folders)]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def is_system(name: str) -> bool:
    """Whether a file or folder of this name is the system's or a program's own: thumbnails, recycle bins, hidden."""
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def _system_counts(paths: set[str]) -> str:
    names = (os.path.basename(path) for path in paths)  # noqa: PTH119 (a Path for each resource fork is slow)
    counts = Counter("._*" if name.startswith("._") else name for name in names)
    more = f" and {len(counts) - 9} more names" if len(counts) > 9 else ""
    return ", ".join(f"{count} {name}" for name, count in counts.most_common(9)) + more


def _subfolders(folder: Path, system: "set[str] | None" = None) -> list[str]:
    """Names of the folders in `folder`, sorted, without the system's: the paths of those are added to `system`."""
    try:
        with os.scandir(folder) as found:
            entries = list(found)
            if system is not None:
                system.update(entry.path for entry in entries if is_system(entry.name))
            return sorted(entry.name for entry in entries if not is_system(entry.name) and entry.is_dir())
    except OSError as error:
        raise _unreadable(error) from error


def _unreadable(error: OSError) -> ConfigError:
    return ConfigError(f"{error.filename}: {(error.strerror or 'not readable').lower()}")


def _images(root: Path, start: str, others: "Counter[str]", system: set[str]) -> Iterator[str]:
    """Names of the images below root/start, relative to root.

    The endings of what else lies there are counted in `others`, the system's files and folders are added to `system`.
    """

    def stop(error: OSError) -> None:  # os.walk would leave out what it can't read
        raise _unreadable(error)

    seen: set[str] = set()
    for parent, folders, files in os.walk(root / start, onerror=stop, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:  # a link that leads back up
            folders.clear()
            continue
        seen.add(real)
        system.update(f"{parent}/{name}" for name in folders + files if is_system(name))
        folders[:] = sorted(name for name in folders if not is_system(name))
        relative = Path(parent).relative_to(root).as_posix()
        for name in files:
            ending = os.path.splitext(name)[1].lower()  # noqa: PTH122 (a Path for each of 500,000 files is slow)
            if is_system(name):
                continue
            if ending in extensions():
                yield f"{relative}/{name}"
            else:
                others[ending] += 1


def from_csv(file: Path, folder: Path) -> list[ImageFile]:
    """The rows of a CSV whose paths are relative to `folder`. Raises ConfigError with the line number."""
    columns, lines = _table(file)
    rows: list[ImageFile] = []
    first: dict[str, int] = {}
    missing: list[tuple[int, Path]] = []
    for line, cells in lines:
        cell = dict(zip(columns, cells + [""] * len(columns), strict=False))
        label, split = cell["label"], cell.get("split", "").lower()
        if not cell["path"] or not label:
            raise ConfigError(f"data.csv={file} line {line}: the {'label' if cell['path'] else 'path'} is empty")
        if split and split not in SPLIT_NAMES:
            raise ConfigError(f"data.csv={file} line {line}: split {cell['split']}, expected train, val or test")
        written = cell["path"] if (folder / cell["path"]).is_file() else cell["path"].replace("\\", "/")  # Windows'
        name = os.path.normpath(written)
        if name in first:
            raise ConfigError(f"data.csv={file} line {line}: {name} is on line {first[name]} already")
        first[name] = line
        rows.append(ImageFile(name, folder / name, label, SPLIT_NAMES.get(split, "")))
        if not rows[-1].path.is_file():
            missing.append((line, rows[-1].path))
    if missing:
        line, path = missing[0]
        more = f", and {len(missing) - 1} more of its paths" if len(missing) > 1 else ""
        raise ConfigError(f"data.csv={file} line {line}: no such file: {path}{more} (paths are relative to {folder})")
    without = next((row for row in rows if not row.split), None)
    if without and any(row.split for row in rows):
        raise ConfigError(f"data.csv={file} line {first[without.name]}: the split is empty, but other rows have one")
    return rows


def _table(file: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Column names in lower case, and the line number and cells of every row. Understands , ; and tab, and a BOM."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            delimiter = max(",;\t", key=stream.readline().count)
            stream.seek(0)
            reader = csv.reader(stream, delimiter=delimiter)
            columns = [name.strip().lower() for name in next(reader, [])]
            lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
    except UnicodeDecodeError as error:
        raise ConfigError(f"data.csv={file} is not UTF-8 text ({error.reason} at byte {error.start})") from error
    except csv.Error as error:
        raise ConfigError(f"data.csv={file} is no CSV: {error}") from error
    except OSError as error:
        raise _unreadable(error) from error
    if not {"path", "label"} <= set(columns):
        found = ",".join(columns) or "nothing"
        raise ConfigError(f"data.csv={file}: its first line has {found}, expected the columns path,label[,split]")
    if not lines:
        raise ConfigError(f"data.csv={file} has no rows below its header")
    return columns, lines
