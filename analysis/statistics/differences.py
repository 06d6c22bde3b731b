"""The interval of one row's test accuracy, and the difference of two rows with its interval and test: before anything
is corrected for how many rows there are (comparisons.py).

Accuracies in per cent, differences in points.
"""

import math
from dataclasses import dataclass

import numpy as np

from analysis.statistics import inference
from analysis.statistics.inference import Interval
from analysis.statistics.noise import Noise, binomial_variance, difference_variance, row_variance
from analysis.statistics.results import MeasuredResults, RowResults


@dataclass(frozen=True)
class Difference:
    """Of two rows, in points, with its 95 % interval and the p value of no difference."""

    points: float
    low: float
    high: float
    p: float
    t: float = math.nan  # standard errors; nan where only counts are compared
    error: float = math.nan  # standard error in points; nan in claims about models


def test_interval(row: RowResults, noise: Noise, least_quantile: float = 0.0) -> Interval:
    """95 % interval of a row's test accuracy in per cent: Wilson's, for a configuration with as many images as would
    leave the variance that seeds and images leave together (Korn and Graubard 1998). Of a log-loss or Brier score,
    Student's."""
    if isinstance(row, MeasuredResults):
        return _measured_interval(row, noise, least_quantile)
    if noise.test is None:
        low, high = inference.wilson(row.test_proportion, row.n_test)
        return 100 * low, 100 * high
    variance, df = row_variance(row, noise)
    effective_images = binomial_variance(row) / variance
    quantile = max(inference.t_quantile(df), least_quantile)
    low, high = inference.wilson(row.test_proportion, effective_images, quantile)
    return 100 * low, 100 * high


def _measured_interval(row: MeasuredResults, noise: Noise, least_quantile: float) -> Interval:
    """The same by another metric than accuracy."""
    variance, df = binomial_variance(row) / row.n_test, row.n_test - 1.0
    if noise.test is not None:
        variance, df = row_variance(row, noise)
    quantile = max(inference.t_quantile(df), least_quantile)
    if not row.bounded:
        half = quantile * math.sqrt(variance)
        return 100 * (row.test_proportion - half), 100 * (row.test_proportion + half)
    p = (row.test_proportion * row.n_test + 2) / (row.n_test + 4)
    low, high = inference.wilson(row.test_proportion, p * (1 - p) / variance, quantile)
    return 100 * low, 100 * high


def difference(row: RowResults, other: RowResults, noise: Noise) -> Difference:
    """row - other."""
    if noise.test is None:
        return _model_difference(row, other)
    value = row.test_proportion - other.test_proportion
    variance, df = difference_variance(row, other, noise)
    error = math.sqrt(variance)
    half = inference.t_quantile(df) * error
    t = value / error
    p = inference.t_test(t, df)
    return Difference(100 * value, 100 * (value - half), 100 * (value + half), p, t, 100 * error)


def independent_difference(row: RowResults, noise: Noise, other: RowResults, other_noise: Noise) -> Difference:
    """row - other for rows of two tables that share nothing, from the intervals of both (Zou and Donner 2008, Stat.
    Med. 27); without a p value."""
    low, high = test_interval(row, noise)
    other_low, other_high = test_interval(other, other_noise)
    percent, other_percent = 100 * row.test_proportion, 100 * other.test_proportion
    points = 100 * (row.test_proportion - other.test_proportion)
    return Difference(
        points,
        points - math.hypot(percent - low, other_high - other_percent),
        points + math.hypot(high - percent, other_percent - other_low),
        math.nan,
    )


def _model_difference(row: RowResults, other: RowResults) -> Difference:
    """Of two trained models: McNemar on the same images, Fisher's test where only counts are known; by another metric
    than accuracy a paired t over the images."""
    if isinstance(row, MeasuredResults) and isinstance(other, MeasuredResults):
        error = math.sqrt(float(np.var(row.proportion_correct - other.proportion_correct, ddof=1)) / row.n_test)
        points, t = row.test_proportion - other.test_proportion, 0.0
        if error > 0:
            t = points / error
        half = inference.t_quantile(row.n_test - 1) * error
        p = inference.t_test(t, row.n_test - 1)
        return Difference(100 * points, 100 * (points - half), 100 * (points + half), p, t)
    if row.correct is not None and other.correct is not None:
        only_row = int((row.correct[0] & ~other.correct[0]).sum())
        only_other = int((other.correct[0] & ~row.correct[0]).sum())
        low, high = inference.paired_difference(only_row, only_other, row.n_test)
        p = inference.mcnemar(only_row, only_other)
    else:
        counts, n = [round(one.test_proportion * one.n_test) for one in (row, other)], [row.n_test, other.n_test]
        low, high = inference.unpaired_difference(counts, n)
        p = inference.two_proportions(counts, n)
    return Difference(100 * (row.test_proportion - other.test_proportion), 100 * low, 100 * high, p)
