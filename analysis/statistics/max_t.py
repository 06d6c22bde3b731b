"""How far the comparisons of a whole table reach by chance alone: the largest t of all, simulated.

Every row of a table may be looked at, and the reference row is often picked from the same runs, by val accuracies that
share the luck of their seeds with the test accuracies. So the quantiles of Student's t, one comparison's, say too
little. Here the table is drawn again and again as if all its rows were equally good: with the covariance that its test
images give them, with the spread of its seeds, known as badly as it is, and with a reference that is picked as the
table's was (the maximum over correlated t: Hothorn, Bretz and Westfall 2008, Biometrical Journal 50; that the best of
several looks better than it is: Andrews, Kitagawa and McCloskey 2024, QJE 139). Rows that all are equal are the worst
case of the pick: where some are plainly worse, it chooses among fewer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from scipy.special import chdtri, ndtri

from analysis.statistics.inference import LEVEL
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
from analysis.statistics.results import RowResults
from analysis.statistics.spread import draw_variances

DRAWS, DRAWS_OF_MANY, MANY_ROWS = 4000, 1000, 300
TAIL = 0.02  # of the drawn tables, from whose largest t follows what lies beyond all of them
SEED = 20240501  # the same table has the same report
LUCK, TEST_IMAGES, VAL_LUCK, VAL_IMAGES = range(4)  # of a drawn table, each with a stream of its own


@dataclass(frozen=True)
class Simulated:
    """Tables of equal rows, drawn once [draws, rows]: the rows' accuracies on test and val (0: the true one), and the
    standard errors that their differences [draws, rows, rows] would be given: sqrt(seeds_i + seeds_j + images_ij), less
    what folds that both rows share have in common."""

    keys: tuple[str, ...]
    test: np.ndarray
    val: np.ndarray
    seeds: np.ndarray  # [rows]
    images: np.ndarray  # [rows, rows]
    images_of_rows: np.ndarray  # [rows]
    named: str | None  # the reference, if it was named beforehand
    accuracy: np.ndarray  # [rows], a proportion
    n_test: int
    true_seeds: np.ndarray  # [draws, rows], what `seeds` truly are
    pairing: np.ndarray  # [rows, rows], correlation of the seeds' part: of rows on the same folds or splits, else 0

    def picked(self, among: Sequence[int]) -> np.ndarray:
        """The reference of each table, if only these rows are as good as the best: an index into all rows [draws]."""
        if self.named is not None:
            return np.full(len(self.test), self.keys.index(self.named))
        columns = np.asarray(among)
        found: np.ndarray = columns[np.argmax(self.val[:, columns], axis=1)]
        return found

    @cached_property
    def t_of_all(self) -> tuple[np.ndarray, np.ndarray]:
        """t() of all rows."""
        return self.t(range(len(self.keys)))

    @cached_property
    def largest(self) -> np.ndarray:
        """The largest |t| of all rows, in order [draws]."""
        found: np.ndarray = np.sort(np.abs(self.t_of_all[0]).max(axis=1))
        return found

    def t(self, among: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """(row - reference) / standard error for these rows [draws, among], 0 for the reference; and the references."""
        picked, columns, draws = self.picked(among), np.asarray(among), np.arange(len(self.test))
        difference = self.test[:, columns] - self.test[draws, picked][:, None]
        variance = self._from_seeds(self.seeds, picked)[:, columns] + self.images[picked][:, columns]
        t = difference / np.sqrt(np.maximum(variance, 1e-18))
        t[columns == picked[:, None]] = 0.0
        return t, picked

    def _from_seeds(self, of_rows: np.ndarray, picked: np.ndarray) -> np.ndarray:
        """What seeds leave in differences of rows from the references [draws, rows]; `of_rows`: in the rows [rows]."""
        base = self.seeds[picked][:, None]
        found: np.ndarray = of_rows + base - 2 * self.pairing[picked] * np.sqrt(of_rows * base)
        return found

    def p_values(self, observed: Mapping[str, float], reference: str, level: float = 1 - LEVEL) -> dict[str, float]:
        """For each row's `observed` t: the probability that a table of equal rows holds one so large. Rows that are set
        apart (p at most `level`) leave the table, and the rest is looked at again without them, as in Holm's
        procedure."""
        left = dict(observed)
        found: dict[str, float] = {}
        least = 0.0
        while left:
            among = [index for index, key in enumerate(self.keys) if key in left or key == reference]
            all_rows = len(among) == len(self.keys)
            largest = self.largest if all_rows else np.sort(np.abs(self.t(among)[0]).max(axis=1))
            above = {key: len(largest) - int(np.searchsorted(largest, abs(t), side="left")) for key, t in left.items()}
            now = {key: max(self._p(count, abs(left[key]), largest), least) for key, count in above.items()}
            apart = {key: p for key, p in now.items() if p <= level}
            if not apart:
                return found | now
            found |= apart
            least = max(apart.values())
            left = {key: t for key, t in left.items() if key not in apart}
        return found

    @staticmethod
    def _p(count: int, t: float, largest: np.ndarray) -> float:
        """The probability of a `t` that `count` of the `largest` of drawn tables (in order) exceed; beyond all of them
        by their tail."""
        p = (count + 1) / (len(largest) + 1)
        if count:
            return p
        start, decay = _tail(largest)
        return min(p, float(TAIL * (t / start) ** -decay))

    def critical(self, level: float = 1 - LEVEL) -> float:
        """The |t| from which on a row is marked while none is set apart yet."""
        if level * len(self.largest) >= 1:
            return float(np.quantile(self.largest, 1 - level))
        start, decay = _tail(self.largest)
        return max(float(start * (TAIL / level) ** (1 / decay)), float(self.largest[-1]))

    def reach(self, tail: float) -> "Reach":
        """How far single comparisons and the rows' own accuracies stray."""
        t, picked = self.t_of_all
        draws = np.arange(len(t))
        of_rows = self.test / np.sqrt(np.maximum(self.seeds + self.images_of_rows, 1e-18))
        true = self.test / np.sqrt(np.maximum(self.true_seeds + self.images_of_rows, 1e-18))
        if self.named is None:
            low, high = _quantiles(t, picked, tail)
        else:
            high = _stray(t, self._true_t(self.keys.index(self.named)), tail)
            low = -high
        return Reach(
            dict(zip(self.keys, (-low).tolist(), strict=True)),
            dict(zip(self.keys, high.tolist(), strict=True)),
            float(np.quantile(of_rows[draws, picked], 1 - tail)),
            dict(zip(self.keys, _stray(of_rows, true, tail).tolist(), strict=True)),
        )

    def _true_t(self, reference: int) -> np.ndarray:
        """t() against one reference if the spreads were known [draws, rows]; standard normal."""
        base = self.true_seeds[:, [reference]]
        shared = 2 * self.pairing[reference] * np.sqrt(self.true_seeds * base)
        variance = self.true_seeds + base - shared + self.images[reference]
        found: np.ndarray = (self.test - self.test[:, [reference]]) / np.sqrt(np.maximum(variance, 1e-18))
        return found


@dataclass(frozen=True)
class Reach:
    """In standard errors: how far each row's difference from the reference strays down and up, the reference's own
    accuracy up, and each row's own accuracy either way, had it not been picked."""

    down: Mapping[str, float]
    up: Mapping[str, float]
    own: float
    of_rows: Mapping[str, float]


def _stray(t: np.ndarray, normal: np.ndarray, tail: float) -> np.ndarray:
    """How far each column of t strays either way [rows]; `normal`: the same draws by the true standard errors, which
    tells what of that is the luck of the draws."""
    reached, drawn = (np.quantile(np.abs(one), 1 - 2 * tail, axis=0) for one in (t, normal))
    return np.asarray(float(ndtri(1 - tail)) * reached / np.maximum(drawn, 1e-9))


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
    variances = np.array([row.seed_variance_points2 for row in found])
    known = seen - 1
    if with_seeds is not None:  # what the spreads will be known by then
        known = np.maximum(known, runs - 1)
        df = np.array([max(spread.df, 1.0) for spread in spreads])
        median = np.array([spread.variance_points2 for spread in spreads]) * df / chdtri(df, 0.5)  # of what it may be
        typical = _typical_variances(np.maximum(known, 1), seen == 1) * median
        variances = np.where(seen > 1, variances, typical)
    points = 100 / min(row.n_test for row in found)
    true = draw_variances(variances, known, points, draws, generator) / POINTS2 / seeds
    besides = np.maximum(true - images.chance, 0.0)  # the images' covariance has that part already
    test = correlated(images.raw, _normal(TEST_IMAGES, draws, count)) + np.sqrt(besides) * luck
    val = np.zeros((draws, count))
    if named is None:
        share = np.minimum(1.0, shared_luck(found, careful) * np.sqrt(true / np.maximum(besides, 1e-12)))
        own = share * luck + np.sqrt(1 - share**2) * _normal(VAL_LUCK, draws, count)
        val_seeds = np.array([val_spread(row, noise) for row in found]) / seeds * true / from_seeds
        val = np.sqrt(val_seeds) * own
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


def _quantiles(t: np.ndarray, picked: np.ndarray, tail: float) -> tuple[np.ndarray, np.ndarray]:
    """The lower and upper quantile of each column of t, in the draws in which its row is not the reference."""
    ordered = np.sort(np.where(picked[:, None] == np.arange(t.shape[1]), np.inf, t), axis=0)
    last = np.isfinite(ordered).sum(0) - 1
    columns = np.arange(t.shape[1])
    bounds = [np.maximum(np.floor(tail * last), 0), np.ceil((1 - tail) * last)]
    low, high = (np.where(last >= 0, ordered[bound.astype(int), columns], 0.0) for bound in bounds)
    return low, high


def _tail(largest: np.ndarray) -> tuple[float, float]:
    """Where the tail of the values begins that TAIL of the draws exceed, and its exponent (Hill 1975, Annals of
    Statistics 3): the share beyond t falls as t ** -exponent, more slowly than that of Student's t does."""
    count = max(int(TAIL * len(largest)), 2)
    start = float(largest[-count - 1])
    return start, 1 / max(float(np.mean(np.log(largest[-count:] / start))), 1e-6)


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
