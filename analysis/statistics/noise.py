"""Where the accuracies of a table get their noise from: other seeds, and other test images.

Var(row) = S^2 / seeds + images, with S the spread between seeds on the same images (spread.py). In a difference of two
rows, what the images have in common cancels, and what is left is measured on the predictions. Variances are of
proportions (0.01 squared is a point squared), but where a name ends in points2.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.statistics.results import MeasuredResults, RowResults
from analysis.statistics.spread import PooledSpread, Spread, pool, shrunken_spread

POINTS2 = 1e4  # points squared in 1
Pair = tuple[RowResults, RowResults]


@dataclass(frozen=True)
class Noise:
    """Of a whole table. `test`, `val`: the pooled spread between replicates, None where there are none.
    `seed_variance_per_image`: variance of an image's outcome between seeds; nan where no predictions tell it.
    `pairing`: correlation of rows on the same fold or split of the data; 0 for seeds. `rows_paired`: of how many."""

    test: PooledSpread | None
    val: PooledSpread | None
    seed_variance_per_image: float
    pairing: float = 0.0
    rows_paired: int = 0


def estimate_noise(rows: Mapping[str, RowResults], val_image_points: float = 0.0) -> Noise:
    """The noise of a table of rows. `val_image_points`: one val image, in points."""
    test_image_points = 100 / max((row.n_test for row in rows.values()), default=100)
    return Noise(
        pool({key: row.test_percent for key, row in rows.items()}, test_image_points),
        pool({key: row.val_percent for key, row in rows.items()}, val_image_points),
        _pooled_seed_variance_per_image(rows),
        *_pairing(list(rows.values())),
    )


def row_spread(row: RowResults, pooled: PooledSpread) -> Spread:
    """The shrunken spread between the seeds of a row."""
    return shrunken_spread(row.seed_variance_points2, row.seeds, pooled, 100 / row.n_test)


def smoothed_proportion(row: RowResults) -> float:
    """A row's test accuracy after two right and two wrong images were added (Agresti and Coull 1998)."""
    return (row.test_proportion * row.n_test + 2) / (row.n_test + 4)


def binomial_variance(row: RowResults) -> float:
    """p(1-p) of a row, smoothed, so that a perfect row has some too. By another metric than accuracy, the variance of
    its values, for one between 0 and 1 no less than that."""
    p = smoothed_proportion(row)
    if isinstance(row, MeasuredResults):
        return max(row.variance_per_image, p * (1 - p) if row.bounded else 1e-12)
    return p * (1 - p)


def row_variance(row: RowResults, noise: Noise) -> tuple[float, float]:
    """Variance of a configuration's mean test accuracy, and its degrees of freedom."""
    assert noise.test is not None
    spread = row_spread(row, noise.test)
    from_seeds = spread.variance_points2 / POINTS2 / row.effective_seeds
    from_images = _row_image_variance(row, noise.seed_variance_per_image)
    return from_seeds + from_images, _satterthwaite_df(from_seeds, spread.df, from_images, row.n_test)


def difference_variance(row: RowResults, other: RowResults, noise: Noise) -> tuple[float, float]:
    """Variance of the difference of two configurations, and its degrees of freedom."""
    assert noise.test is not None
    spreads = [row_spread(one, noise.test) for one in (row, other)]
    first, second = (
        s.variance_points2 / POINTS2 / one.effective_seeds for s, one in zip(spreads, (row, other), strict=True)
    )
    shared = pairing(row, other, noise)
    from_seeds = first + second - 2 * shared * math.sqrt(first * second)
    from_images = paired_image_variance([(row, other)], noise.seed_variance_per_image)
    known = noise.test.df * (1 - 1 / noise.rows_paired) if shared else math.inf
    seeds_df = min(known, *(s.df for s in spreads))
    df = _satterthwaite_df(from_seeds, seeds_df, from_images, min(row.n_test, other.n_test))
    return from_seeds + from_images, df


def pairing(row: RowResults, other: RowResults, noise: Noise) -> float:
    """Correlation of what seeds leave in two rows: none unless they are on the same folds or splits."""
    return noise.pairing if row.parts and row.parts == other.parts else 0.0


def paired_image_variance(pairs: Sequence[Pair], seed_variance_per_image: float) -> float:
    """What the choice of test images adds to the variance of the mean difference over pairs of rows, beyond what shows
    between seeds. Without predictions the images count as if they were drawn anew for each row, which is too careful.
    """
    rows, count = [row for pair in pairs for row in pair], len(pairs)
    n = min(row.n_test for row in rows)
    if all(row.own_images for row in rows):
        return 0.0
    if any(row.correct is None for row in rows) or math.isnan(seed_variance_per_image):
        return sum(binomial_variance(row) / row.n_test for row in rows) / count**2
    difference = sum(first.proportion_correct - second.proportion_correct for first, second in pairs) / count
    between_seeds = sum(_seed_variance_per_image(row, seed_variance_per_image) / row.seeds for row in rows) / count**2
    return max(float(np.var(difference, ddof=1)) - between_seeds, 0.0) / n


@dataclass(frozen=True)
class ImageCovariance:
    """What the choice of test images does to the accuracies of R rows. `raw`: covariance of the row's means over the
    images [R, R], with the chance between seeds on its diagonal; `chance`: that part of it [R]; `of_rows`: the variance
    of each row, without it [R]; `of_differences`: of each difference of two rows, without it [R, R]."""

    raw: np.ndarray
    chance: np.ndarray
    of_rows: np.ndarray
    of_differences: np.ndarray

    def with_chance(self, chance: np.ndarray) -> "ImageCovariance":
        """The same of rows with other numbers of seeds, which leave this chance [R]."""
        return replace(self, raw=self.raw + np.diag(chance - self.chance), chance=chance)


def image_covariance(rows: Sequence[RowResults], noise: Noise) -> ImageCovariance:
    """Of rows on the same test images. Rows without predictions count as if images were drawn anew for each."""
    n = min(row.n_test for row in rows)
    per_image = noise.seed_variance_per_image
    of_rows = np.array([_row_image_variance(row, per_image) for row in rows])
    if all(row.own_images for row in rows):
        nothing = np.zeros((len(rows), len(rows)))
        return ImageCovariance(nothing, np.zeros(len(rows)), of_rows, nothing)
    if any(row.correct is None for row in rows) or math.isnan(per_image):
        raw = np.diag([binomial_variance(row) / row.n_test for row in rows])
        return ImageCovariance(raw, np.zeros(len(rows)), of_rows, np.add.outer(np.diag(raw), np.diag(raw)))
    means = np.stack([row.proportion_correct for row in rows])
    raw = np.atleast_2d(np.cov(means, dtype=np.float64)) / n
    chance = np.array([_seed_variance_per_image(row, per_image) / row.seeds for row in rows]) / n
    without = np.diag(raw) - chance
    of_differences = np.maximum(np.add.outer(without, without) - 2 * raw, 0.0)
    return ImageCovariance(raw, chance, of_rows, of_differences)


def val_images(rows: Sequence[RowResults], noise: Noise, test: ImageCovariance) -> np.ndarray:
    """What the choice of val images does to val accuracies, as far as it isn't chance between seeds [R, R]: as the test
    images do, but for their number and for how many are hard."""
    if any(row.n_val <= 0 for row in rows):
        return np.zeros_like(test.raw)
    p = np.array([min(max(row.mean_val_percent / 100, 0.5 / row.n_val), 1 - 0.5 / row.n_val) for row in rows])
    ratio = np.sqrt(p * (1 - p) / np.array([binomial_variance(row) for row in rows]))
    if any(isinstance(row, MeasuredResults) for row in rows):
        ratio = np.ones(len(rows))
    n = np.array([row.n_test / row.n_val for row in rows])
    scale = np.minimum(ratio, 1.0) * np.sqrt(n)
    found: np.ndarray = (test.raw - np.diag(test.chance)) * np.outer(scale, scale)
    return found


def val_spread(row: RowResults, noise: Noise) -> float:
    """Variance between single runs of a row on val (a proportion squared)."""
    if noise.val is None:
        return 0.0
    return shrunken_spread(row.val_variance_points2, row.seeds, noise.val, 0.0).variance_points2 / POINTS2


def shared_luck(rows: Sequence[RowResults], careful: bool = True) -> float:
    """Correlation of a run's luck on val with its luck on test, from the replicates of all rows: where `careful` the
    upper end of its one-sided 95 % interval (Fisher's z), since too low a value would hide that the best by val is
    lucky on test too. 1 where little is known, never below 0."""
    val = np.concatenate([row.val_percent - row.val_percent.mean() for row in rows])
    test = np.concatenate([row.test_percent - row.test_percent.mean() for row in rows])
    df = sum(row.seeds - 1 for row in rows)
    scale = float(np.sqrt((val**2).sum() * (test**2).sum()))
    if df < 4 or scale == 0:
        return 1.0
    r = min(max(float((val * test).sum()) / scale, -0.999), 0.999)
    return max(math.tanh(math.atanh(r) + careful * 1.645 / math.sqrt(df - 2)), 0.0)


def sampling_sd_points(rows: Sequence[RowResults]) -> float:
    """Standard deviation, in points, that drawing the test images leaves in the accuracy of an average row; smoothed,
    so that perfect rows have some too."""
    p = float(np.mean([smoothed_proportion(row) for row in rows]))
    return 100 * math.sqrt(p * (1 - p) / max(row.n_test for row in rows))


def _pairing(rows: Sequence[RowResults]) -> tuple[float, int]:
    """Correlation of rows on the same fold or split, and how many rows tell it: from the mean squares of parts and of
    what is left, over the rows that have the parts that most rows have (intraclass correlation; Shrout and Fleiss 1979,
    Psychological Bulletin 86). None below 0, and at most 0.99, since few parts tell it."""
    parts = Counter(row.parts for row in rows if len(row.parts) > 1)
    if not parts or (most := parts.most_common(1)[0])[1] < 2:
        return 0.0, 0
    percent = np.stack([row.test_percent for row in rows if row.parts == most[0]])
    count, k = percent.shape
    centred = percent - percent.mean(1, keepdims=True)
    of_parts = float((centred.mean(0) ** 2).sum()) * count / (k - 1)
    left = float(((centred - centred.mean(0)) ** 2).sum()) / ((count - 1) * (k - 1))
    if of_parts + left == 0:
        return 0.0, count
    return min(max((of_parts - left) / (of_parts + (count - 1) * left), 0.0), 0.99), count


def _pooled_seed_variance_per_image(rows: Mapping[str, RowResults]) -> float:
    """Variance of one image's outcome between the seeds of a row, averaged over images and replicated rows."""
    known = [row for row in rows.values() if row.correct is not None and row.seeds > 1]
    if not known:
        return math.nan
    df = np.array([row.seeds - 1 for row in known])
    return float((np.array([row.seed_variance_per_image for row in known]) * df).sum() / df.sum())


def _seed_variance_per_image(row: RowResults, borrowed: float) -> float:
    """The row's own where its predictions tell it, else the one of the table."""
    return borrowed if row.correct is None or row.seeds == 1 else row.seed_variance_per_image


def _row_image_variance(row: RowResults, seed_variance_per_image: float) -> float:
    """What the choice of test images adds to the variance of a row's accuracy, beyond what shows between its seeds."""
    if row.own_images:
        return 0.0
    if row.correct is None or math.isnan(seed_variance_per_image):
        return binomial_variance(row) / row.n_test
    if row.seeds == 1:
        return max(binomial_variance(row) - seed_variance_per_image, 0.0) / row.n_test
    return max(binomial_variance(row) - row.seed_variance_per_image, 0.0) / row.n_test


def satterthwaite(total: float, parts: Sequence[tuple[float, float]]) -> float:
    """Degrees of freedom of a variance `total` made of variances with degrees of freedom (Satterthwaite 1946)."""
    return total**2 / sum(variance**2 / df for variance, df in parts)


def _satterthwaite_df(from_seeds: float, seeds_df: float, from_images: float, n: int) -> float:
    return satterthwaite(from_seeds + from_images, [(from_seeds, seeds_df), (from_images, n - 1)])
