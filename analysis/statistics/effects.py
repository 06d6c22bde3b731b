"""The effect of one setting over matched pairs of rows, and whether it depends on another setting."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc

from analysis.statistics import inference
from analysis.statistics.noise import Noise, Pair, difference_variance, paired_image_variance


@dataclass(frozen=True)
class Effect:
    """Mean difference over `pairs` matched pairs in points of test accuracy, its 95 % interval, and its p value,
    uncorrected."""

    points: float
    low: float
    high: float
    p: float
    pairs: int


@dataclass(frozen=True)
class Interaction:
    """How an effect differs between the levels of another setting: the p value that all are the same, and, in the order
    of the levels, the change from level to level in points, with its 95 % interval and p value."""

    p_same: float
    points_per_level: float
    low: float
    high: float
    p_trend: float


def paired_effect(pairs: Sequence[Pair], noise: Noise) -> Effect | None:
    """The effect over matched pairs (first - second). The error is the noise between replicates where that is known;
    else what the pairs differ among each other, for which there must be two: None for fewer."""
    values = np.array([first.test_proportion - second.test_proportion for first, second in pairs])
    if len(values) == 0 or (noise.test is None and len(values) < 2):
        return None
    mean = float(values.mean())
    if noise.test is None:
        error, df = float(values.std(ddof=1)) / math.sqrt(len(values)), len(values) - 1.0
    else:
        error, df = _error_from_noise(pairs, noise)
    if error == 0:
        return Effect(100 * mean, 100 * mean, 100 * mean, 0.0 if mean else 1.0, len(pairs))
    half = inference.t_quantile(df) * error
    p = inference.t_test(mean / error, df)
    return Effect(100 * mean, 100 * (mean - half), 100 * (mean + half), p, len(pairs))


def interaction(effects: Sequence[Effect]) -> Interaction:
    """Of the effects at two levels or more, in the order of the levels: Cochran's test that they are the same
    (Biometrics 10, 1954), and a weighted straight line through them."""
    z = inference.t_quantile(math.inf)
    values = np.array([effect.points for effect in effects])
    errors = np.maximum([(effect.high - effect.low) / 2 / z for effect in effects], 1e-9)
    weights = errors**-2
    mean = (weights * values).sum() / weights.sum()
    p_same = float(chdtrc(len(values) - 1, (weights * (values - mean) ** 2).sum()))
    levels = np.arange(len(values))
    centred = levels - (weights * levels).sum() / weights.sum()
    slope = float((weights * centred * values).sum() / (weights * centred**2).sum())
    error = float((weights * centred**2).sum()) ** -0.5
    half = z * error
    return Interaction(p_same, slope, slope - half, slope + half, inference.t_test(slope / error, math.inf))


def _error_from_noise(pairs: Sequence[Pair], noise: Noise) -> tuple[float, float]:
    """Standard error of the mean difference (a proportion), and its degrees of freedom."""
    total = [difference_variance(first, second, noise) for first, second in pairs]
    images = [paired_image_variance([pair], noise.seed_variance_per_image) for pair in pairs]
    seeds = sum(variance - image for (variance, _), image in zip(total, images, strict=True)) / len(pairs) ** 2
    error = math.sqrt(seeds + paired_image_variance(pairs, noise.seed_variance_per_image))
    return error, min(df for _, df in total)
