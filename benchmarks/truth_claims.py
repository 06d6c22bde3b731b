"""What benchmarks.truth measures beside plain tables: effects and interactions of settings, folds and splits of the
data, a reference that was named, rows that --where hides, several test sets, and rows that are called equivalent.

Each kind has its settings, and a unit that counts sweeps of one of them.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analysis.statistics.comparisons import Comparisons, Criteria, compare_rows
from analysis.statistics.effects import Effect, changes, interaction, paired_effect
from analysis.statistics.noise import Noise, estimate_noise
from analysis.statistics.results import RowResults
from benchmarks.simulated_splits import Splits, rows_of, truth
from benchmarks.simulated_sweeps import Setting, World

Counts = dict[str, Any]
Rows = Mapping[str, RowResults]
MARGINS = {350: 4.0, 2000: 2.0, 10000: 1.0}  # points that matter, by test images


@dataclass(frozen=True)
class Levels:
    """Effects of one setting at several levels of another. `pairs`, `seeds`: at each level."""

    name: str
    levels: int
    pairs: int
    seeds: int
    spreads: str = "equal"
    ordered: bool = True


def pairs_of(pairs: int, seeds: tuple[int, ...], name: str, **more: Any) -> Setting:
    """A setting for effects over so many pairs; `seeds`: in turn."""
    counts = tuple(seeds[row % len(seeds)] for row in range(2 * pairs))
    return Setting(f"{pairs} pairs x {name}", counts, 50, more.pop("n_test", 350), cousins=2, **more)


MIXED = (2,) * 8 + (1,) * 11
EFFECTS = (
    *(pairs_of(pairs, (seeds,), f"{seeds}") for pairs in (3, 6, 12) for seeds in (1, 2, 3)),
    pairs_of(6, (3, 1, 1, 2), "3, 1, 1, 2 seeds"),
    pairs_of(3, (1, 2), "1 and 2 seeds"),
    pairs_of(6, (3,), "3, lognormal spreads", spreads="lognormal"),
    pairs_of(6, (2,), "2, half at 4 times the spread", spreads="quarter"),
    pairs_of(6, (1,), "1, half at 4 times the spread", spreads="quarter"),
    pairs_of(6, (4,), "4, one in ten collapses", collapses=0.1),
    pairs_of(6, (2,), "2, 10000 images", n_test=10000),
    pairs_of(6, (1,), "1, 10000 images", n_test=10000),
    pairs_of(4, (2,), "2, 99 %", accuracy=99.0, seed_sd=0.3),
)
INTERACTIONS = (
    Levels("2 levels, 1 pair x 3", 2, 1, 3),
    Levels("4 levels, 1 pair x 2", 4, 1, 2),
    Levels("4 levels, 3 pairs x 2", 4, 3, 2),
    Levels("6 levels, 2 pairs x 3", 6, 2, 3),
    Levels("6 levels without order, 2 pairs x 3", 6, 2, 3, ordered=False),
    Levels("4 levels, 3 pairs x 1", 4, 3, 1),
    Levels("4 levels, 2 pairs x 3, lognormal spreads", 4, 2, 3, "lognormal"),
    Levels("4 levels, 2 pairs x 2, half at 4 times", 4, 2, 2, "quarter"),
)
SPLITS = (
    Splits("6 rows x 5 folds", 6, 5),
    Splits("6 rows x 5 folds, 2000 test images", 6, 5, n_test=2000),
    Splits("12 rows x 3 folds", 12, 3),
    Splits("6 rows x 10 folds", 6, 10),
    Splits("6 rows x 3 splits, one test set", 6, 3, "splits"),
    Splits("6 rows x 5 splits, one test set", 6, 5, "splits", n_pool=600),
    Splits("6 rows x 3 splits, test images drawn too", 6, 3, "drawn"),
    Splits("6 rows x 5 splits, test images drawn too", 6, 5, "drawn", 600, 150),
)
NAMED = (
    Setting("named: 5 rows x 2", (2,) * 5),
    Setting("named: 5 rows x 3, 2000 images", (3,) * 5, 2000, 2000),
    Setting("named: 19 rows x 3", (3,) * 19),
    Setting("named: 19 rows, 8 x 2 and 11 x 1", MIXED),
    Setting("named: 19 rows x 3, lognormal spreads", (3,) * 19, spreads="lognormal"),
    Setting("named: 19 rows x 5, half at 4 times the spread", (5,) * 19, spreads="quarter"),
    Setting("named: 19 rows x 5, one in ten collapses", (5,) * 19, collapses=0.1),
)
HIDDEN = (
    Setting("20 rows x 3, seen in 4 parts", (3,) * 20),
    Setting("20 rows x 3, seen in 4 parts, 2000 images", (3,) * 20, 2000, 2000),
    Setting("20 rows, 1 to 3 seeds, seen in 4 parts", (3, 2, 2, 1, 1) * 4, 2000, 2000),
)
EXTREMES = (
    Setting("20 rows x 3, the best by val and the worst on test", (3,) * 20),
    Setting("20 rows x 3, these two, 2000 images", (3,) * 20, 2000, 2000),
)
SETS = (
    Setting("2 test sets, 5 rows x 3 on each", (3,) * 10),
    Setting("2 test sets, 5 rows x 2 on each, 2000 images", (2,) * 10, 2000, 2000),
)
EQUIVALENT = (
    Setting("5 rows x 5, 2000 images", (5,) * 5, 2000, 2000, seed_sd=0.5),
    Setting("5 rows x 5, 10000 images", (5,) * 5, 10000, 10000, seed_sd=0.5),
    Setting("2 rows x 5, 10000 images", (5,) * 2, 10000, 10000, seed_sd=0.5),
    Setting("19 rows x 3, 10000 images", (3,) * 19, 10000, 10000, seed_sd=0.3),
    Setting("5 rows x 3, 350 images", (3,) * 5),
)


def simulated(setting: Setting, generator: np.random.Generator) -> tuple[World, dict[str, RowResults]]:
    """One sweep."""
    world = World(setting, generator)
    return world, {str(row): world.runs(row, count) for row, count in enumerate(setting.seeds)}


def count(found: Comparisons, truth: Mapping[str, float], counts: "Counter[str]") -> None:
    """Add the intervals of a table, of which these are the true accuracies in per cent."""
    for key, row in found.by_row.items():
        covers = row.test_low - 1e-9 <= truth[key] <= row.test_high + 1e-9
        counts.update({"rows": 1, "rows covered": covers})
        if key == found.reference:
            counts.update({"chosen": 1, "chosen covered": covers})
        elif not np.isnan(row.diff):
            true = truth[key] - truth[found.reference or key]
            between = row.diff_low - 1e-9 <= true <= row.diff_high + 1e-9
            counts.update({"differences": 1, "differences covered": between})


def marked(found: Comparisons) -> bool:
    """Whether any row is called better or worse."""
    return any(row.mark in ("worse", "better") for row in found.by_row.values())


def named_reference(setting: Setting, generator: np.random.Generator, sweeps: int) -> Counts:
    """Equal rows against the first, which was named beforehand."""
    counts: Counter[str] = Counter(sweeps=sweeps)
    for _ in range(sweeps):
        world, rows = simulated(setting, generator)
        found = compare_rows(rows, "0", 100 / setting.n_val)
        count(found, dict(zip(rows, world.truth.tolist(), strict=True)), counts)
        counts["sweeps marked"] += marked(found)
    return dict(counts)


def hidden_rows(setting: Setting, generator: np.random.Generator, sweeps: int) -> Counts:
    """Equal rows, of which a quarter is shown each time: whether any of the four tables marks one."""
    counts: Counter[str] = Counter(sweeps=sweeps)
    for _ in range(sweeps):
        world, rows = simulated(setting, generator)
        truth, keys, some = dict(zip(rows, world.truth.tolist(), strict=True)), list(rows), False
        for quarter in range(4):
            shown = {key: rows[key] for key in keys[quarter::4]}
            criteria = Criteria(hidden=len(rows) - len(shown))
            found = compare_rows(shown, val_image_points=100 / setting.n_val, criteria=criteria)
            count(found, truth, counts)
            some |= marked(found)
        counts["sweeps marked"] += some
    return dict(counts)


def extremes(setting: Setting, generator: np.random.Generator, sweeps: int) -> Counts:
    """Equal rows, of which only the best by val and the one furthest below it on test are shown."""
    counts: Counter[str] = Counter(sweeps=sweeps)
    for _ in range(sweeps):
        world, rows = simulated(setting, generator)
        truth = dict(zip(rows, world.truth.tolist(), strict=True))
        best = max(rows, key=lambda key: rows[key].mean_val_percent)
        worst = min(rows.keys() - {best}, key=lambda key: (rows[key].test_proportion, key))
        shown = {key: rows[key] for key in (best, worst)}
        found = compare_rows(shown, val_image_points=100 / setting.n_val, criteria=Criteria(hidden=len(rows) - 2))
        count(found, truth, counts)
        counts["sweeps marked"] += marked(found)
    return dict(counts)


def two_test_sets(setting: Setting, generator: np.random.Generator, sweeps: int) -> Counts:
    """Equal rows, half of them on each of two test sets, in one table: rows on other images than the reference's
    are not compared. And the effect of a setting over pairs of rows, of which half were tested on either set."""
    counts: Counter[str] = Counter(sweeps=sweeps)
    half = replace(setting, seeds=setting.seeds[: setting.rows // 2])
    for _ in range(sweeps):
        rows: dict[str, RowResults] = {}
        truth: dict[str, float] = {}
        for name in "ab":
            world, some = simulated(half, generator)
            rows |= {f"{name}{key}": replace(row, test_set_id=name) for key, row in some.items()}
            truth |= {f"{name}{key}": float(true) for key, true in zip(some, world.truth, strict=True)}
        found = compare_rows(rows, val_image_points=100 / setting.n_val)
        count(found, truth, counts)
        counts["sweeps marked"] += marked(found)
        pairs = [
            (rows[f"{name}{row}"], rows[f"{name}{row + 1}"]) for name in "ab" for row in range(0, half.rows - 1, 2)
        ]
        add_effect(paired_effect(pairs, found.noise), counts)
    return dict(counts)


def add_effect(found: Effect | None, counts: "Counter[str]", true: float = 0.0) -> None:
    """Add whether the interval of an effect covers the truth."""
    if found is not None:
        counts.update({"effects": 1, "effects covered": found.low <= true <= found.high})


def effects(setting: Setting, generator: np.random.Generator, sweeps: int) -> Counts:
    """How often the interval of an effect over pairs of neighbouring rows covers the truth, 0."""
    counts: Counter[str] = Counter(sweeps=sweeps)
    for _ in range(sweeps):
        _, rows = simulated(setting, generator)
        add_effect(paired_effect(neighbours(list(rows.values())), estimate_noise(rows, 100 / setting.n_val)), counts)
    return dict(counts)


def neighbours(rows: Sequence[RowResults]) -> list[tuple[RowResults, RowResults]]:
    """The first with the second, the third with the fourth, ..."""
    return list(zip(rows[::2], rows[1::2], strict=True))


def folds_and_splits(setting: Splits, generator: np.random.Generator, sweeps: int) -> Counts:
    """Equal rows whose replicates are folds or splits: their intervals and marks, and the effect of a setting over
    pairs of them."""
    counts: Counter[str] = Counter(sweeps=sweeps)
    true = truth(setting)
    for _ in range(sweeps):
        rows = rows_of(setting, generator)
        found = compare_rows(rows, val_image_points=100 / setting.n_val)
        count(found, dict.fromkeys(rows, true), counts)
        counts["sweeps marked"] += marked(found)
        add_effect(paired_effect(neighbours(list(rows.values())), found.noise), counts)
    return dict(counts)


def interactions(setting: Levels, generator: np.random.Generator, sweeps: int) -> Counts:
    """Effects that are the same at all levels: how often they are said to change, and how often the interval of the
    change a level covers 0."""
    counts: Counter[str] = Counter(sweeps=sweeps)
    rows_a_level = 2 * setting.pairs
    table = Setting("", (setting.seeds,) * (rows_a_level * setting.levels), cousins=2, spreads=setting.spreads)
    for _ in range(sweeps):
        _, by_key = simulated(table, generator)
        rows, noise = list(by_key.values()), estimate_noise(by_key, 100 / table.n_val)
        by_level = [_effect_at(rows[n * rows_a_level :][:rows_a_level], noise) for n in range(setting.levels)]
        found = interaction(by_level)
        counts["sweeps marked"] += changes(found, setting.levels, setting.ordered) is not None
        counts.update({"trends": 1, "trends covered": found.low <= 0 <= found.high})
    return dict(counts)


def _effect_at(rows: Sequence[RowResults], noise: Noise) -> Effect:
    found = paired_effect(neighbours(rows), noise, 1)
    assert found is not None
    return found


def equivalence(setting: Setting, generator: np.random.Generator, sweeps: int) -> Counts:
    """The best row, others that are worse by exactly what matters, and with more than two of them one that is as good:
    how many of each are called equivalent to the reference, where val has picked a best row."""
    margin = MARGINS[setting.n_test]
    setting = replace(setting, gaps=(margin,) * (setting.rows - (1 if setting.rows == 2 else 2)))
    counts: Counter[str] = Counter(sweeps=sweeps)
    for _ in range(sweeps):
        world, rows = simulated(setting, generator)
        found = compare_rows(rows, val_image_points=100 / setting.n_val, criteria=Criteria(matters=margin))
        best = world.truth[int(found.reference or 0)]
        some = False
        for key, row in found.by_row.items():
            apart = round(abs(float(best - world.truth[int(key)])), 6)
            if key != found.reference:
                kind = "at the margin" if apart == round(margin, 6) else "as good"
                counts.update({kind: 1, f"{kind} equivalent": row.mark == "equivalent"})
                some |= kind == "at the margin" and row.mark == "equivalent"
        counts["sweeps with any"] += some
    return dict(counts)


CLAIMS: dict[str, tuple[Sequence[Any], Callable[[Any, np.random.Generator, int], Counts]]] = {
    "effects": (EFFECTS, effects),
    "interactions": (INTERACTIONS, interactions),
    "splits": (SPLITS, folds_and_splits),
    "named": (NAMED, named_reference),
    "hidden": (HIDDEN, hidden_rows),
    "extremes": (EXTREMES, extremes),
    "sets": (SETS, two_test_sets),
    "equivalent": (EQUIVALENT, equivalence),
}
