"""The effect of one setting over matched pairs of rows, and whether it depends on another setting."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.special import fdtrc

from analysis.statistics import inference
from analysis.statistics.noise import Noise, Pair, difference_variance, paired_image_variance, satterthwaite

LEAST_PAIRS = 3  # below which nothing is claimed of a setting: that is a comparison of rows


@dataclass(frozen=True)
class Effect:
    """Mean difference over `pairs` matched pairs in points of test accuracy, its 95 % interval, its p value,
    uncorrected, and the degrees of freedom of its error."""

    points: float
    low: float
    high: float
    p: float
    pairs: int
    df: float

    @property
    def error_points(self) -> float:
        """Standard error, in points."""
        return (self.high - self.low) / 2 / inference.t_quantile(self.df)


@dataclass(frozen=True)
class Interaction:
    """How an effect differs between the levels of another setting: the p value that all are the same, and, in the order
    of the levels, the change from level to level in points, with its 95 % interval and p value."""

    p_same: float
    points_per_level: float
    low: float
    high: float
    p_trend: float


def paired_effect(pairs: Sequence[Pair], noise: Noise, least_pairs: int = LEAST_PAIRS) -> Effect | None:
    """The effect over matched pairs (first - second); None for fewer than `least_pairs`. The error is the noise between
    replicates where that is known, of the effect in these pairs; else what the pairs differ among each other, of the
    effect in pairs like these. Both count the test images, which all pairs share."""
    if len(pairs) < max(least_pairs, 1 if noise.test else 2):
        return None
    values = np.array([first.test_proportion - second.test_proportion for first, second in pairs])
    mean = float(values.mean())
    variance, df = _from_pairs(pairs, values) if noise.test is None else _from_noise(pairs, noise)
    error = math.sqrt(variance)
    half = inference.t_quantile(df) * error
    p = inference.t_test(mean / error, df)
    return Effect(100 * mean, 100 * (mean - half), 100 * (mean + half), p, len(pairs), df)


def interaction(effects: Sequence[Effect]) -> Interaction:
    """Of the effects at two levels or more, in the order of the levels: Cochran's test that they are the same
    (Biometrics 10, 1954; with F instead of chi-squared, since errors are estimated), and a weighted straight line
    through them. Degrees of freedom: the fewest of the effects."""
    df = min(effect.df for effect in effects)
    values = np.array([effect.points for effect in effects])
    weights = np.array([effect.error_points for effect in effects]) ** -2
    mean = (weights * values).sum() / weights.sum()
    between = float((weights * (values - mean) ** 2).sum()) / (len(values) - 1)
    p_same = float(fdtrc(len(values) - 1, min(df, 1e9), between))
    levels = np.arange(len(values))
    centred = levels - (weights * levels).sum() / weights.sum()
    slope = float((weights * centred * values).sum() / (weights * centred**2).sum())
    error = float((weights * centred**2).sum()) ** -0.5
    half = inference.t_quantile(df) * error
    return Interaction(p_same, slope, slope - half, slope + half, inference.t_test(slope / error, df))


def changes(found: Interaction, levels: int, ordered: bool) -> Literal["trend", "some"] | None:
    """Whether an effect changes between the levels, at 5 %: with a trend from level to level, or somehow; None: can't
    tell. Of three `ordered` levels or more there are two tests, with half of the 5 % each; of two it is the same."""
    tests = 2 if ordered and levels > 2 else 1
    level = (1 - inference.LEVEL) / tests
    if ordered and found.p_trend <= level:
        return "trend"
    return "some" if found.p_same <= level else None


def in_units(effect: Effect, factor: float) -> Effect:
    """`effect` with points times `factor`, which may be negative: where lower is better."""
    low, high = sorted((factor * effect.low, factor * effect.high))
    return replace(effect, points=factor * effect.points, low=low, high=high)


def _by_test_set(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """Pairs that were tested on the same images together; images of different test sets have nothing in common."""
    sets: dict[str, list[Pair]] = {}
    for pair in pairs:
        sets.setdefault(pair[0].test_set_id, []).append(pair)
    return list(sets.values())


def _from_noise(pairs: Sequence[Pair], noise: Noise) -> tuple[float, float]:
    """Variance of the mean difference (a proportion), and its degrees of freedom."""
    total = [difference_variance(first, second, noise) for first, second in pairs]
    images = [paired_image_variance([pair], noise.seed_variance_per_image) for pair in pairs]
    seeds = sum(variance - image for (variance, _), image in zip(total, images, strict=True)) / len(pairs) ** 2
    from_images = sum(
        paired_image_variance(alike, noise.seed_variance_per_image) * (len(alike) / len(pairs)) ** 2
        for alike in _by_test_set(pairs)
    )
    return seeds + from_images, min(df for _, df in total)


def _from_pairs(pairs: Sequence[Pair], values: np.ndarray) -> tuple[float, float]:
    """Variance of the mean over pairs and images, both of which are draws and crossed (each pair was tested on each
    image of its test set), and its degrees of freedom: mean squares of pairs and of images less that of what is left
    (Cornfield and Tukey 1956, Annals of Mathematical Statistics 27). Without predictions, images count as drawn anew
    for each row."""
    count, n = len(pairs), min(row.n_test for pair in pairs for row in pair)
    between_pairs = max(float(values.var(ddof=1)), 2 / (12 * n**2)) / count  # no less than rounding to whole images
    shared = [_shared_images(alike, len(alike) / count) for alike in _by_test_set(pairs) if len(alike) > 1]
    from_images = [(variance, df) for _, variance, df in shared if variance > 0]
    variance = between_pairs + sum(max(more, 0.0) for more, _, _ in shared)
    return variance, satterthwaite(variance, [(between_pairs, count - 1.0), *from_images])


def _shared_images(pairs: Sequence[Pair], part: float) -> tuple[float, float, float]:
    """Of pairs on the same images, which are this `part` of all: what these have in common adds to the variance of the
    mean over all pairs, and the mean square that says it with its degrees of freedom."""
    known = [(first.correct, second.correct) for first, second in pairs]
    if any(first is None or second is None for first, second in known):
        return 0.0, 0.0, 1.0
    count, n = len(pairs), pairs[0][0].n_test
    differences = np.stack([first.proportion_correct - second.proportion_correct for first, second in pairs])
    cells = differences.shape[1]  # images, or drawn sets of these
    means = differences.mean(0)
    rest = differences - means - differences.mean(1, keepdims=True) + differences.mean()
    left = float((rest**2).sum()) / ((count - 1) * (cells - 1)) / (count * n)
    between_images = float(means.var(ddof=1)) / n
    return part**2 * (between_images - left), part**2 * between_images, n - 1.0
