"""Effects over matched pairs and their interaction, against scipy's own tests and lines that were built in."""

import math

import numpy as np
import pytest
from scipy.stats import ttest_rel

from analysis.statistics.effects import Effect, changes, in_units, interaction, paired_effect
from analysis.statistics.inference import t_quantile
from analysis.statistics.noise import Noise, estimate_noise
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


def test_an_interaction_is_two_tests_where_levels_have_an_order() -> None:
    """A t of 2.1 for the trend: at three levels or more there is another test beside it."""
    effects = [Effect(points, points - 1.96, points + 1.96, 0.5, 3, math.inf) for points in (0.0, 1.0, 2.0, 2.75)]
    found = interaction(effects)
    assert 0.025 < found.p_trend < 0.05 < found.p_same
    assert changes(found, 4, ordered=True) is None and changes(found, 4, ordered=False) is None
    two = interaction([effects[0], Effect(2.9, 0.94, 4.86, 0.5, 3, math.inf)])
    assert two.p_same == pytest.approx(two.p_trend) and 0.025 < two.p_trend < 0.05
    assert changes(two, 2, ordered=True) == "trend" and changes(two, 2, ordered=False) == "some"


def test_where_lower_is_better_an_effect_turns_around() -> None:
    shown = in_units(Effect(10.0, -5.0, 30.0, 0.2, 4, 7.0), -0.01)
    assert (shown.points, shown.low, shown.high, shown.p) == pytest.approx((-0.1, -0.3, 0.05, 0.2))
    assert shown.error_points == pytest.approx(0.35 / 2 / t_quantile(7.0))


def runs_on(generator: np.random.Generator, hard: np.ndarray, seeds: int, test_set: str) -> RowResults:
    """Runs that are right on an image with these chances."""
    right = generator.random((seeds, len(hard))) < hard
    return RowResults(np.full(seeds, 90.0), 100 * right.mean(1), len(hard), right, test_set)


@pytest.mark.parametrize("seeds", [1, 2])
def test_pairs_on_two_test_sets_share_the_images_of_their_own(seeds: int) -> None:
    """Test sets of 400 and 300 images, on which one level is better on the images that are easy for it: what images of
    one set leave in the effect is not put together with that of the other, and half of the pairs see each."""
    generator = np.random.default_rng(0)
    first, second = generator.random(400), generator.random(300)
    pairs = {
        name: [
            (runs_on(generator, hard, seeds, name), runs_on(generator, np.full(len(hard), 0.5), seeds, name))
            for _ in range(4)
        ]
        for name, hard in (("a", first), ("b", second))
    }
    both = [*pairs["a"], *pairs["b"]]
    noise = estimate_noise({str(number): row for number, row in enumerate(row for pair in both for row in pair)}, 0.1)
    found, one, other = (paired_effect(some, noise) for some in (both, pairs["a"], pairs["b"]))
    assert found is not None and one is not None and other is not None
    assert found.points == pytest.approx((one.points + other.points) / 2)
    if seeds > 1:  # variances of halves that have nothing in common
        assert found.error_points == pytest.approx(math.hypot(one.error_points, other.error_points) / 2)
    else:
        assert found.error_points < max(one.error_points, other.error_points)
