"""What it would take to tell two rows apart: the difference that can be seen, seeds and test images that are needed."""

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np
from scipy.special import ndtri

from analysis.statistics.comparisons import Comparisons
from analysis.statistics.max_t import simulate
from analysis.statistics.noise import POINTS2, Noise, paired_image_variance, row_spread
from analysis.statistics.results import RowResults

POWER = 0.8
MOST_ROWS = 300  # that are enough for a mean
MOST_SEEDS = 200  # beyond which nobody would run more
LEAST_DIFFERENCE = 1e-3  # a proportion, below which no number of images is worth a line


def detectable_points(
    image_variance: float, critical: float, seed_variance_points2: float = 0.0, seeds: float = math.inf
) -> float:
    """The true difference between two rows, in points, that is marked with a probability of POWER, with so many `seeds`
    of each. `image_variance`: that test images leave in the difference (a proportion squared). `critical`: the standard
    errors from which on a difference is marked."""
    standard_errors = critical + float(ndtri(POWER))
    return standard_errors * math.sqrt(2 * seed_variance_points2 / seeds + POINTS2 * image_variance)


def detectable_by_simulation(rows: Mapping[str, RowResults], comparisons: Comparisons, seeds: int) -> float:
    """The same between the reference and another row of a table of configurations, on average over the rows, each with
    so many `seeds`: from drawn tables (max_t.py), so that it counts what the test counts: a reference that is picked,
    and spreads that differ and are known badly."""
    reference = comparisons.reference
    assert reference is not None
    base = rows[reference]
    others = [key for key, row in rows.items() if key != reference and row.test_set_id == base.test_set_id]
    alike = {key: rows[key] for key in (reference, *others[: MOST_ROWS - 1])}
    together = simulate(alike, comparisons.noise, reference if comparisons.named else None, seeds)
    return 100 * together.gap_seen(together.critical(comparisons.level), POWER)


def reference_image_variance(rows: Mapping[str, RowResults], reference: str, noise: Noise) -> float:
    """Variance that the test images leave in a difference, averaged over the rows against the reference row."""
    base = rows[reference]
    others = [row for key, row in rows.items() if key != reference and row.test_set_id == base.test_set_id]
    per_image = 0.0 if noise.test is None else noise.seed_variance_per_image
    return float(np.mean([paired_image_variance([(row, base)], per_image) for row in others[:MOST_ROWS]]))


def seeds_needed(
    row: RowResults, other: RowResults, noise: Noise, critical: float, points: float | None = None
) -> tuple[int, int] | Literal["images", "seeds"]:
    """How many more seeds of each, as few as can be, have a true difference of so many `points` (None: the one that was
    seen) marked with a probability of POWER; `seeds` where that takes more than MOST_SEEDS, `images` where these rather
    than seeds are what is missing. `critical`: the standard errors from which on the next look marks a difference."""
    assert noise.test is not None
    images = paired_image_variance([(row, other)], noise.seed_variance_per_image)
    true = row.test_proportion - other.test_proportion if points is None else points / 100
    wanted = (true / (critical + float(ndtri(POWER)))) ** 2 - images
    one_seed = [row_spread(one, noise.test).variance_points2 / POINTS2 for one in (row, other)]
    seeds = [row.seeds, other.seeds]
    assert not row.overlap and not other.overlap, "folds and splits have other rules"
    while sum(variance / count for variance, count in zip(one_seed, seeds, strict=True)) > wanted:
        gains = [variance / count / (count + 1) for variance, count in zip(one_seed, seeds, strict=True)]
        seeds[gains.index(max(gains))] += 1  # of which one more seed helps most
        if wanted <= 0:
            return "images"
        if max(seeds) > MOST_SEEDS:
            return "seeds"
    return seeds[0] - row.seeds, seeds[1] - other.seeds


def images_needed(row: RowResults, other: RowResults, noise: Noise, critical: float) -> int | None:
    """With how many test images, and very many seeds, the difference as it stands would be marked with a probability of
    POWER; None where that is next to nothing."""
    difference = abs(row.test_proportion - other.test_proportion)
    if difference < LEAST_DIFFERENCE:
        return None
    images = paired_image_variance([(row, other)], noise.seed_variance_per_image)
    return math.ceil(row.n_test * images * ((critical + float(ndtri(POWER))) / difference) ** 2 / 100) * 100
