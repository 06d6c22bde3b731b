"""What it would take to tell two rows apart: the difference that can be seen, seeds and test images that are needed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtr, stdtrit

from analysis.statistics.comparisons import Comparisons
from analysis.statistics.drawn_tables import SEED, simulate
from analysis.statistics.latent import difference_below
from analysis.statistics.max_t import Simulated
from analysis.statistics.noise import POINTS2, Noise, paired_image_variance, row_spread
from analysis.statistics.results import RowResults
from analysis.statistics.spread import PooledSpread

POWER = 0.8
MOST_ROWS = 300  # that are enough for a mean
MOST_SEEDS = 200  # beyond which nobody would run more
STEPS = 8  # of a fixed point, after which it stands still
LEAST_ACCURACY = 0.02  # a proportion
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
    """The same between a row of a table of configurations and the others, which are equally good and the reference
    among them, on average over the rows, each with so many `seeds`: from drawn tables (max_t.py), so that it counts
    what the test counts: a reference that is picked, and spreads that differ and are known badly."""
    reference, noise = comparisons.reference, comparisons.noise
    assert reference is not None and noise.test is not None
    alike = _beside(rows, reference)
    named = reference if comparisons.named else None
    critical = simulate(alike, noise, named, seeds).critical(comparisons.level)
    likely = simulate(alike, noise, named, seeds, careful=False)
    own = (seeds - 1) / (seeds - 1 + noise.test.prior_df) if seeds > 1 else 0.0
    now = min(row_spread(row, noise.test).df for row in alike.values())
    df = max(now, seeds_df(noise.test, seeds, len(alike) * (seeds - 1)))
    marks = Marked(critical, comparisons.level, df, likely.n_test)
    return 100 * gap_seen(likely, marks, own, seeds - 1)


@dataclass(frozen=True)
class Marked:
    """When a difference is marked: its t passes the `critical` one of the drawn tables, and at the `level` Student's
    with the degrees of freedom of its variance. `seeds_df`: of what seeds leave."""

    critical: float
    level: float
    seeds_df: float
    n_test: int

    def least_t(self, from_seeds: np.ndarray, from_images: np.ndarray | float) -> np.ndarray:
        """The |t| from which on it is, for variances that seeds and test images leave in the difference."""
        if stdtr(self.seeds_df, -self.critical) <= self.level / 2:
            return np.asarray(self.critical)  # other degrees of freedom are more than these
        total = np.maximum(from_seeds + from_images, 1e-18)
        df = total**2 / (from_seeds**2 / self.seeds_df + np.square(from_images) / (self.n_test - 1) + 1e-36)
        return np.maximum(self.critical, -stdtrit(df, self.level / 2))


def seeds_df(pooled: PooledSpread, seeds: int, pooled_df: float) -> float:
    """Degrees of freedom of a row's variance with so many seeds, as in spread.py; `pooled_df`: of all rows by then."""
    if math.isinf(pooled.prior_df) or (seeds == 1 and pooled.prior_df == 0):
        return max(pooled_df, 1.0)
    return max(min(seeds - 1 + pooled.prior_df, pooled_df), 1.0)


def _beside(rows: Mapping[str, RowResults], reference: str) -> dict[str, RowResults]:
    """The reference and the rows on the same test images, as many as are enough."""
    same = rows[reference].test_set_id
    others = [key for key, row in rows.items() if key != reference and row.test_set_id == same]
    return {key: rows[key] for key in (reference, *others[: MOST_ROWS - 1])}


def critical_of_many_seeds(rows: Mapping[str, RowResults], comparisons: Comparisons, level: float) -> float:
    """The |t| from which on a row would be marked if each had MOST_SEEDS seeds: what is left then is the images' part.
    Of claims about trained models it is the one of now."""
    reference, noise = comparisons.reference, comparisons.noise
    if noise.test is None or reference is None:
        return comparisons.critical if level == comparisons.level else comparisons.critical_next
    alike = _beside(rows, reference)
    seeds = [max(row.seeds, MOST_SEEDS) for row in alike.values()]
    return simulate(alike, noise, reference if comparisons.named else None, seeds).critical(level)


def gap_seen(tables: Simulated, marks: Marked, own_part: float, own_df: int) -> float:
    """The true distance (a proportion) below the others at which a row is marked with a probability of POWER.
    `own_part`: of the estimated variance between a row's seeds that these tell, with `own_df` degrees of freedom; the
    rest is the others'. Neither the true variances are known nor what they will be estimated to be."""
    keys, picked = _one_row_below(tables)
    draws = np.arange(len(tables.test))[:, None]
    strayed = tables.test[:, keys] - tables.test[draws, picked]
    images, pairing = tables.images[picked, keys], tables.pairing[picked, keys]
    true, seen = tables.true_seeds, _to_be_estimated(tables.true_seeds, own_part, own_df)
    own = own_part + (1 - own_part) / len(tables.keys)  # a row that is worse is one of those that tell the rest
    gap = 0.0
    for _ in range(STEPS):
        growth, added = _variance_below(tables, gap)
        now, before, estimated = (
            one + other - 2 * pairing * np.sqrt(one * other)
            for one, other in (
                (true[:, keys] * growth, true[draws, picked]),
                (true[:, keys], true[draws, picked]),
                (seen[:, keys] * (1 + own * (growth - 1)), seen[draws, picked]),
            )
        )
        stretched = strayed * np.sqrt((now + images + added) / np.maximum(before + images, 1e-18))
        needed = marks.least_t(estimated, images + added) * np.sqrt(estimated + images + added)
        gap = float(np.quantile(needed + stretched, POWER))
    return gap


def _to_be_estimated(true: np.ndarray, own_part: float, own_df: int) -> np.ndarray:
    """What variances will be estimated to be that are truly these [draws, rows]: shrunken towards their mean, and known
    from so many degrees of freedom each."""
    if own_df == 0:
        return np.broadcast_to(true.mean(1, keepdims=True), true.shape)
    alone = true * np.random.default_rng(SEED).chisquare(own_df, true.shape) / own_df
    return np.asarray(own_part * alone + (1 - own_part) * alone.mean(1, keepdims=True))


def _one_row_below(tables: Simulated) -> tuple[np.ndarray, np.ndarray]:
    """Rows [rows], and the reference of each that is picked among the others, since it is worse than they are [draws,
    rows]: indices."""
    keys, draws = np.arange(len(tables.keys)), len(tables.test)
    if tables.named is not None:
        named = tables.keys.index(tables.named)
        keys = keys[keys != named]
        return keys, np.full((draws, len(keys)), named)
    second, first = np.argsort(tables.val, axis=1, kind="stable")[:, -2:].T
    return keys, np.where(first[:, None] == keys, second[:, None], first[:, None])


def _variance_below(tables: Simulated, gap: float) -> tuple[float, float]:
    """By what the variance between the seeds of a row that lies by `gap` below the others is larger, as p(1-p) is; and
    how much variance images add to that of a difference of equal rows (latent.py)."""
    p = float(tables.accuracy.mean())
    low = max(p - gap, LEAST_ACCURACY)
    growth = max(low * (1 - low) / (p * (1 - p)), 1.0)
    of_row = float(tables.images_of_rows.mean()) * tables.n_test
    equal = float(tables.images[~np.eye(len(tables.keys), dtype=bool)].mean()) * tables.n_test
    return growth, max(difference_below(p, low, of_row, equal) - equal, 0.0) / tables.n_test


def reference_image_variance(rows: Mapping[str, RowResults], reference: str, noise: Noise) -> float:
    """Variance that the test images leave in a difference, averaged over the rows against the reference row."""
    base = rows[reference]
    others = [row for key, row in rows.items() if key != reference and row.test_set_id == base.test_set_id]
    per_image = 0.0 if noise.test is None else noise.seed_variance_per_image
    return float(np.mean([paired_image_variance([(row, base)], per_image) for row in others[:MOST_ROWS]]))


def images_needed(row: RowResults, other: RowResults, noise: Noise, critical: float) -> int | None:
    """With how many test images, and very many seeds, the difference as it stands would be marked with a probability of
    POWER; None where that is next to nothing. `critical`: of so many seeds."""
    difference = abs(row.test_proportion - other.test_proportion)
    if difference < LEAST_DIFFERENCE:
        return None
    images = paired_image_variance([(row, other)], noise.seed_variance_per_image)
    return math.ceil(row.n_test * images * ((critical + float(ndtri(POWER))) / difference) ** 2 / 100) * 100
