"""Something made of several runs against the best of them, on the same test images."""

from typing import Any

import numpy as np

from analysis.statistics.inference import mcnemar, wilson


def interval(correct: np.ndarray) -> list[float]:
    """95 % interval of an accuracy in per cent (Wilson 1927, JASA 22); `correct`: bool [N]."""
    return [100 * end for end in wilson(float(correct.mean()), len(correct))]


def compare(correct: np.ndarray, other: np.ndarray) -> dict[str, Any]:
    """The difference in points of accuracy on the same N images, on how many each alone is right, and the exact
    two-sided p that both are right equally often (McNemar 1947, Psychometrika 12)."""
    alone, other_alone = int((correct & ~other).sum()), int((other & ~correct).sum())
    points = 100 * (alone - other_alone) / len(correct)
    return {"points": points, "alone": alone, "other_alone": other_alone, "p": mcnemar(alone, other_alone)}


def sentence(what: str, difference: dict[str, Any]) -> str:
    """The same in words."""
    return (
        f"On test, {what} {difference['points']:+.2f} points against the best single run: right alone on "
        f"{difference['alone']} and wrong alone on {difference['other_alone']} images, exact McNemar p "
        f"{difference['p']:.2g}."
    )
