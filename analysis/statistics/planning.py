"""What it would take to tell two rows apart: the difference that can be seen, seeds and test images that are needed."""

import math
from collections.abc import Mapping

import numpy as np
from scipy.special import ndtri

from analysis.statistics.inference import t_quantile
from analysis.statistics.noise import POINTS2, Noise, difference_variance, paired_image_variance
from analysis.statistics.results import RowResults

POWER = 0.8
MOST_ROWS = 300  # that are enough for a mean
MOST_SEEDS = 200  # beyond which nobody would run more
LEAST_DIFFERENCE = 1e-3  # a proportion, below which no number of images is worth a line


def detectable_points(image_variance: float, seed_variance_points2: float = 0.0, seeds: float = math.inf) -> float:
    """The true difference between two rows, in points, that is seen with a probability of POWER, with so many `seeds`
    of each. `image_variance`: that test images leave in the difference (a proportion squared)."""
    standard_errors = t_quantile(math.inf) + float(ndtri(POWER))
    return standard_errors * math.sqrt(2 * seed_variance_points2 / seeds + POINTS2 * image_variance)


def reference_image_variance(rows: Mapping[str, RowResults], reference: str, noise: Noise) -> float:
    """Variance that the test images leave in a difference, averaged over the rows against the reference row."""
    base = rows[reference]
    others = [row for key, row in rows.items() if key != reference and row.test_set_id == base.test_set_id]
    per_image = 0.0 if noise.test is None else noise.seed_variance_per_image
    return float(np.mean([paired_image_variance([(row, base)], per_image) for row in others[:MOST_ROWS]]))


def seeds_needed(row: RowResults, other: RowResults, noise: Noise) -> int | None:
    """How many more seeds of both leave 0 outside the interval of their difference as it stands; None where more than
    MOST_SEEDS, or images rather than seeds are what is missing."""
    variance, _ = difference_variance(row, other, noise)
    images = paired_image_variance([(row, other)], noise.seed_variance_per_image)
    seeds = max(row.seeds, other.seeds)
    one_seed = (variance - images) / (1 / row.seeds + 1 / other.seeds)
    left_for_seeds = ((row.test_proportion - other.test_proportion) / t_quantile(math.inf)) ** 2 - images
    if left_for_seeds <= 0 or 2 * one_seed / left_for_seeds > MOST_SEEDS:
        return None
    return max(math.ceil(2 * one_seed / left_for_seeds) - seeds, 1)


def images_needed(row: RowResults, other: RowResults, noise: Noise) -> int | None:
    """How many test images would leave their part of the interval at half the difference as it stands; None where that
    is next to nothing."""
    difference = abs(row.test_proportion - other.test_proportion)
    if difference < LEAST_DIFFERENCE:
        return None
    images = paired_image_variance([(row, other)], noise.seed_variance_per_image)
    return math.ceil(row.n_test * images * (2 * t_quantile(math.inf) / difference) ** 2 / 100) * 100
