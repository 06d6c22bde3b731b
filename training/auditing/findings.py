"""What an audit finds in a data set: copies, labels that contradict each other, odd and small things, bad images."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from training.auditing.look import Looks, closer, look_at
from training.console.progress import bar
from training.data.dataset import Dataset, contents, open_dataset
from training.data.near_copies.search import Twins, near_copies
from training.schema.data_config import DataConfig

FEW = {"train": 20, "val": 10, "test": 10}  # images of a class, below which it can hardly be learnt or judged
FAR = 4.0  # robust standard deviations from the median
KINDS = {  # in the order of their weight
    "leak": "the same image in train and test",
    "exact copies": "files that are equal to the byte",
    "two labels": "one image, exact or near, under two labels",
    "near copies": "images that show the same",
    "alike": "images that the network of --run can hardly tell apart: perhaps copies that were turned or cut further",
    "suspected label": "the network is surer of another class than it is for that class's own images",
    "unreadable": "left out",
    "small class": "too few images to learn or to judge",
    "odd image": "far from the rest in size, mode, brightness or, with --run, embedding",
}


@dataclass(frozen=True)
class Finding:
    """Something that may be wrong. `images`: indices into the data set; none for what has no picture."""

    kind: str  # one of KINDS
    what: str
    images: tuple[int, ...] = ()
    score: float | None = None  # of a near copy and a suspected label: 0 to 1


@dataclass(frozen=True)
class Audit:
    """A data set, and what was found in it."""

    dataset: Dataset
    split_of: tuple[str, ...]  # of each image: train, val or test
    findings: tuple[Finding, ...]

    @property
    def leaks(self) -> int:
        """How many test images are in train, exactly or nearly."""
        test = {i for one in self.findings if one.kind == "leak" for i in one.images if self.split_of[i] == "test"}
        return len(test)

    def label(self, index: int) -> str:
        """The class of an image."""
        return self.dataset.classes[int(self.dataset.labels[index])]


def audit(config: DataConfig) -> Audit:
    """Look for all that can be found without a network. Bad images are left out and told. Raises ConfigError."""
    config = dataclasses.replace(config, on_bad="skip")
    dataset = open_dataset(config)
    split_of = [""] * len(dataset.names)
    for name, rows in dataset.split.items():
        for index in rows.tolist():
            split_of[index] = name
    looks = look_at(dataset)
    with bar("comparing images", len(dataset.names)) as advance:
        twins = near_copies(looks.small, advance, lambda indices: closer(dataset, indices))
    exact = _exact(dataset, config)
    same = {group: index for index, members in enumerate(exact) for group in members}
    near = [one for one in twins if one.first not in same or same.get(one.second) != same[one.first]]
    findings = [
        *_copies(dataset, split_of, exact, near),
        *(Finding("unreadable", name) for name in dataset.skipped),
        *_small_classes(dataset),
        *_odd(dataset, looks),
    ]
    return Audit(dataset, tuple(split_of), in_order(findings))


def in_order(findings: list[Finding]) -> tuple[Finding, ...]:
    """The gravest first."""
    order = list(KINDS)
    return tuple(sorted(findings, key=lambda one: (order.index(one.kind), -(one.score or 0))))


def _exact(dataset: Dataset, config: DataConfig) -> list[list[int]]:
    by_content: dict[str, list[int]] = defaultdict(list)
    hashes = contents(config)
    for index, name in enumerate(dataset.names):
        by_content[hashes[name][2]].append(index)
    return [members for members in by_content.values() if len(members) > 1]


def _copies(dataset: Dataset, split_of: list[str], exact: list[list[int]], near: list[Twins]) -> Iterator[Finding]:
    for members in exact:
        yield _copy(dataset, split_of, members, "equal files", "exact copies", None)
    for one in near:
        how = "mirrored" if one.mirrored else "nearly the same"
        yield _copy(dataset, split_of, [one.first, one.second], how, "near copies", one.alike)


def _copy(
    dataset: Dataset, split_of: list[str], members: list[int], how: str, kind: str, score: float | None
) -> Finding:
    splits = [name for name in dataset.split if any(split_of[index] == name for index in members)]
    classes = sorted({int(dataset.labels[index]) for index in members})
    what = f"{how}, {'across ' + ' and '.join(splits) if len(splits) > 1 else 'within ' + splits[0]}"
    if len(classes) > 1:
        kind, what = "two labels", f"{what}, under {' and '.join(dataset.classes[one] for one in classes)}"
    if {"train", "test"} <= set(splits):
        kind = "leak"
    return Finding(kind, what, tuple(members), score)


def _small_classes(dataset: Dataset) -> Iterator[Finding]:
    for name, rows in dataset.split.items():
        counts = np.bincount(dataset.labels[rows], minlength=len(dataset.classes))
        for label, count in enumerate(counts.tolist()):
            if count < FEW[name]:
                yield Finding("small class", f"{dataset.classes[label]}: {count} {name} images, below {FEW[name]}")


def _odd(dataset: Dataset, looks: Looks) -> Iterator[Finding]:
    """Images whose size, mode or brightness is far from what the others have."""
    modes, counts = np.unique(looks.modes, return_counts=True)
    rare = {str(mode) for mode, count in zip(modes, counts, strict=True) if count <= 0.02 * len(looks.modes)}
    area, shape = np.log2(looks.sizes.prod(1)), np.log2(looks.sizes[:, 0] / looks.sizes[:, 1])
    values = {
        "area": (area, 1.0),
        "shape": (np.abs(shape), 0.25),
        "brightness": (looks.small.mean((1, 2)), 12.0),
        "contrast": (looks.small.std((1, 2)), 8.0),
    }
    reasons: dict[int, list[str]] = defaultdict(list)
    for index, mode in enumerate(looks.modes):
        if mode in rare:
            reasons[index].append(f"mode {mode}")
    for name, (numbers, least) in values.items():
        middle = np.median(numbers)
        spread = max(1.4826 * float(np.median(np.abs(numbers - middle))), least)
        for index in np.flatnonzero(np.abs(numbers - middle) > FAR * spread).tolist():
            width, height = looks.sizes[index].tolist()
            told = {"area": f"{width} x {height} px", "shape": f"{width} x {height} px"}
            reasons[index].append(told.get(name, f"{name} {numbers[index]:.0f}, median {middle:.0f}"))
    for index, found in reasons.items():
        yield Finding("odd image", ", ".join(dict.fromkeys(found)), (index,))
