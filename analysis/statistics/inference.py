"""Textbook intervals and tests for accuracies. Counts and proportions in, proportions out; scipy and statsmodels work.

scipy.stats is imported with it, which takes half a second; statsmodels, which brings pandas, where it is called.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit  # the distributions themselves, a hundred times faster
from scipy.stats import binomtest, fisher_exact, kendalltau

Interval = tuple[float, float]
LEVEL = 0.95


def t_quantile(df: float, comparisons: float = 1) -> float:
    """How many standard errors a two-sided 95 % interval reaches to each side, if so many are to cover (Bonferroni)."""
    tail = 1 - (1 - LEVEL) / 2 / comparisons
    return float(ndtri(tail) if math.isinf(df) else stdtrit(df, tail))


def t_test(t: float, df: float) -> float:
    """Two-sided p of a value of Student's t."""
    return float(2 * (ndtr(-abs(t)) if math.isinf(df) else stdtr(df, -abs(t))))


def wilson(p: float, n: float, z: float | None = None) -> Interval:
    """Interval for a proportion of which `p` was seen in `n` draws (Wilson 1927, JASA 22). `n` may be the effective
    number of draws and not whole, `z` a quantile of Student's t (Korn and Graubard 1998)."""
    z = t_quantile(math.inf) if z is None else z
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(max(p * (1 - p), 0.0) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p that two classifiers are right equally often, from the images on which one of them alone is
    (McNemar 1947, Psychometrika 12; exact: binomial)."""
    if only_first + only_second == 0:
        return 1.0
    return float(binomtest(only_first, only_first + only_second).pvalue)


def paired_difference(only_first: int, only_second: int, n: int) -> Interval:
    """Interval for the difference of two proportions on the same `n` images (Agresti and Min 2005, Stat. Med. 24: Wald
    after half an image was added to each cell)."""
    n_added, first, second = n + 2.0, only_first + 0.5, only_second + 0.5
    difference = (first - second) / n_added
    half = t_quantile(math.inf) * math.sqrt((first + second) / n_added - difference**2) / math.sqrt(n_added)
    return max(-1.0, difference - half), min(1.0, difference + half)


def two_proportions(right: Sequence[int], n: Sequence[int]) -> float:
    """Exact two-sided p that two proportions are equal, from two counts on images of their own (Fisher 1935)."""
    table = np.array([[right[0], n[0] - right[0]], [right[1], n[1] - right[1]]])
    return float(fisher_exact(table).pvalue)


def unpaired_difference(right: Sequence[int], n: Sequence[int]) -> Interval:
    """Interval for the difference first - second of two independent proportions (Newcombe 1998, Stat. Med. 17)."""
    from statsmodels.stats.proportion import confint_proportions_2indep

    low, high = confint_proportions_2indep(right[0], n[0], right[1], n[1], method="newcomb", compare="diff")
    return float(low), float(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """p values corrected so that 5 % is the chance of any false alarm among all of them (Holm 1979, Scandinavian
    Journal of Statistics 6); statsmodels' multipletests gives the same and collects garbage at each call."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return corrected.tolist()


def kendall(x: Sequence[float], y: Sequence[float]) -> tuple[float, Interval] | None:
    """Kendall's tau-b with its interval (Fieller, Hartley and Pearson 1957, Biometrika 44: arctanh(tau) has variance
    0.437 / (n - 4), which holds from about eight points on); None for fewer, or where one side is constant."""
    if len(x) < 8:
        return None
    tau = float(kendalltau(x, y).statistic)
    if math.isnan(tau):
        return None
    z, half = math.atanh(min(max(tau, -0.9999), 0.9999)), t_quantile(math.inf) * math.sqrt(0.437 / (len(x) - 4))
    return tau, (math.tanh(z - half), math.tanh(z + half))
