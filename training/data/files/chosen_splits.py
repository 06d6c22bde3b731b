"""data.splits: which folders are train, val and test, where their names don't say.

data.splits={train: A, test: B}                  A/CLASS/.../IMAGE and B/CLASS/.../IMAGE, relative to data.root
data.splits={train: [fold1, fold2], val: fold3}  several folders of a split
data.splits={train: */train, test: */test}       where * is the class: CLASS/train and CLASS/test
data.splits={}                                   no split folders: every folder is a class
"""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from training.data.files.image_listing import subfolders
from training.errors import ConfigError
from training.schema.checks import SPLITS, folders_of


class ClassFolder(NamedTuple):
    """A folder of images of one class. `folder`: relative to the root, with /; `split`: train, val, test or empty."""

    folder: str
    label: str
    split: str


def chosen_folders(root: Path, chosen: Mapping[str, Any], system: set[str]) -> list[ClassFolder]:
    """The class folders that data.splits names. Raises ConfigError for a folder that isn't there or has none."""
    found: list[ClassFolder] = []
    for split in [name for name in SPLITS if name in chosen]:
        for given in folders_of(chosen[split]):
            found += _matching(root, given, split, system)
    by_folder: dict[str, ClassFolder] = {}
    for one in found:
        other = by_folder.setdefault(one.folder, one)
        if other is not one:
            raise ConfigError(f"data.splits: {one.folder} is in {other.split} and in {one.split}, expected in one")
    for folder in by_folder:
        above = next((str(up) for up in Path(folder).parents if str(up) in by_folder), None)
        if above:
            raise ConfigError(f"data.splits: {folder} lies in {above}, which is a class folder of its own")
    return found


def _matching(root: Path, given: str, split: str, system: set[str]) -> list[ClassFolder]:
    """The class folders of `given`, which is A (for A/*) or has one * where the class is: */train, train_*."""
    parts = [part for part in given.replace("\\", "/").split("/") if part not in ("", ".")]
    if not parts or ".." in parts or Path(given).is_absolute():
        raise ConfigError(f"data.splits: {split}: {given}, expected a folder below {root}")
    stars = [place for place, part in enumerate(parts) if "*" in part]
    if not stars:
        parts, stars = [*parts, "*"], [len(parts)]
    before, star, after = parts[: stars[0]], parts[stars[0]], parts[stars[0] + 1 :]
    if len(stars) > 1 or star.count("*") > 1:
        raise ConfigError(f"data.splits: {split}: {given} has more than one *, which is where the class is")
    parent = _existing(root, before, split)
    start, _, end = star.partition("*")
    found = []
    for name in subfolders(parent, system):
        label = name[len(start) : len(name) - len(end)]
        if label and name.startswith(start) and name.endswith(end) and parent.joinpath(name, *after).is_dir():
            found.append(ClassFolder("/".join([*before, name, *after]), label, split))
    if not found:
        wanted = "/".join([*before, star.replace("*", "CLASS"), *after])
        raise ConfigError(f"data.splits: {split}: {given} has no class folders: expected {root}/{wanted}/IMAGE")
    return found


def _existing(root: Path, parts: Sequence[str], split: str) -> Path:
    folder = root
    for part in parts:
        if not (folder / part).is_dir():
            names = subfolders(folder)
            near = difflib.get_close_matches(part.lower(), [name.lower() for name in names], 1)
            close = next((name for name in names if near and name.lower() == near[0]), "")
            hint = f"did you mean {close}?" if close else f"there are {listed(names)}" if names else "it has no folders"
            raise ConfigError(f"data.splits: {split}: no such folder: {folder / part} ({hint})")
        folder = folder / part
    return folder


def key_for(splits: Mapping[str, Sequence[str] | str]) -> str:
    """data.splits as one would write it on the command line."""
    parts = []
    for split, folders in splits.items():
        words = [_quoted(folder) for folder in folders_of(folders)]
        parts.append(f"{split}: {words[0] if len(words) == 1 else '[' + ', '.join(words) + ']'}")
    return f"'data.splits={{{', '.join(parts)}}}'"


def _quoted(folder: str) -> str:
    return folder if re.fullmatch(r"[\w./*-]+( [\w./*-]+)*", folder, re.ASCII) else f'"{folder}"'


def listed(names: Iterable[str], most: int = 5) -> str:
    """a/, b/ and 3 more"""
    every = [f"{name}/" for name in sorted(names)]
    return ", ".join(every[:most]) + (f" and {len(every) - most} more" if len(every) > most else "")
