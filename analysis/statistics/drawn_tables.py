"""Tables of equally good rows, drawn as the table at hand might have come out (max_t.py says what for).

With the covariance that its test images give the rows, with the spread of its seeds, known as badly as it is, and with
a reference that is picked as the table's was. Rows that all are equal are the worst case of the pick: where some are
plainly worse, it chooses among fewer.
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from scipy.special import chdtri, ndtri

from analysis.statistics.max_t import Simulated
from analysis.statistics.noise import (
    POINTS2,
    Noise,
    image_covariance,
    pairing,
    row_spread,
    shared_luck,
    smoothed_proportion,
    val_images,
    val_spread,
)
from analysis.statistics.results import MeasuredResults, RowResults
from analysis.statistics.spread import Spread, draw_variances

DRAWS, DRAWS_OF_MANY, MANY_ROWS = 4000, 1000, 300
MOST_SKEWNESS = 0.7  # of a run's luck: more is not what a second-order formula can tell
SEED = 20240501  # the same table has the same report
LUCK, TEST_IMAGES, VAL_LUCK, VAL_IMAGES = range(4)  # of a drawn table, each with a stream of its own


def simulate(
    rows: Mapping[str, RowResults],
    noise: Noise,
    named: str | None,
    with_seeds: int | Sequence[int] | None = None,
    careful: bool = True,
) -> Simulated:
    """Draw tables of equal rows like `rows`, all on the same test images. `named`: the reference, if it was named
    beforehand; None: the best by val is picked in each table anew. `with_seeds`: as if each row had so many. `careful`:
    whether val and test share as much luck as they may (shared_luck), or as much as is likely."""
    assert noise.test is not None
    draws = DRAWS if len(rows) <= MANY_ROWS else DRAWS_OF_MANY
    generator = np.random.default_rng(SEED)
    found = list(rows.values())
    count = len(found)
    spreads = [row_spread(row, noise.test) for row in found]
    seen = np.array([row.seeds for row in found])
    runs = seen if with_seeds is None else np.broadcast_to(np.asarray(with_seeds), count)
    seeds = 1 / (1 / runs + np.array([row.overlap for row in found]))  # independent ones
    from_seeds = np.array([spread.variance_points2 / POINTS2 for spread in spreads]) / seeds
    images = image_covariance(found, noise)
    if with_seeds is not None:
        images = images.with_chance(images.chance * seen / runs)
    luck = _normal(LUCK, draws, count)
    if noise.pairing:
        groups = {row.parts: generator.standard_normal((draws, 1)) for row in found}
        share_of = np.array([noise.pairing * bool(row.parts) for row in found])
        shared = np.hstack([groups[row.parts] for row in found])
        luck = np.sqrt(share_of) * shared + np.sqrt(1 - share_of) * luck
    variances, known = np.array([row.seed_variance_points2 for row in found]), seen - 1
    if with_seeds is not None:
        variances, known = _known_by_then(variances, seen, runs, spreads)
    points = 100 / min(row.n_test for row in found)
    true = draw_variances(variances, known, points, draws, generator) / POINTS2 / seeds
    besides = np.maximum(true - images.chance, 0.0)  # the images' covariance has that part already
    lean = _going_with_variance(found, besides * seeds, runs)
    if noise.pairing:  # that rows on the same folds share their luck counts for more
        lean = lean * np.array([not row.parts for row in found])
    if lean.any():
        luck = lean * _ranked_normal(true) + np.sqrt(1 - lean**2) * luck
    test = correlated(images.raw, _normal(TEST_IMAGES, draws, count)) + _centred(np.sqrt(besides) * luck)
    val = np.zeros((draws, count))
    if named is None:
        share = np.minimum(1.0, shared_luck(found, careful) * np.sqrt(true / np.maximum(besides, 1e-12)))
        own = share * luck + np.sqrt(1 - share**2) * _normal(VAL_LUCK, draws, count)
        val_seeds = np.array([val_spread(row, noise) for row in found]) / seeds * true / from_seeds
        val = _centred(np.sqrt(val_seeds) * own)
        val += correlated(val_images(found, noise, images), _normal(VAL_IMAGES, draws, count))
    return Simulated(
        tuple(rows),
        test,
        val,
        from_seeds,
        images.of_differences,
        images.of_rows,
        named,
        np.array([smoothed_proportion(row) for row in found]),
        min(row.n_test for row in found),
        true,
        _pairings(found, noise),
    )


def _known_by_then(
    variances: np.ndarray, seen: np.ndarray, runs: np.ndarray, spreads: Sequence[Spread]
) -> tuple[np.ndarray, np.ndarray]:
    """The variances (points squared) that rows are likely to show with so many `runs`, of which these were `seen`, and
    the degrees of freedom by which they will be known [rows]."""
    known = np.maximum(seen - 1, runs - 1)
    df = np.array([max(spread.df, 1.0) for spread in spreads])
    likely = np.array([spread.variance_points2 for spread in spreads])
    median = likely * df / chdtri(df, 0.5)  # of what it may be
    typical = _typical_variances(np.maximum(known, 1), seen == 1) * median
    added = np.maximum(runs - seen, 0)  # seeds that will show what is likely now
    own = (np.nan_to_num(variances) * (seen - 1) + likely * added) / np.maximum(seen - 1 + added, 1)
    return np.where(seen > 1, own, typical), known


def _going_with_variance(rows: Sequence[RowResults], variances: np.ndarray, runs: np.ndarray) -> np.ndarray:
    """How far the luck of a row's mean goes with how much larger its variance is than its seeds show: their correlation
    [draws, rows]. `variances`: what luck leaves between single runs (proportions squared) [draws, rows].

    Accuracies can't exceed 100 %, so a run's luck is skewed: where it is normal on a probit scale by -3 z sd / slope, z
    and slope the normal quantile and density of the accuracy. Mean and variance of n seeds correlate by skewness /
    sqrt(kurtosis + 2n / (n - 1)) (Zhang 2007, The American Statistician 61): a row whose seeds were lucky shows a
    smaller variance than it has, and val picks just such rows. By other metrics nothing is known of it."""
    z = np.where([isinstance(row, MeasuredResults) for row in rows], 0.0, ndtri([smoothed_proportion(r) for r in rows]))
    skewness = 3 * z * np.sqrt(2 * math.pi * variances) * np.exp(z * z / 2)
    skewness = np.clip(skewness, -MOST_SKEWNESS, MOST_SKEWNESS)
    n = np.maximum(runs, 2)
    found = skewness / np.sqrt(4 / 3 * skewness**2 + 2 * n / (n - 1))
    return np.where(runs > 1, found, 0.0)  # a single seed shows no variance


def _centred(luck: np.ndarray) -> np.ndarray:
    """Less the mean of each column: luck that goes with variance has one, and rows are to be equally good."""
    return np.asarray(luck - luck.mean(0))


def _ranked_normal(values: np.ndarray) -> np.ndarray:
    """Standard normal quantiles in the order of each column of `values` [draws, rows]."""
    found = np.empty_like(values)
    normal = ndtri((np.arange(len(values)) + 0.5) / len(values))
    np.put_along_axis(found, np.argsort(values, axis=0), normal[:, None], axis=0)
    return found


def _typical_variances(df: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Variances that rows (those that are true in `of`) of true variance 1 may be seen to have with these degrees of
    freedom [rows]: the quantiles of chi-squared rather than draws, so that they are no luckier than they should be."""
    found = np.ones(len(df))
    count = int(of.sum())
    if count:
        places = (np.random.default_rng(SEED).permutation(count) + 0.5) / count
        values = chdtri(df[of], places) / df[of]
        found[of] = values / values.mean()
    return found


def _pairings(rows: Sequence[RowResults], noise: Noise) -> np.ndarray:
    """pairing() of all rows [rows, rows]."""
    if not noise.pairing:
        return np.zeros((len(rows), len(rows)))
    return np.array([[pairing(row, other, noise) for other in rows] for row in rows])


def _normal(part: int, draws: int, count: int) -> np.ndarray:
    """Standard normal draws [draws, count] of one part of the tables: always the same ones, so that a report that draws
    its tables again, as with other numbers of seeds, doesn't draw these again. Not to be written to."""
    return _kept_normal(part, draws, count) if count <= MANY_ROWS else _drawn_normal(part, draws, count)


def _drawn_normal(part: int, draws: int, count: int) -> np.ndarray:
    found: np.ndarray = np.random.default_rng([SEED, part]).standard_normal((draws, count))
    found.setflags(write=False)
    return found


_kept_normal = lru_cache(4)(_drawn_normal)  # of one number of rows, 10 MB a part at most


def correlated(covariance: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Draws [draws, rows] with this covariance from standard normal ones."""
    values, vectors = np.linalg.eigh(covariance)
    factor = vectors * np.sqrt(np.maximum(values, 0.0))
    found: np.ndarray = normal @ factor.T
    return found
