"""What may be claimed of each row of the table, and of its difference from the reference row.

Where some configuration was run with several seeds, claims are about *configurations*: seeds and test images are both
draws (noise.py). Where nothing was repeated, claims are about the *trained models* at hand, and only the images are
draws. Accuracies in per cent, differences in points.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from analysis.statistics import inference
from analysis.statistics.inference import Interval
from analysis.statistics.noise import (
    Noise,
    binomial_variance,
    difference_variance,
    estimate_noise,
    row_spread,
    row_variance,
)
from analysis.statistics.results import RowResults

Claim = Literal["configuration", "model"]
Mark = Literal["reference", "tied", "worse", "better", ""]


@dataclass(frozen=True)
class Difference:
    """Of two rows, in points, with its 95 % interval and the p value of no difference."""

    points: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Comparison:
    """Of one row: the interval of its test accuracy in per cent; its difference from the reference in points with its
    interval (nan for the reference and for rows on other images), the p value corrected over all rows, and the mark."""

    test_low: float
    test_high: float
    spread: str = ""  # own, borrowed, or "" in a claim about a trained model
    diff: float = math.nan
    diff_low: float = math.nan
    diff_high: float = math.nan
    p: float = math.nan
    mark: Mark = ""


@dataclass(frozen=True)
class Comparisons:
    """Of the whole table: each row's comparison with the reference row, by key, and the noise behind them."""

    reference: str | None
    by_row: Mapping[str, Comparison]
    noise: Noise

    @property
    def claim(self) -> Claim:
        """What the comparisons are about."""
        return "configuration" if self.noise.test else "model"


def compare_rows(
    rows: Mapping[str, RowResults], reference: str | None = None, val_image_points: float = 0.0
) -> Comparisons:
    """Compare rows by key. The reference, where none is named, is the row with the best mean val accuracy (on a tie the
    one with more seeds, then the first). `val_image_points`: one val image, in points."""
    noise = estimate_noise(rows, val_image_points)
    if reference is None and rows:
        reference = max(rows, key=lambda key: (rows[key].mean_val_percent, rows[key].seeds))
    by_row, differences = {}, {}
    for key, row in rows.items():
        low, high = test_interval(row, noise)
        by_row[key] = Comparison(low, high, row_spread(row, noise.test).source if noise.test else "")
        if reference is not None and key != reference and row.test_set_id == rows[reference].test_set_id:
            differences[key] = difference(row, rows[reference], noise)
    corrected = inference.holm([found.p for found in differences.values()])
    for (key, found), p in zip(differences.items(), corrected, strict=True):
        mark: Mark = "tied" if p > 1 - inference.LEVEL else "worse" if found.points < 0 else "better"
        by_row[key] = replace(by_row[key], diff=found.points, diff_low=found.low, diff_high=found.high, p=p, mark=mark)
    if reference is not None:
        by_row[reference] = replace(by_row[reference], mark="reference")
    return Comparisons(reference, by_row, noise)


def test_interval(row: RowResults, noise: Noise) -> Interval:
    """95 % interval of a row's test accuracy in per cent: Wilson's, for a configuration with as many images as would
    leave the variance that seeds and images leave together (Korn and Graubard 1998)."""
    if noise.test is None:
        low, high = inference.wilson(row.test_proportion, row.n_test)
        return 100 * low, 100 * high
    variance, df = row_variance(row, noise)
    effective_images = binomial_variance(row) / variance
    low, high = inference.wilson(row.test_proportion, effective_images, inference.t_quantile(df))
    return 100 * low, 100 * high


def difference(row: RowResults, other: RowResults, noise: Noise) -> Difference:
    """row - other."""
    if noise.test is None:
        return _model_difference(row, other)
    value = row.test_proportion - other.test_proportion
    variance, df = difference_variance(row, other, noise)
    error = math.sqrt(variance)
    half = inference.t_quantile(df) * error
    return Difference(100 * value, 100 * (value - half), 100 * (value + half), inference.t_test(value / error, df))


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
    """Of two trained models: McNemar on the same images, Fisher's test where only counts are known."""
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
