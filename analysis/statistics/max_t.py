"""How far the comparisons of a whole table reach by chance alone: the largest t of all, over drawn tables.

Every row of a table may be looked at, and the reference row is often picked from the same runs, by val accuracies that
share the luck of their seeds with the test accuracies. So the quantiles of Student's t, one comparison's, say too
little. drawn_tables.py draws the table again and again as if all its rows were equally good (the maximum over
correlated t: Hothorn, Bretz and Westfall 2008, Biometrical Journal 50; that the best of several looks better than it
is: Andrews, Kitagawa and McCloskey 2024, QJE 139); here is what its comparisons come to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtri

from analysis.statistics.inference import LEVEL

TAIL = 0.02  # of the drawn tables, from whose largest t follows what lies beyond all of them


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
        """step_down() without the rest."""
        return self.step_down(observed, reference, level)[0]

    def step_down(
        self, observed: Mapping[str, float], reference: str, level: float = 1 - LEVEL
    ) -> tuple[dict[str, float], list[int]]:
        """For each row's `observed` t: the probability that a table of equal rows holds one so large. Rows that are set
        apart (p at most `level`) leave the table, and the rest is looked at again without them, as in Holm's
        procedure. And the rest at last, with the reference: indices."""
        left = dict(observed)
        found: dict[str, float] = {}
        least = 0.0
        among = list(range(len(self.keys)))
        while left:
            among = [index for index, key in enumerate(self.keys) if key in left or key == reference]
            all_rows = len(among) == len(self.keys)
            largest = self.largest if all_rows else np.sort(np.abs(self.t(among)[0]).max(axis=1))
            above = {key: len(largest) - int(np.searchsorted(largest, abs(t), side="left")) for key, t in left.items()}
            now = {key: max(self._p(count, abs(left[key]), largest), least) for key, count in above.items()}
            apart = {key: p for key, p in now.items() if p <= level}
            if not apart:
                return found | now, among
            found |= apart
            least = max(apart.values())
            left = {key: t for key, t in left.items() if key not in apart}
        return found, among

    def strays(self, among: Sequence[int], tail: float) -> dict[str, float]:
        """How far the differences of these rows stray either way in a table of these alone, in standard errors."""
        t, picked = self.t(among)
        found = _strays_if_not_picked(t, np.searchsorted(np.asarray(among), picked), tail)
        return {self.keys[index]: away for index, away in zip(among, found.tolist(), strict=True)}

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
            away = _strays_if_not_picked(t, picked, tail)
        else:
            away = _stray(t, self._true_t(self.keys.index(self.named)), tail)
        return Reach(
            dict(zip(self.keys, away.tolist(), strict=True)),
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
    """In standard errors: how far each row's difference from the reference strays either way, the reference's own
    accuracy up, and each row's own accuracy either way, had it not been picked."""

    differences: Mapping[str, float]
    own: float
    of_rows: Mapping[str, float]


def _stray(t: np.ndarray, normal: np.ndarray, tail: float) -> np.ndarray:
    """How far each column of t strays either way [rows]; `normal`: the same draws by the true standard errors, which
    tells what of that is the luck of the draws."""
    reached, drawn = (np.quantile(np.abs(one), 1 - 2 * tail, axis=0) for one in (t, normal))
    return np.asarray(float(ndtri(1 - tail)) * reached / np.maximum(drawn, 1e-9))


def _strays_if_not_picked(t: np.ndarray, picked: np.ndarray, tail: float) -> np.ndarray:
    """The quantile of each column of |t| [rows], in the draws in which its row is not the reference: mostly such rows
    stray down, and with a quantile for each side a row could be marked whose interval holds 0."""
    ordered = np.sort(np.where(picked[:, None] == np.arange(t.shape[1]), np.inf, np.abs(t)), axis=0)
    last = np.isfinite(ordered).sum(0) - 1
    bound = np.ceil((1 - 2 * tail) * last).astype(int)
    return np.where(last >= 0, ordered[bound, np.arange(t.shape[1])], 0.0)


def _tail(largest: np.ndarray) -> tuple[float, float]:
    """Where the tail of the values begins that TAIL of the draws exceed, and its exponent (Hill 1975, Annals of
    Statistics 3): the share beyond t falls as t ** -exponent, more slowly than that of Student's t does."""
    count = max(int(TAIL * len(largest)), 2)
    start = float(largest[-count - 1])
    return start, 1 / max(float(np.mean(np.log(largest[-count:] / start))), 1e-6)
