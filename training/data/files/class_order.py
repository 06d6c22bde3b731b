"""The order of classes, for folders and CSV alike: numbers as numbers, anything else in plain alphabetical order."""

import re
from collections.abc import Iterable
from decimal import Decimal

NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)")  # as class folders and pandas write them: 7, 007, -1, 11.0


def class_order(names: Iterable[str]) -> list[str]:
    """0, 1, 2, 10 where all names are numbers (0.0 and -1 too); else plain alphabetical, as in torchvision."""
    ordered = sorted(names)
    if all(NUMBER.fullmatch(name) for name in ordered):
        ordered.sort(key=Decimal)
    return ordered


def text_order(names: Iterable[str], from_csv: bool) -> list[str]:
    """The order in which versions before class_order had them: plain alphabetical, but for whole numbers in a CSV."""
    ordered = sorted(names)
    if from_csv and all(name.isdecimal() for name in ordered):
        ordered.sort(key=int)
    return ordered
