"""Effects over matched pairs and their interaction, against scipy's own tests and lines that were built in."""

import math

import numpy as np
import pytest
from scipy.stats import ttest_rel

from analysis.statistics.effects import Effect, interaction, paired_effect
from analysis.statistics.inference import t_quantile
from analysis.statistics.noise import Noise
from analysis.statistics.results import RowResults

UNREPEATED = Noise(None, None, math.nan)


def row(test_percent: float) -> RowResults:
    return RowResults(np.array([90.0]), np.array([test_percent]), 100)


def test_without_replicates_it_is_a_paired_t_test() -> None:
    first, second = [90.0, 80.0, 86.0, 75.0], [88.0, 79.0, 81.0, 74.0]
    effect = paired_effect([(row(a), row(b)) for a, b in zip(first, second, strict=True)], UNREPEATED)
    expected = ttest_rel(first, second)
    assert effect is not None and effect.pairs == 4
    assert (effect.points, effect.p) == pytest.approx((2.25, expected.pvalue))
    low, high = expected.confidence_interval(0.95)
    assert (effect.low, effect.high) == pytest.approx((low, high))
    assert paired_effect([(row(90.0), row(80.0))] * 2, UNREPEATED) is None, "two pairs are no sample of a setting"
    same = paired_effect([(row(90.0), row(80.0))] * 3, UNREPEATED)
    assert same is not None and same.low < 10.0 < same.high and 0 < same.p < 0.05, "equal differences are not exact"
    assert paired_effect([], UNREPEATED) is None


def test_an_interaction_is_a_weighted_line_through_the_effects() -> None:
    effects = [Effect(points, points - 1.96, points + 1.96, 0.5, 3, math.inf) for points in (1.0, 3.0, 5.0, 7.0)]
    found = interaction(effects)
    assert found.points_per_level == pytest.approx(2.0)
    # errors of 1 point each at levels -1.5, -0.5, 0.5, 1.5: the slope's error is 1 / sqrt(5)
    assert (found.low, found.high) == pytest.approx((2 - 1.96 / math.sqrt(5), 2 + 1.96 / math.sqrt(5)), abs=1e-4)
    assert found.p_same < 0.01 and found.p_trend < 0.001
    q = t_quantile(2.0)  # the same errors, with two degrees of freedom
    few = interaction([Effect(one.points, one.points - q, one.points + q, 0.5, 3, 2.0) for one in effects])
    assert few.p_trend > 0.04 and few.p_same > 0.1, "errors that are known from three runs prove little"
    alike = interaction([Effect(2.0, 0.0, 4.0, 0.5, 3, math.inf)] * 3)
    assert (alike.points_per_level, alike.p_same, alike.p_trend) == pytest.approx((0.0, 1.0, 1.0))
