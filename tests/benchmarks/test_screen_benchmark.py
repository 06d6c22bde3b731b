"""The statistics of benchmarks.screen."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from benchmarks.screen import pooled_tau, tau


def test_tau_is_scipys() -> None:
    draws = np.random.default_rng(0)
    for _ in range(20):
        one, other = draws.integers(0, 5, (2, 8))
        assert tau(one, other) == pytest.approx(kendalltau(one, other).statistic)
    assert tau(np.ones(8), np.arange(8)) == 0


def test_the_pooled_tau_has_an_interval_that_says_how_sure_it_is() -> None:
    """An order that always holds, one that has nothing to do with it, and one that is reversed."""
    draws = np.random.default_rng(0)
    worth = np.arange(8.0)
    outcomes = worth[None, :, None] + draws.normal(0, 0.1, (3, 8, 2))
    assert pooled_tau(np.tile(worth, (3, 1)), outcomes) == pytest.approx((1, 1, 1))
    assert pooled_tau(np.tile(-worth, (3, 1)), outcomes)[0] == pytest.approx(-1)
    middle, low, high = pooled_tau(draws.normal(size=(3, 8)), outcomes)
    assert low < 0 < high and low < middle < high
