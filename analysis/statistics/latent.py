"""How test images tell two rows apart of which one is worse: a probit model with one latent difficulty an image.

A run is right on an image where a normal deviate stays below a threshold, which accuracy sets. Deviates of two runs on
the same image correlate, those of one configuration more than those of two. From what is known of rows that are equally
good it follows what a worse one would have in common with them (tetrachoric correlations; Pearson 1900).
"""

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(60)
WEIGHTS = WEIGHTS / WEIGHTS.sum()
MOST_CORRELATED = 0.98  # beyond which so many nodes don't integrate well


def both_right(p: float, q: float, correlation: float) -> float:
    """Probability that two runs with accuracies p and q are right on the same image, given their latent correlation."""
    root, rest = np.sqrt(correlation), np.sqrt(1 - correlation)
    first, second = (ndtr((ndtri(one) + root * NODES) / rest) for one in (p, q))
    return float((WEIGHTS * first * second).sum())


def correlation_of(p: float, covariance: float) -> float:
    """The latent correlation of two runs with accuracy p whose outcomes on an image have this covariance."""
    if covariance <= both_right(p, p, 0.0) - p * p:
        return 0.0
    if covariance >= both_right(p, p, MOST_CORRELATED) - p * p:
        return MOST_CORRELATED
    return float(brentq(lambda r: both_right(p, p, r) - p * p - covariance, 0.0, MOST_CORRELATED, xtol=1e-6))


def difference_below(p: float, low: float, of_row: float, of_difference: float) -> float:
    """Variance over the images of the difference of a row with accuracy p and one with `low`, many seeds each.
    `of_row`, `of_difference`: variance over the images of a row with p, and of the difference of two such rows."""
    same = correlation_of(p, of_row)
    other = min(correlation_of(p, of_row - of_difference / 2), same)
    worse = both_right(low, low, same) - low * low
    between = both_right(p, low, other) - p * low
    return both_right(p, p, same) - p * p + worse - 2 * between
