"""Seeds and images that are needed, against calculations by hand."""

import math
from dataclasses import replace

import numpy as np
from report_runs import near

from analysis.statistics.noise import Noise, difference_variance
from analysis.statistics.planning import images_needed, seeds_needed
from analysis.statistics.results import RowResults
from analysis.statistics.spread import pool


def test_how_many_seeds_and_images_it_would_take() -> None:
    """Two rows that differ by 1 point, with a spread of 2 points between seeds and no images to differ on."""
    pooled = pool({"a": np.array([90.0, 90.0 + 2 * math.sqrt(2)])}, 0.01)
    assert pooled is not None and pooled.sd_points == near(2.0)
    assert replace(pooled, df=10).sd_interval_points() == near((1.3975, 3.5099), 1e-3)  # chi-squared tables

    nothing = np.zeros((2, 1000), dtype=bool)
    first = RowResults(np.array([95.0, 95.0]), np.array([90.0, 92.0]), 1000, nothing)
    second = RowResults(np.array([94.0, 94.0]), np.array([89.0, 91.0]), 1000, nothing)
    noise = Noise(replace(pooled, prior_df=math.inf, df=10**6), None, 0.0)
    variance, _ = difference_variance(first, second, noise)
    assert 1e4 * variance == near(2 * 4 / 2, 1e-6)
    # 1 = (1.96 + 0.84) * sqrt(2 * 4 / n) at n = 62.8
    assert seeds_needed(first, second, noise, 1.96) == (63 - 2, 63 - 2)
    many = replace(first, val_percent=np.full(100, 95.0), test_percent=91 + np.tile([-2.0, 2.0], 50), correct=nothing)
    few = replace(second, test_percent=second.test_percent - 1.0)
    more = seeds_needed(many, few, noise, 1.96)
    assert isinstance(more, tuple) and more[0] == 0 < more[1], "of the row with fewer seeds"
    closer = replace(second, test_percent=first.test_percent - 0.1)
    assert seeds_needed(first, closer, noise, 1.96) == "seeds", "more than anybody would run"

    # images alone: 100 of 400 images on which one of them is right, balanced but for 4
    ones, others = np.zeros((2, 400), dtype=bool), np.zeros((2, 400), dtype=bool)
    ones[:, :52], others[:, 52:100] = True, True
    first, second = (RowResults(np.array([95.0, 95.0]), 100 * rows.mean(1), 400, rows) for rows in (ones, others))
    per_image = (100 / 400 - 0.01**2) * 400 / 399
    expected = math.ceil(per_image * ((1.96 + 0.841621) / 0.01) ** 2 / 100) * 100
    assert images_needed(first, second, noise, 1.96) == expected
    assert images_needed(first, first, noise, 1.96) is None
    assert seeds_needed(first, second, noise, 1.96) == "images"
