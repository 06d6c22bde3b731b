"""The data card: what a data set holds, as a file in the sweep's folder that a page shows without the images."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from training.schema.json_parts import Extra, as_whole

SPLITS = ("train", "val", "test")
MOST_NAMED = 12  # classes up to which a line has the counts of each
MODES = {  # Pillow's name: what it is
    "1": "black and white (1)",
    "L": "grey (L)",
    "LA": "grey with transparency (LA)",
    "P": "palette (P)",
    "PA": "palette with transparency (PA)",
    "RGBA": "RGB with transparency (RGBA)",
    "I": "grey, 32 bit (I)",
    "F": "grey, floating point (F)",
    "": "unknown",
}


@dataclass
class DataCard:
    """Of the images of one fingerprint. Counts are of images."""

    data: str | None = None  # its name or folder
    fingerprint: str | None = None
    split: str | None = None  # where splits were drawn: how
    classes: list[Any] | None = None
    counts: dict[str, Any] | None = None  # train, val, test: a number a class
    width: list[Any] | None = None  # px as in the files: least, median, largest
    height: list[Any] | None = None
    sizes: int | None = None  # different ones
    modes: dict[str, Any] | None = None  # Pillow's mode in the files: how many
    within: dict[str, Any] | None = None  # train, val, test: files that are there before, to the byte
    across: dict[str, Any] | None = None  # "train and test", ...: images of the second that are in the first
    near: dict[str, Any] | None = None  # val, test: with a copy, near ones too, in train; null: not looked for
    values: dict[str, Any] | None = None  # of pixels as they are stored: n (images), low, high, mean, std
    read_as: list[Any] | None = None  # of deep images: which values became black and white
    shown: list[Any] | None = None  # the classes of the contact sheet, a row each from above
    sheet: dict[str, Any] | None = None  # of its picture in px: side (of an image), label (width before them), columns
    extra: Extra = field(default_factory=dict)


def lines(card: DataCard) -> list[str]:
    """The card as text: classes, sizes and modes, copies, and the values where they are known."""
    parts = (_class_line(card), _size_line(card), _copies_line(card), _value_line(card))
    return [line for line in parts if line]


def counts_of(card: DataCard) -> list[tuple[str, list[int]]]:
    """Each class with its images in train, val and test; [] where the card is damaged."""
    classes, counts = card.classes or [], card.counts or {}
    columns = [counts.get(split) for split in SPLITS]
    if any(not isinstance(column, list) or len(column) != len(classes) for column in columns):
        return []
    rows = [[as_whole(column[row]) or 0 for column in columns if column is not None] for row in range(len(classes))]
    return [(str(name), row) for name, row in zip(classes, rows, strict=True)]


def facts(card: DataCard) -> Iterator[tuple[str, str]]:
    """Name and text of what is not counted by class."""
    named = (
        ("sizes", _sizes(card)),
        ("modes", _modes(card)),
        ("copies", copies(card)),
        ("pixel values", _values(card)),
    )
    yield from ((name, text) for name, text in named if text)


def copies(card: DataCard) -> str:
    """Equal files within and across splits, and near copies where they were looked for."""
    if card.within is None and card.across is None:
        return ""
    parts = [f"{count} within {split}" for split, count in _counted(card.within)]
    parts += [f"{count} in {both}" for both, count in _counted(card.across)]
    equal = f"equal files: {', '.join(parts)}" if parts else "no equal files"
    if card.near is None:
        return f"{equal}; near copies not looked for"
    near = [f"{count} {split}" for split, count in _counted(card.near)]
    return f"{equal}; with a copy, exact or near, in train: {', '.join(near) or 'none'}"


def _class_line(card: DataCard) -> str:
    rows = counts_of(card)
    if not rows:
        return ""
    if len(rows) <= MOST_NAMED:
        each = ", ".join(f"{name} {'/'.join(map(str, row))}" for name, row in rows)
        return f"images a class (train/val/test): {each}"
    parts = []
    for number, split in enumerate(SPLITS):
        found = [row[number] for _, row in rows]
        parts.append(f"{split} {_range(min(found), max(found), median(found))}")
    fewest, row = min(rows, key=lambda one: one[1][0])
    return f"images a class: {'; '.join(parts)}; fewest in train: {fewest} with {row[0]}"


def _range(low: Any, high: Any, middle: Any) -> str:
    return f"{low:g}" if low == high else f"{low:g} to {high:g} (median {middle:g})"


def _size_line(card: DataCard) -> str:
    sizes, modes = _sizes(card), _modes(card)
    return "; ".join(part for part in (sizes and f"sizes: {sizes}", modes and f"modes: {modes}") if part)


def _sizes(card: DataCard) -> str:
    sides = []
    for side in (card.width, card.height):
        if not isinstance(side, list) or len(side) != 3 or any(as_whole(one) is None for one in side):
            return ""
        sides.append(side)
    (low, middle, high), (least, half, most) = sides
    if card.sizes == 1:
        return f"{low} x {least} px"
    return f"width {_range(low, high, middle)}, height {_range(least, most, half)} px; {card.sizes} different ones"


def _modes(card: DataCard) -> str:
    counts = sorted(_counted(card.modes), key=lambda one: -one[1])
    return ", ".join(f"{count} {mode_name(mode)}" for mode, count in counts)


def mode_name(mode: str) -> str:
    """What people call a mode of Pillow's."""
    return f"grey, 16 bit ({mode})" if mode.startswith("I;16") else MODES.get(mode, mode)


def _copies_line(card: DataCard) -> str:
    return copies(card)


def _value_line(card: DataCard) -> str:
    text = _values(card)
    return f"pixel values: {text}" if text else ""


def _values(card: DataCard) -> str:
    found: Mapping[str, Any] = card.values or {}
    try:
        mean, std = (", ".join(f"{float(one):.0f}" for one in found[key]) for key in ("mean", "std"))
        text = f"{found['low']:d} to {found['high']:d}, mean {mean}, standard deviation {std} (red, green, blue)"
        return f"{text} in {found['n']:d} train images as they are stored"
    except (KeyError, TypeError, ValueError):
        return ""


def _counted(found: Mapping[str, Any] | None) -> list[tuple[str, int]]:
    """What there is one of or more."""
    return [(str(name), count) for name, value in (found or {}).items() if (count := as_whole(value))]
