"""Where the curves of two runs part."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

History = Sequence[dict[str, float]]
NO_RESULTS = ("epoch", "seconds", "images_per_s")  # columns of history.csv that are no result


@dataclass(frozen=True)
class Parting:
    """In a column of two histories. `epoch`: the first in which it differs, from 1, and its two values there.
    `largest`: the largest difference of all shared epochs (inf where one of the two is no number), `epochs`: how many
    of them differ."""

    column: str
    epoch: int
    first: float
    second: float
    largest: float
    epochs: int


def same_number(first: float, second: float) -> bool:
    """Whether they are the same to the bit; two that are no numbers are."""
    return repr(float(first)) == repr(float(second))


def results(history: History) -> list[str]:
    """The columns that are results."""
    return [name for name in (history[0] if history else {}) if name not in NO_RESULTS]


def partings(first: History, second: History) -> list[Parting]:
    """Of each column of both that differs in an epoch of both, the first to part first."""
    found = []
    for column in [name for name in results(first) if name in results(second)]:
        pairs = [
            (number, one[column], other[column])
            for number, (one, other) in enumerate(zip(first, second, strict=False), 1)
            if column in one and column in other
        ]
        differ = [pair for pair in pairs if not same_number(*pair[1:])]
        if differ:
            sizes = [abs(one - other) for _, one, other in differ]
            largest = max((size if math.isfinite(size) else math.inf) for size in sizes)
            found.append(Parting(column, *differ[0], largest, len(differ)))
    return sorted(found, key=lambda one: one.epoch)
