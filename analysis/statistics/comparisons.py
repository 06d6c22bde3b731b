"""What may be claimed of each row of the table, and of its difference from the reference row.

Where some configuration was run with several seeds, claims are about *configurations*: seeds and test images are both
draws (noise.py). Where nothing was repeated, claims are about the *trained models* at hand, and only the images are
draws. Accuracies in per cent, differences in points.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from analysis.statistics import inference
from analysis.statistics.differences import Difference, difference, test_interval
from analysis.statistics.drawn_tables import simulate
from analysis.statistics.inference import Interval
from analysis.statistics.max_t import Simulated
from analysis.statistics.noise import Noise, estimate_noise, row_spread
from analysis.statistics.results import RowResults

Claim = Literal["configuration", "model"]
Mark = Literal["reference", "not separated", "equivalent", "worse", "better", ""]
LOOKS_POWER = 1.5  # the k-th look at growing runs is judged at a level of 5 % / k ** LOOKS_POWER
UNMARKED = 0.0501  # least p of a row whose interval holds 0, which drawn tables may put a draw or two below 5 %
LEAST_IMAGES = 30  # test images, below which nothing is judged


@dataclass(frozen=True)
class Criteria:
    """What the reader asks for. `looks`: how often the rows were looked at while runs were added, this time included:
    marks are judged at `look_level`, and p values grow accordingly. `matters`: points, less than which matter to
    nobody; None: not said. `hidden`: rows that are not among those compared, but were there to choose these from: they
    count as that many more differences from the reference."""

    looks: int = 1
    matters: float | None = None
    hidden: int = 0


ONE_LOOK = Criteria()


@dataclass(frozen=True)
class Comparison:
    """Of one row: the interval of its test accuracy in per cent; its difference from the reference in points with its
    interval (nan for the reference and for rows on other images), the p value corrected over all rows, and the mark."""

    test_low: float
    test_high: float
    spread: str = ""  # own, borrowed, or "" in a claim about a trained model
    diff: float = math.nan
    diff_low: float = math.nan
    diff_high: float = math.nan
    p: float = math.nan
    mark: Mark = ""


@dataclass(frozen=True)
class Comparisons:
    """Of the whole table: each row's comparison with the reference row, by key, and the noise behind them."""

    reference: str | None
    by_row: Mapping[str, Comparison]
    noise: Noise
    named: bool = False  # the reference was named beforehand, not picked by val
    critical: float = inference.t_quantile(math.inf)  # the |t| from which on a row is marked
    critical_next: float = inference.t_quantile(math.inf)  # the same at the next look, with more runs
    criteria: Criteria = ONE_LOOK
    passed_over: str | None = None  # the best by val, but with too many runs that diverged
    level: float = 1 - inference.LEVEL  # at which marks are judged: less after several looks or with hidden rows
    level_next: float = 1 - inference.LEVEL  # the same at the next look
    simulated: Simulated | None = None  # tables of the rows that were compared; None in claims about models
    given: bool = False  # the reference was given: at a later look it isn't `named`, but was not picked by val there

    @property
    def claim(self) -> Claim:
        """What the comparisons are about."""
        return "configuration" if self.noise.test else "model"


def compare_rows(
    rows: Mapping[str, RowResults],
    reference: str | None = None,
    val_image_points: float = 0.0,
    named: bool | None = None,
    pick: bool = True,
    criteria: Criteria = ONE_LOOK,
) -> Comparisons:
    """Compare rows by key. The reference, where none is given, is `best_by_val`. `val_image_points`: one val image, in
    points. `named`: whether the reference was named before anybody saw the results (None: where one is given at the
    first look; at a later one it may have been picked by what was seen before); where it was picked by val, intervals
    and marks allow for that. `pick`: False where val accuracies choose no reference, since they are of different
    images."""
    noise = estimate_noise(rows, val_image_points)
    named = reference is not None and criteria.looks == 1 if named is None else named
    passed, given = None, reference is not None
    if reference is None and pick:
        reference, first = best_by_val(rows), _highest_val(rows, list(rows))
        passed = first if first != reference else None
    by_row = {key: _own(row, noise) for key, row in rows.items()}
    differences: dict[str, Difference] = {}
    if reference is not None:
        others = {key: row for key, row in rows.items() if key != reference and _comparable(row, rows[reference])}
        differences = {key: difference(row, rows[reference], noise) for key, row in others.items()}
    shown = max(len(differences), 1)
    level, level_next = (
        look_level(look) * shown / (shown + criteria.hidden) for look in (criteria.looks, criteria.looks + 1)
    )
    if noise.test is None or reference is None or not differences:
        judged = _as_models(differences, (level, level_next))
    else:
        alike = {key: rows[key] for key in (reference, *differences)}
        judged = _as_configurations(alike, noise, reference, named, differences, (level, level_next))
    for key, (low, high) in judged.intervals.items():
        by_row[key] = replace(by_row[key], test_low=low, test_high=high)
    for key, found in judged.differences.items():
        by_row[key] = _marked(by_row[key], found, judged.p_values[key], criteria.matters)
    if reference is not None:
        by_row[reference] = replace(by_row[reference], mark="reference")
    return Comparisons(
        reference,
        by_row,
        noise,
        named,
        *judged.criticals,
        criteria,
        passed,
        level,
        level_next,
        judged.drawn,
        given,
    )


def _own(row: RowResults, noise: Noise) -> Comparison:
    """Of one row, what is known without any other."""
    low, high = test_interval(row, noise)
    return Comparison(low, high, row_spread(row, noise.test).source if noise.test else "")


class _Judged(NamedTuple):
    """The differences of rows from the reference with their p values, corrected over the rows and for the level at
    which they are judged; the intervals of the rows' own accuracies, where these change; the |t| from which on a row is
    marked now and at the next look; and the tables that tell it."""

    differences: Mapping[str, Difference]
    p_values: Mapping[str, float]
    intervals: Mapping[str, Interval]
    criticals: tuple[float, float]
    drawn: Simulated | None


def _as_models(differences: Mapping[str, Difference], levels: tuple[float, float]) -> _Judged:
    """Claims about trained models."""
    shown, usual = max(len(differences), 1), 1 - inference.LEVEL
    holm = inference.holm([one.p for one in differences.values()])
    p_values = {key: min(1.0, p * usual / levels[0]) for key, p in zip(differences, holm, strict=True)}
    now, then = (inference.t_quantile(math.inf, shown * usual / level) for level in levels)
    return _Judged(differences, p_values, {}, (now, then), None)


def _as_configurations(
    rows: Mapping[str, RowResults],
    noise: Noise,
    reference: str,
    named: bool,
    differences: Mapping[str, Difference],
    levels: tuple[float, float],
) -> _Judged:
    """Claims about configurations. `rows`: the reference, and those that differ from it by `differences`. No p is less
    than one comparison's: where few replicates tell the spreads, its t strays further than the largest of the drawn
    tables."""
    drawn = simulate(rows, noise, reference if named else None)
    together, rest = drawn.step_down({key: found.t for key, found in differences.items()}, reference, levels[0])
    looks = (1 - inference.LEVEL) / levels[0]
    p_values = {key: min(1.0, max(together[key], found.p) * looks) for key, found in differences.items()}
    widened, intervals = _as_wide(rows, noise, drawn, reference, differences, rest)
    return _Judged(widened, p_values, intervals, (drawn.critical(levels[0]), drawn.critical(levels[1])), drawn)


def _as_wide(
    rows: Mapping[str, RowResults],
    noise: Noise,
    drawn: Simulated,
    reference: str,
    differences: Mapping[str, Difference],
    rest: Sequence[int],
) -> tuple[dict[str, Difference], dict[str, Interval]]:
    """The differences from the reference, and the intervals of the rows' own accuracies, as wide as drawn tables have
    them stray. `rest`: rows that are not set apart (indices); among more the reference would be picked from more."""
    picked, tail = drawn.named is None, (1 - inference.LEVEL) / 2
    reach = drawn.reach(tail)
    widened = dict(differences)
    if picked or not noise.pairing:  # of rows on the same folds the plain t knows how badly that is known
        away = dict(reach.differences)
        if picked and len(rest) < len(drawn.keys):
            away |= drawn.strays(rest, tail)
        widened = {key: _widened(found, away[key]) for key, found in differences.items()}
    intervals = {key: test_interval(rows[key], noise, straying) for key, straying in reach.of_rows.items()}
    if picked:
        low, _ = test_interval(rows[reference], noise, max(reach.own, reach.of_rows[reference]))
        intervals[reference] = low, intervals[reference][1]
    return widened, intervals


def best_by_val(rows: Mapping[str, RowResults]) -> str | None:
    """The row with the best mean val accuracy, on a tie the one with more seeds, then the first. A row in which as many
    seeds diverged as came to an end is not the best as long as there are others."""
    return _highest_val(rows, [key for key, row in rows.items() if row.diverged < row.seeds] or list(rows))


def _highest_val(rows: Mapping[str, RowResults], among: Sequence[str]) -> str | None:
    return max(among, key=lambda key: (rows[key].mean_val_percent, rows[key].seeds), default=None)


def look_level(look: int) -> float:
    """The level at which the `look`-th look at rows is judged to which runs are added from look to look. What looks
    before have marked falsely is counted in, and that looks at much the same runs agree (benchmarks/truth.py)."""
    return float((1 - inference.LEVEL) / look**LOOKS_POWER)


def _comparable(row: RowResults, reference: RowResults) -> bool:
    """Whether two rows were tested on the same images, and on enough of them."""
    return row.test_set_id == reference.test_set_id and min(row.n_test, reference.n_test) >= LEAST_IMAGES


def _marked(row: Comparison, found: Difference, p: float, matters: float | None) -> Comparison:
    """A row with its difference from the reference; `p`: corrected over all rows. Equivalent: the interval lies within
    the points that matter (two one-sided tests; Schuirmann 1987, J. Pharmacokinetics and Biopharmaceutics 15)."""
    if found.low <= 0 <= found.high:
        p = max(p, UNMARKED)
    mark: Mark = "not separated" if p > 1 - inference.LEVEL else "worse" if found.points < 0 else "better"
    if matters is not None and -matters < found.low and found.high < matters:
        mark = "equivalent"
    return replace(row, diff=found.points, diff_low=found.low, diff_high=found.high, p=p, mark=mark)


def _widened(found: Difference, straying: float) -> Difference:
    """A difference with an interval that covers although the reference was picked by val, or although the spreads
    between seeds are known badly. `straying`: how many standard errors such differences stray."""
    half = straying * found.error
    return replace(found, low=min(found.low, found.points - half), high=max(found.high, found.points + half))
