"""What may be claimed of each row of the table, and of its difference from the reference row.

Where some configuration was run with several seeds, claims are about *configurations*: seeds and test images are both
draws. Var(row) = S^2/seeds + images, with S the spread between seeds on the same images (spread.py); for a difference,
what the images have in common cancels, and what is left is measured on the predictions. Where nothing was repeated,
claims are about the *trained models* at hand, and only the images are draws. Accuracies in per cent.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from analysis.statistics import inference
from analysis.statistics.spread import Pooled, Spread, pool, spread

Claim = Literal["configuration", "model"]
Mark = Literal["reference", "tied", "worse", "better", ""]


@dataclass(frozen=True)
class Row:
    """What came out of one identity: an entry a seed. `correct`: whether each test image was put in its class
    [seeds, n_test] bool, None where only the counts are known. `images`: what they are the same test images by."""

    val: np.ndarray
    test: np.ndarray
    n_test: int
    correct: np.ndarray | None = None
    images: str = ""

    @cached_property
    def mean(self) -> float:
        """Mean test accuracy as a proportion."""
        return float(self.test.mean()) / 100

    @cached_property
    def mean_val(self) -> float:
        """Mean val accuracy in per cent."""
        return float(self.val.mean())

    @property
    def seeds(self) -> int:
        """How many runs."""
        return len(self.test)

    @cached_property
    def variance(self) -> float:
        """Between the seeds, in points squared; nan for one."""
        return float(self.test.var(ddof=1)) if self.seeds > 1 else math.nan

    @cached_property
    def shares(self) -> np.ndarray:
        """How many of the seeds put each image in its class, as proportions [n_test]; needs `correct`."""
        assert self.correct is not None
        mean: np.ndarray = self.correct.mean(0, dtype=np.float32)
        return mean

    @cached_property
    def disagreement(self) -> float:
        """Variance of an image's outcome between the seeds, mean over images; needs `correct` of two seeds or more."""
        return float((self.shares * (1 - self.shares)).mean()) * self.seeds / (self.seeds - 1)


@dataclass(frozen=True)
class Verdict:
    """Of one row, in points: the interval of its test accuracy, its difference from the reference with its interval
    (nan for the reference and for rows on other images), the p value corrected over all rows, and the mark."""

    low: float
    high: float
    spread: str = ""  # own, borrowed, or "" in a claim about a trained model
    diff: float = math.nan
    diff_low: float = math.nan
    diff_high: float = math.nan
    p: float = math.nan
    mark: Mark = ""


@dataclass(frozen=True)
class Judgement:
    """Of the whole table. `pooled`, `pooled_val`: the spread between replicates, None where there are none."""

    claim: Claim
    reference: str | None
    verdicts: dict[str, Verdict]
    pooled: Pooled | None
    pooled_val: Pooled | None
    interaction: float  # variance of an image's outcome between seeds, per image; nan where no predictions tell it


def judge(rows: Mapping[str, Row], reference: str | None = None, step_val: float = 0.0) -> Judgement:
    """Judge rows by key. The reference, where none is named, is the row with the best mean val accuracy (on a tie the
    one with more seeds, then the first). `step_val`: one val image in points."""
    step = 100 / max((row.n_test for row in rows.values()), default=100)
    pooled = pool({key: row.test for key, row in rows.items()}, step)
    pooled_val = pool({key: row.val for key, row in rows.items()}, step_val)
    if reference is None and rows:
        reference = max(rows, key=lambda key: (rows[key].mean_val, rows[key].seeds))
    judged = Judgement("configuration" if pooled else "model", reference, {}, pooled, pooled_val, _interaction(rows))
    compared = {}
    for key, row in rows.items():
        low, high = interval(row, judged)
        judged.verdicts[key] = Verdict(low, high, believed(row, pooled).source if pooled else "")
        if reference is not None and key != reference and row.images == rows[reference].images:
            compared[key] = difference(row, rows[reference], judged)
    corrected = inference.holm([p for *_, p in compared.values()])
    for (key, (diff, low, high, _)), p in zip(compared.items(), corrected, strict=True):
        mark: Mark = "tied" if p > 1 - inference.LEVEL else "worse" if diff < 0 else "better"
        own = judged.verdicts[key]
        judged.verdicts[key] = Verdict(own.low, own.high, own.spread, diff, low, high, p, mark)
    if reference is not None:
        own = judged.verdicts[reference]
        judged.verdicts[reference] = Verdict(own.low, own.high, own.spread, mark="reference")
    return judged


def believed(row: Row, pooled: Pooled) -> Spread:
    """The spread between seeds that this row is believed to have."""
    return spread(row.variance, row.seeds, pooled, 100 / row.n_test)


def interval(row: Row, judged: Judgement) -> tuple[float, float]:
    """95 % interval of a row's test accuracy in per cent: Wilson's, for a configuration with as many images as would
    leave the variance that seeds and images leave together (Korn and Graubard 1998)."""
    if judged.pooled is None:
        low, high = inference.wilson(row.mean, row.n_test)
        return 100 * low, 100 * high
    seed = believed(row, judged.pooled)
    binomial = _binomial(row)
    from_seeds, from_images = seed.variance / 1e4 / row.seeds, _image_variance(row, binomial, judged.interaction)
    variance = from_seeds + from_images
    z = inference.t_quantile(_df(from_seeds, seed.df, from_images, row.n_test))
    low, high = inference.wilson(row.mean, binomial / variance, z)
    return 100 * low, 100 * high


def difference(row: Row, other: Row, judged: Judgement) -> tuple[float, float, float, float]:
    """row - other in points, its interval, and the p value of no difference."""
    if judged.pooled is None:
        return _model_difference(row, other)
    value = row.mean - other.mean
    variance, df = difference_variance(row, other, judged)
    error = math.sqrt(variance)
    half = inference.t_quantile(df) * error
    return 100 * value, 100 * (value - half), 100 * (value + half), inference.t_test(value / error, df)


def difference_variance(row: Row, other: Row, judged: Judgement) -> tuple[float, float]:
    """Variance of the difference of two configurations (a proportion squared), and its degrees of freedom."""
    assert judged.pooled is not None
    spreads = [believed(one, judged.pooled) for one in (row, other)]
    from_seeds = sum(s.variance / 1e4 / one.seeds for s, one in zip(spreads, (row, other), strict=True))
    from_images = paired_image_variance(row, other, judged.interaction)
    df = _df(from_seeds, min(s.df for s in spreads), from_images, min(row.n_test, other.n_test))
    return from_seeds + from_images, df


def paired_image_variance(row: Row, other: Row, interaction: float) -> float:
    """What the choice of test images adds to the variance of a difference, beyond what shows between seeds."""
    return mean_image_variance([(row, other)], interaction)


def mean_image_variance(pairs: Sequence[tuple[Row, Row]], interaction: float) -> float:
    """The same for the mean difference over several pairs. Without predictions the images count as if they were drawn
    anew for each row, which is too careful."""
    n, count = min(row.n_test for pair in pairs for row in pair), len(pairs)
    if any(row.correct is None for pair in pairs for row in pair) or math.isnan(interaction):
        return sum(_binomial(row) / row.n_test for pair in pairs for row in pair) / count**2
    difference = sum(first.shares - second.shares for first, second in pairs) / count
    between_seeds = sum(_own_interaction(row, interaction) / row.seeds for pair in pairs for row in pair) / count**2
    return max(float(np.var(difference, ddof=1)) - between_seeds, 0.0) / n


def _model_difference(row: Row, other: Row) -> tuple[float, float, float, float]:
    """Of two trained models: McNemar on the same images, Fisher's test where only counts are known."""
    if row.correct is not None and other.correct is not None:
        only_row = int((row.correct[0] & ~other.correct[0]).sum())
        only_other = int((other.correct[0] & ~row.correct[0]).sum())
        low, high = inference.paired_difference(only_row, only_other, row.n_test)
        p = inference.mcnemar(only_row, only_other)
    else:
        counts, n = [round(one.mean * one.n_test) for one in (row, other)], [row.n_test, other.n_test]
        low, high = inference.unpaired_difference(counts, n)
        p = inference.two_proportions(counts, n)
    return 100 * (row.mean - other.mean), 100 * low, 100 * high, p


def _interaction(rows: Mapping[str, Row]) -> float:
    """Variance of one image's outcome between the seeds of a row, averaged over images and replicated rows."""
    known = [row for row in rows.values() if row.correct is not None and row.seeds > 1]
    if not known:
        return math.nan
    df = np.array([row.seeds - 1 for row in known])
    return float((np.array([_own_interaction(row, 0.0) for row in known]) * df).sum() / df.sum())


def _own_interaction(row: Row, borrowed: float) -> float:
    if row.correct is None or row.seeds == 1:
        return borrowed
    return row.disagreement


def _image_variance(row: Row, binomial: float, interaction: float) -> float:
    """What the choice of test images adds to the variance of a row's accuracy, beyond what shows between its seeds."""
    if row.correct is None or math.isnan(interaction):
        return binomial / row.n_test
    if row.seeds == 1:
        return max(binomial - interaction, 0.0) / row.n_test
    between_images = float(row.shares.var(ddof=1))
    return max(between_images - _own_interaction(row, interaction) / row.seeds, 0.0) / row.n_test


def _binomial(row: Row) -> float:
    """p(1-p) of a row, after two right and two wrong images were added, so that a perfect row has some too."""
    share = (row.mean * row.n_test + 2) / (row.n_test + 4)
    return share * (1 - share)


def _df(from_seeds: float, df: float, from_images: float, n: int) -> float:
    """Degrees of freedom of a sum of two variances (Satterthwaite 1946)."""
    return (from_seeds + from_images) ** 2 / (from_seeds**2 / df + from_images**2 / (n - 1))
