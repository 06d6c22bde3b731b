"""How a folder of class folders is to be read: which of its subfolders are splits, and which are classes.

ROOT/CLASS/.../IMAGE          class folders alone
ROOT/SPLIT/CLASS/.../IMAGE    SPLIT by one of the usual names (split_names.py), or ROOT/SPLIT/SPLIT/CLASS/...

Names only propose a reading: a split folder has class folders in it, and a class may be called train. Where two
readings are left, ConfigError shows both, with what to write for each (chosen_splits.py); nothing is guessed.
"""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from training.data.files.chosen_splits import ClassFolder, chosen_folders, key_for, listed
from training.data.files.decoding import extensions
from training.data.files.image_listing import images_in, is_system, subfolders, unreadable
from training.data.files.split_names import is_unlabelled, parts_of, split_names
from training.errors import ConfigError
from training.schema.checks import SPLITS

AS_CLASSES = "data.splits={}"
NO_CLASSES = "no class folders in it"


@dataclass
class Layout:
    """A reading of a folder."""

    classes: list[ClassFolder]
    splits: dict[str, list[str]] = field(default_factory=dict)  # of train, val, test: their folders
    unused: dict[str, str] = field(default_factory=dict)  # a folder of the root that is not used: why
    system: set[str] = field(default_factory=set)  # paths of the system's files and folders that were met


def read_layout(root: Path, chosen: Mapping[str, Any] | None) -> Layout:
    """Find the class folders below `root`; `chosen`: data.splits. Raises ConfigError with one line."""
    system: set[str] = set()
    if chosen:
        found = chosen_folders(root, chosen, system)
        tops = {one.folder.partition("/")[0] for one in found}
        splits: dict[str, list[str]] = {}
        for one in found:
            splits.setdefault(one.split, []).append(os.path.dirname(one.folder) or one.folder)  # noqa: PTH120
        unused = {name: "not in data.splits" for name in subfolders(root, system) if name not in tops}
        return Layout(found, {name: sorted({*splits[name]}) for name in SPLITS if name in splits}, unused, system)
    names = subfolders(root, system)
    if not names:
        raise ConfigError(f"{root} has no class folders: expected {root}/CLASS/IMAGE")
    if chosen is not None:
        return Layout([ClassFolder(name, name, "") for name in names], system=system)
    siblings = Siblings(root, names, system)
    splits_with_classes = {name: split for name, split in siblings.split_of.items() if siblings.has_classes(name)}
    lone = set(splits_with_classes.values()) == {"train"} and siblings.has_others()
    if lone and max(len(siblings.inside[name]) for name in splits_with_classes) < 2:
        splits_with_classes = {}  # bus, car and train, which has a subfolder: as a split it would have one class
    if "train" in splits_with_classes.values():
        return _as_splits(siblings, splits_with_classes)
    return _as_classes(siblings)


class Siblings:
    """The folders in `root`, and what is in each."""

    def __init__(self, root: Path, names: list[str], system: set[str]) -> None:
        self.root, self.names, self.system = root, names, system
        self.split_of = split_names(names)
        self.place = {name: self._place(name) for name in names}
        self.inside = {name: subfolders(root / place) for name, place in self.place.items()}

    def _place(self, name: str) -> str:
        """A folder, or the only one in it if that has the same name: seg_train/seg_train, train/train."""
        inner = subfolders(self.root / name)
        if len(inner) != 1 or self.has_loose_images(name):
            return name
        split = parts_of(name)[0]
        same = inner[0].lower() == name.lower() or (split and parts_of(inner[0])[0] == split)
        return f"{name}/{inner[0]}" if same else name

    def has_others(self) -> bool:
        """Whether there are folders with names that mean nothing."""
        return any(name not in self.split_of and not is_unlabelled(name) for name in self.names)

    def has_loose_images(self, name: str) -> bool:
        """Whether images lie in the folder itself."""
        return loose_images(self.root / name) > 0

    def has_classes(self, name: str) -> bool:
        """Whether it can be a split: there are folders in it, and images in one of them (or nowhere at all)."""
        inside = [f"{self.place[name]}/{inner}" for inner in self.inside[name]]
        return bool(inside) and (any(map(self.has_images, inside)) or not self.has_images(name))

    def has_images(self, name: str) -> bool:
        """Whether images lie anywhere in it."""
        return next(images_in(self.root, name, Counter(), set()), None) is not None

    def common(self, name: str, other: str) -> list[str]:
        """The subfolders with images that two folders have in common, if they are most of them and two or more."""
        shared = set(self.inside[name]) & set(self.inside[other])
        if len(shared) < 2 or 2 * len(shared) < max(len(self.inside[name]), len(self.inside[other])):
            return []
        place = self.place[name]
        shared = {inner for inner in shared if self.has_images(f"{place}/{inner}")}
        return sorted(shared) if len(shared) > 1 else []

    def inner_splits(self, name: str) -> dict[str, str]:
        """The splits in a folder that looks like a class: bottle/train, bottle/test."""
        known = split_names(self.inside[name])
        kinds = set(known.values())
        return known if "train" in kinds and len(kinds) > 1 else {}


def loose_images(folder: Path) -> int:
    """How many images lie in a folder itself, not in a subfolder."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 (a Path for each of 500,000 files is slow)
    except OSError as error:
        raise unreadable(error) from error
    return sum(os.path.splitext(name)[1].lower() in extensions() and not is_system(name) for name in names)  # noqa: PTH122


def _as_splits(siblings: Siblings, found: dict[str, str]) -> Layout:
    """train/CLASS and, where they are there, val/CLASS and test/CLASS; other folders are left out, with the reason."""
    root, kinds = siblings.root, set(found.values())
    if len(kinds) < len(found):
        twice = next(kind for kind in found.values() if list(found.values()).count(kind) > 1)
        both = [siblings.place[name] for name, kind in found.items() if kind == twice]
        choice = key_for({twice: both}) if twice == "train" else _key(siblings, found)
        hint = f"{choice} takes {'all of them' if twice == 'train' else 'one'}"
        raise ConfigError(f"{root} has {listed(found)}: expected one folder a split ({hint})")
    layout = Layout([], system=siblings.system)
    for name in siblings.names:
        if name not in found:
            layout.unused[name] = _why_unused(siblings, found, name)
    for name, split in sorted(found.items(), key=lambda item: SPLITS.index(item[1])):
        place = siblings.place[name]
        layout.splits[split] = [place]
        inside = subfolders(root / place, siblings.system)
        layout.classes += [ClassFolder(f"{place}/{label}", label, split) for label in inside]
    _refuse_same_parts(root, layout)
    return layout


def _refuse_same_parts(root: Path, layout: Layout) -> None:
    """train/cat/front, train/cat/side, train/dog/front, train/dog/side: classes in parts, or front and side are the
    classes; or train/images/cat, train/images/dog."""
    train = layout.splits["train"][0]
    names = [one.label for one in layout.classes if one.split == "train"]
    if not names or not all(subfolders(root / train / name) for name in names[:2]):  # most have none: no further look
        return
    inner = Siblings(root / train, names, set())
    first, *others = names
    common = [inner.common(first, other) for other in others]
    if not all(common) or len(inner.inside[first]) < 2:
        return
    deeper: dict[str, list[str]] = {}
    for one in layout.classes:
        deeper.setdefault(one.split, []).append(one.folder)
    if not others:
        hint = f"did you mean {key_for(deeper)}?"
        raise ConfigError(
            f"{root / train} has one class folder only, {first}/, with {listed(inner.inside[first])}: {hint}"
        )
    shared, classes = common[0], f"classes {listed(names)}"
    parts = {split: places if len(places) <= 5 else [*places[:5], "..."] for split, places in deeper.items()}
    single = {split: [f"{place}/*/{shared[0]}" for place in places] for split, places in layout.splits.items()}
    raise ConfigError(
        f"{root / train} has {listed(names)} with the same folders in them ({listed(shared)}): this can be read as "
        f"{classes} of all images below them: {key_for(layout.splits)}; as {classes} of one of those alone: "
        f"{key_for(single)}; or as classes {listed(shared)}: {key_for(parts)}"
    )


def _why_unused(siblings: Siblings, found: dict[str, str], name: str) -> str:
    """Why a folder beside train/ is left out. Raises ConfigError where it may be a class, or a split, as well."""
    train = next(folder for folder, split in found.items() if split == "train")
    flat = not siblings.inside[name]
    if not siblings.has_images(name):
        return "no images in it"
    if flat and (name in siblings.split_of or is_unlabelled(name)):
        return NO_CLASSES
    same_classes = siblings.common(train, name)
    if len(set(found.values())) == 1:  # nothing but train: they may be classes, one of which is called train
        if is_unlabelled(name) and not same_classes:
            return "images without labels"
        _refuse(siblings, found, name)
    if same_classes and len(set(found.values())) < 3:
        _refuse(siblings, found, name)
    return "not a split by its name"


def _refuse(siblings: Siblings, found: dict[str, str], name: str) -> NoReturn:
    """`name` lies beside a split folder and may be one too, or a class beside a class that is called train."""
    taken = set(found.values())
    free = next((split for split in ("test", "val") if split not in taken), "test")
    keys = [f"{listed(found)} alone, {name}/ left out: {_key(siblings, found)}"]
    train = next(folder for folder, split in found.items() if split == "train")
    if siblings.common(train, name):
        keys.append(f"{name}/ is {free}: {_key(siblings, {**found, name: free})}")
    if len(taken) == 1:
        keys.append(f"classes {listed(siblings.names)}: {AS_CLASSES}")
    raise ConfigError(f"{siblings.root} has {listed(siblings.names)}, which can be read as {'; or as '.join(keys)}")


def _as_classes(siblings: Siblings) -> Layout:
    """Every folder is a class. Raises ConfigError where that may be wrong."""
    root, split_of, names = siblings.root, siblings.split_of, siblings.names
    kinds = set(split_of.values())
    as_classes = f"if these are the classes: {AS_CLASSES}"
    if split_of and "train" not in kinds and len(split_of) == len(names):
        raise ConfigError(f"{root} has {listed(split_of)} but no train/ ({as_classes})")
    if "train" in kinds and (len(kinds) > 1 or len(names) == 1):
        _refuse_class_in_name(siblings)
        train = next(name for name, split in split_of.items() if split == "train")
        place = root / siblings.place[train]
        hint = f" ({as_classes})" if len(names) > 1 else ""
        raise ConfigError(f"{place} has no class folders: expected {place}/CLASS/IMAGE{hint}")
    _refuse_splits_in_classes(siblings)
    _refuse_same_subfolders(siblings)
    _refuse_class_in_name(siblings)
    return Layout([ClassFolder(name, name, "") for name in names], system=siblings.system)


def _refuse_splits_in_classes(siblings: Siblings) -> None:
    """CLASS/train and CLASS/test, or a folder that holds the whole data set."""
    inner = {name: found for name in siblings.names if (found := siblings.inner_splits(name))}
    if not inner or len(siblings.names) == 1:
        return
    root, (first, found) = siblings.root, next(iter(inner.items()))
    place = siblings.place[first]
    if len(inner) == 1 and all(subfolders(root / place / folder) for folder in found):
        splits = f"or as a data set of its own in it: data.root={root / place}"
    else:
        chosen: dict[str, list[str]] = {}
        for name in inner:
            for folder, split in siblings.inner_splits(name).items():
                pattern = f"*/{folder}"
                if pattern not in chosen.setdefault(split, []):
                    chosen[split].append(pattern)
        splits = f"or as classes with these splits in each: {key_for(_ordered(chosen))}"
    raise ConfigError(
        f"{root} has {listed(f'{first}/{folder}' for folder in found)}: this can be read as classes "
        f"{listed(siblings.names)} of all images below them: {AS_CLASSES}; {splits}"
    )


def _refuse_same_subfolders(siblings: Siblings) -> None:
    """A/cat, A/dog and B/cat, B/dog: classes with subfolders, or splits with unknown names."""
    names = [name for name in siblings.names if len(siblings.inside[name]) > 1]
    for number, first in enumerate(names):
        for other in names[number + 1 :]:
            if not (common := siblings.common(first, other)):
                continue
            alike = [name for name in names if name in (first, other) or siblings.common(first, name)]
            places = [siblings.place[name] for name in alike]
            train = places[:-1] if len(places) > 2 else places[:1]
            raise ConfigError(
                f"{siblings.root} has {listed(alike)} with the same folders in them ({listed(common)}): this can be "
                f"read as classes {listed(siblings.names)}: {AS_CLASSES}; or as splits with the classes "
                f"{listed(common)}, such as {key_for({'train': train, 'test': places[-1:]})}"
            )


def _refuse_class_in_name(siblings: Siblings) -> None:
    """train_cat, train_dog, test_cat, test_dog: four classes, or two."""
    groups: dict[tuple[str, ...], set[str]] = {}
    for name in siblings.names:
        split, rest = parts_of(name)
        if split and rest:
            groups.setdefault(rest, set()).add(split)
    classes = [rest for rest, splits in groups.items() if "train" in splits and len(splits) > 1]
    if len(classes) < 2:
        return
    patterns: dict[str, list[str]] = {}
    for name in siblings.names:
        split, rest = parts_of(name)
        word = " ".join(rest)
        if split and word and word in name.lower():
            start = name.lower().index(word)
            pattern = f"{name[:start]}*{name[start + len(word) :]}"
            if pattern not in patterns.setdefault({"eval": "test"}.get(split, split), []):
                patterns[{"eval": "test"}.get(split, split)].append(pattern)
    raise ConfigError(
        f"{siblings.root} has {listed(siblings.names)}: this can be read as so many classes: {AS_CLASSES}; or as "
        f"classes {listed(' '.join(rest) for rest in classes)} with splits: {key_for(_ordered(patterns))}"
    )


def _key(siblings: Siblings, found: Mapping[str, str]) -> str:
    by_split: dict[str, list[str]] = {}
    for name, split in found.items():
        by_split.setdefault(split, []).append(siblings.place[name])
    return key_for(_ordered({split: places[:1] for split, places in by_split.items()}))


def _ordered(splits: Mapping[str, list[str]]) -> dict[str, list[str]]:
    return {split: splits[split] for split in SPLITS if split in splits}
