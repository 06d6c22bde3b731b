"""The next look: how many more seeds of two rows would have the difference between them marked, and how likely."""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Literal

import numpy as np
from scipy.special import ndtr

from analysis.statistics.comparisons import Comparisons
from analysis.statistics.drawn_tables import SEED, simulate
from analysis.statistics.noise import POINTS2, paired_image_variance, row_spread
from analysis.statistics.planning import MOST_ROWS, MOST_SEEDS, POWER, Marked, critical_of_many_seeds, seeds_df
from analysis.statistics.results import RowResults


@dataclass(frozen=True)
class MoreSeeds:
    """As few more seeds of the reference and of another row as can be, and the probability that the other is marked at
    the next look if the true difference is as large as was asked for."""

    of_reference: int
    of_other: int
    power: float


def seeds_needed(
    rows: Mapping[str, RowResults], comparisons: Comparisons, other: str, points: float | None = None
) -> MoreSeeds | Literal["images", "seeds"]:
    """How many more seeds of the reference and of `other`, at least one and as few as can be, have a true difference of
    so many `points` (None: the one that was seen) marked at the next look with a probability of POWER or more; `seeds`
    where that takes more than MOST_SEEDS, `images` where these rather than seeds are what is missing.

    Of the next look, with this reference (`--reference`): NextLook."""
    reference, noise = comparisons.reference, comparisons.noise
    assert reference is not None and noise.test is not None
    row, second = rows[reference], rows[other]
    assert not row.overlap and not second.overlap, "folds and splits have other rules"
    difference = row.test_proportion - second.test_proportion if points is None else points / 100
    variances = [row_spread(one, noise.test).variance_points2 for one in (row, second)]
    path = _more_seeds([row.seeds, second.seeds], variances)
    power = cache(partial(NextLook(rows, comparisons, other).power, difference))
    last = len(path) - 1
    if not last:
        return "seeds"  # both have MOST_SEEDS already
    found = path[1 + bisect_left(range(1, last), POWER, key=lambda step: power(path[step]))]
    if power(found) < POWER:
        images = paired_image_variance([(row, second)], noise.seed_variance_per_image)
        critical = critical_of_many_seeds(rows, comparisons, comparisons.level_next)
        reached = abs(difference) / math.sqrt(max(images, 1e-18)) - critical
        return "images" if float(ndtr(reached)) < POWER else "seeds"
    return MoreSeeds(found[0] - row.seeds, found[1] - second.seeds, power(found))


class NextLook:
    """Whether the next look, with more seeds of the reference and of `other`, will mark `other`, if the true difference
    is so much.

    With a true difference, the luck that is in the one that was seen is known too: the part of it that old seeds and
    the images keep stays. The spreads between seeds are drawn as they may be (spread.py), and so is what the next look
    will take them for, from the seeds that there are and the new ones."""

    def __init__(self, rows: Mapping[str, RowResults], comparisons: Comparisons, other: str) -> None:
        reference, self.noise = comparisons.reference, comparisons.noise
        assert reference is not None and self.noise.test is not None
        test_set = rows[reference].test_set_id
        near = [key for key, one in rows.items() if key not in (reference, other) and one.test_set_id == test_set]
        self.rows = {key: rows[key] for key in (reference, other, *near[: MOST_ROWS - 2])}
        self.level = comparisons.level_next
        now = simulate(self.rows, self.noise, reference if comparisons.named else None, careful=False)
        self.difference = rows[reference].test_proportion - rows[other].test_proportion
        self.seen = np.array([row.seeds for row in self.rows.values()])
        self.true = now.true_seeds * self.seen  # of single runs
        self.images = float(now.images[0, 1])

    def power(self, difference: float, seeds: tuple[int, int]) -> float:
        """The probability, with so many `seeds` of the reference and of the other; `difference`: the true one, a
        proportion by which the other is worse."""
        runs = np.array([*seeds, *self.seen[2:]])
        critical = simulate(self.rows, self.noise, None, runs.tolist()).critical(self.level)
        now, then = ((self.true[:, :2] / count).sum(1) + self.images for count in (self.seen[:2], runs[:2]))
        kept = then / np.maximum(now, 1e-18)
        fresh = np.random.default_rng(SEED + 1).standard_normal(len(kept))
        strayed = kept * (self.difference - difference) + np.sqrt(then * np.maximum(1 - kept, 0.0)) * fresh
        from_seeds = self._estimates(runs).sum(1)
        pooled, (row, other) = self.noise.test, list(self.rows.values())[:2]
        assert pooled is not None
        df = min(seeds_df(pooled, count, pooled.df + int((runs - self.seen).sum())) for count in seeds)
        least = Marked(critical, self.level, df, min(row.n_test, other.n_test)).least_t(from_seeds, self.images)
        errors = np.sqrt(from_seeds + self.images)
        sign = 1 if difference >= 0 else -1
        return float((sign * (difference + strayed) / np.maximum(errors, 1e-9) > least).mean())

    def _estimates(self, runs: np.ndarray) -> np.ndarray:
        """What the variances that seeds leave in the two rows will be taken for with so many `runs` [draws, 2];
        shrunken as in spread.py, towards what the rows have in common now."""
        pooled = self.noise.test
        assert pooled is not None
        seen, added = self.seen[:2], (runs - self.seen)[:2]
        new = np.random.default_rng(SEED).chisquare(np.maximum(added, 1), (len(self.true), 2)) * (added > 0)
        new = new * self.true[:, :2]
        if math.isinf(pooled.prior_df):
            common = (pooled.variance_points2 / POINTS2 * pooled.df + new.sum(1)) / (pooled.df + added.sum())
            return np.asarray(common[:, None] / runs[:2])
        points2 = [row.seed_variance_points2 if row.seeds > 1 else 0.0 for row in list(self.rows.values())[:2]]
        prior = pooled.prior_df if pooled.prior_df > 0 else 1e-6  # a single seed has nothing else
        total = prior + seen - 1 + added
        own = (seen - 1) * np.array(points2) / POINTS2 + new
        return np.asarray((own + prior * pooled.prior_variance_points2 / POINTS2) / total / runs[:2])


def _more_seeds(seeds: Sequence[int], variances: Sequence[float]) -> list[tuple[int, int]]:
    """Numbers of seeds of two rows, one more at each step, of the row of which it helps most; to MOST_SEEDS of each."""
    now = list(seeds)
    path = [(now[0], now[1])]
    while min(now) < MOST_SEEDS:
        gains = [
            variance / count / (count + 1) if count < MOST_SEEDS else -1.0
            for variance, count in zip(variances, now, strict=True)
        ]
        now[gains.index(max(gains))] += 1
        path.append((now[0], now[1]))
    return path
