"""The band of a reliability diagram, and the error that chance makes."""

import numpy as np
import pytest

from analysis.statistics.calibration import expected_error, reliability


def test_runs_on_the_same_images_are_no_more_images() -> None:
    """Four runs that agree tell what one tells; four times as many images tell twice as much."""
    generator = np.random.default_rng(0)
    confidence = generator.uniform(0.3, 1.0, 600)
    right = generator.random(600) < confidence
    one = reliability(confidence, right)
    four = reliability(np.tile(confidence, 4), np.tile(right, 4), runs=4)
    more = reliability(np.tile(confidence, 4), np.tile(right, 4))
    assert np.allclose(four.right, one.right) and (four.images == 4 * one.images).all()
    widths = [float((found.high - found.low).mean()) for found in (one, four, more)]
    assert widths[1] == pytest.approx(widths[0], rel=0.05) and widths[2] == pytest.approx(widths[0] / 2, rel=0.1)


def test_true_probabilities_lie_in_the_band() -> None:
    """95 % of the bins of true probabilities, on average over drawn labels."""
    generator = np.random.default_rng(1)
    inside = []
    for _ in range(60):
        confidence = generator.uniform(0.3, 1.0, 400)
        found = reliability(confidence, generator.random(400) < confidence)
        inside += ((found.low <= found.right) & (found.right <= found.high)).tolist()
    assert 0.93 <= np.mean(inside) <= 0.99


def test_the_error_is_the_mean_distance_of_bins() -> None:
    confidence, right = np.array([0.95, 0.95, 0.55, 0.55]), np.array([True, False, True, True])
    assert expected_error(confidence, right) == pytest.approx((0.45 + 0.45) / 2)
