"""What the same test images say about two classifiers: intervals and a test, from the libraries that have them.

(analysis/statistics/inference.py judges whole tables; it may not be imported here, since nothing flows upstairs.)
"""

from typing import Any

import numpy as np
from scipy.stats import binomtest
from statsmodels.stats.proportion import proportion_confint


def interval(correct: np.ndarray) -> list[float]:
    """95 % interval of an accuracy in per cent (Wilson 1927, JASA 22); `correct`: bool [N]."""
    return [100 * float(end) for end in proportion_confint(int(correct.sum()), len(correct), 0.05, method="wilson")]


def compare(correct: np.ndarray, other: np.ndarray) -> dict[str, Any]:
    """The difference in points of accuracy on the same N images, on how many each alone is right, and the exact
    two-sided p that both are right equally often (McNemar 1947, Psychometrika 12)."""
    alone, other_alone = int((correct & ~other).sum()), int((other & ~correct).sum())
    p = float(binomtest(alone, alone + other_alone).pvalue) if alone + other_alone else 1.0
    points = 100 * (alone - other_alone) / len(correct)
    return {"points": points, "alone": alone, "other_alone": other_alone, "p": p}


def told(what: str, difference: dict[str, Any], other: str) -> str:
    """The same as a sentence."""
    return (
        f"On test, {what} {difference['points']:+.2f} points against {other}: right alone on {difference['alone']} and "
        f"wrong alone on {difference['other_alone']} images, exact McNemar p {difference['p']:.2g}."
    )
