"""What benchmarks.truth measures, in pieces that are done one by one: so many sweeps of one setting, counted.

Each piece has a seed of its own, so that it comes out the same whatever was done before it and beside it.
"""

import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from analysis.statistics import inference
from analysis.statistics.best import chances, still_best
from analysis.statistics.comparisons import Comparisons, Criteria, compare_rows
from analysis.statistics.differences import difference
from analysis.statistics.next_look import seeds_needed
from analysis.statistics.noise import estimate_noise
from analysis.statistics.planning import detectable_by_simulation
from analysis.statistics.results import RowResults
from analysis.statistics.selection import selection_bias_points
from analysis.statistics.spread import pool, rms_interval_points
from benchmarks.simulated_sweeps import Setting, World, more
from benchmarks.truth_claims import CLAIMS

GAPS = (2.0, 4.0, 8.0)
PILOT = 60  # reports that say what is printed in a setting
MOST_MORE = 200  # seeds that advice is followed to: to fewer, only reports with low spreads would count
Counts = dict[str, Any]


def measure(kind: str, setting: Any, chunk: int, sweeps: int) -> Counts:
    """One piece: counts by name, and lists of numbers."""
    warnings.simplefilter("ignore", RuntimeWarning)
    generator = np.random.default_rng([zlib.crc32(f"{kind} {setting.name}".encode()), chunk])
    return KINDS[kind](setting, generator, sweeps)


def simulate(setting: Setting, generator: np.random.Generator) -> tuple[World, dict[str, RowResults], Comparisons]:
    """One sweep, compared."""
    world = World(setting, generator)
    rows = {str(row): world.runs(row, count) for row, count in enumerate(setting.seeds)}
    if setting.advised:
        for key in sorted(rows, key=lambda key: -rows[key].mean_val_percent)[:2]:
            rows[key] = more(rows[key], world.runs(int(key), 1))
    return world, rows, compared(rows, setting)


def compared(rows: Mapping[str, RowResults], setting: Setting, looks: int = 1) -> Comparisons:
    """As the report compares them."""
    return compare_rows(rows, val_image_points=100 / setting.n_val, criteria=Criteria(looks))


def equal_rows(setting: Setting, generator: np.random.Generator, sweeps: int) -> Counts:
    """All rows equally good: intervals that cover, sweeps in which a row is marked, and the lowest p of each sweep by
    a t for each comparison."""
    counts: Counter[str] = Counter()
    least_plain = []
    for _ in range(sweeps):
        world, rows, found = simulate(setting, generator)
        count(world.truth, found, counts)
        least_plain.append(round(min(plain(rows, found).values(), default=1.0), 6))
    return dict(counts) | {"least plain": least_plain}


def looked_at_again(setting: Setting, generator: np.random.Generator, sweeps: int) -> Counts:
    """All rows equally good, and one more seed of each after each look: sweeps in which any look marks a row, once as
    the report does it when it is told how many looks there were, and once when it isn't.

    A first look at one seed a row is about the trained models, which differ: its mark is false where the model that is
    said to be worse isn't (`any look`), and to a reader who takes it for one about configurations each time (`any look,
    read as configurations`)."""
    counts: Counter[str] = Counter()
    for _ in range(sweeps):
        world = World(setting, generator)
        rows = {str(row): world.runs(row, number) for row, number in enumerate(setting.seeds)}
        told = untold = misread = False
        for look in range(1, setting.looks + 1):
            found = compared(rows, setting, look)
            if found.claim == "model":
                told |= wrong_about_models(world, found)
                untold |= wrong_about_models(world, found)
            else:
                told |= marks_any(found)
                untold |= marks_any_untold(rows, found)
            misread |= marks_any(found)
            if look < setting.looks:
                rows = {key: more(row, world.runs(int(key), 1)) for key, row in rows.items()}
        count(world.truth, found, counts)
        counts.update({"any look": told, "any look, untold": untold, "any look, read as configurations": misread})
    return dict(counts)


def wrong_about_models(world: World, found: Comparisons) -> bool:
    """Whether any trained model is said to be worse or better than the reference's that isn't."""
    base = world.trained[int(found.reference or 0), "test"][0]
    signs = {"worse": -1, "better": 1}
    return any(
        signs[row.mark] * (world.trained[int(key), "test"][0] - base) <= 0
        for key, row in found.by_row.items()
        if row.mark in signs
    )


def selection_bias(setting: Setting, generator: np.random.Generator, sweeps: int) -> Counts:
    """By how many points the val accuracy of the best row by val is above its true one (of its trained model, where
    nothing was repeated), and is said to be."""
    counts: Counter[str] = Counter()
    lucks: list[float] = []
    for _ in range(sweeps):
        world = World(setting, generator)
        rows = [world.runs(row, number) for row, number in enumerate(setting.seeds)]
        best = int(np.argmax([row.mean_val_percent for row in rows]))
        noise = estimate_noise({str(number): row for number, row in enumerate(rows)}, 100 / setting.n_val)
        true = world.trained[best, "val"][0] if noise.test is None else world.val_truth[best]
        lucks.append(round(rows[best].mean_val_percent - true, 4))
        counts["said"] += selection_bias_points(rows, noise)  # type: ignore[assignment]
        counts["sweeps"] += 1
    return dict(counts) | {"lucks": lucks}


def worse_rows(setting: Setting, generator: np.random.Generator, sweeps: int) -> Counts:
    """Rows that are worse by GAPS: how many are marked; and the p of a t for each comparison of them."""
    few = setting.rows < 2 * len(GAPS)
    gaps = GAPS[1:2] if few else tuple(gap for gap in GAPS for _ in range(setting.rows // 6))
    gaps = tuple(gap for gap in gaps if gap < setting.accuracy)
    setting = replace(setting, gaps=gaps)
    counts: Counter[str] = Counter(sweeps=sweeps)
    p_plain: dict[str, list[float]] = {f"plain {gap:g}": [] for gap in GAPS}
    for _ in range(sweeps):
        world, rows, found = simulate(setting, generator)
        p = plain(rows, found)
        best = world.truth[int(found.reference or 0)]
        for key, row in found.by_row.items():
            gap = round(float(best - world.truth[int(key)]), 6)
            if key != found.reference and gap in GAPS:
                counts.update({f"all {gap:g}": 1, f"marked {gap:g}": row.mark == "worse"})
                p_plain[f"plain {gap:g}"].append(round(p[key] if row.diff < 0 else 1.0, 6))
    return dict(counts) | p_plain


def printed_power(setting: Setting, generator: np.random.Generator, sweeps: int) -> Counts:
    """One in twenty rows, at least one, worse by what a report prints as 'seen four times out of five' where the others
    are equally good: how many are marked. Each sweep takes the distance from another report, since that is what a
    reader has: one number, not their mean."""
    setting, printed = _as_printed(setting)
    if not printed or not 0 < np.mean(printed) < setting.accuracy - 1:
        return {"sweeps": sweeps, "gap": 0.0}
    counts: Counter[str] = Counter()
    for _ in range(sweeps):
        gap = min(float(generator.choice(printed)), setting.accuracy - 1)
        world, _, found = simulate(replace(setting, gaps=(gap,) * max(setting.rows // 20, 1)), generator)
        best = world.truth[int(found.reference or 0)]
        for key, row in found.by_row.items():
            if best - world.truth[int(key)] > gap / 2:
                counts.update({"all": 1, "marked": row.mark == "worse"})
    return dict(counts) | {"sweeps": sweeps, "gap": float(np.mean(printed))}


@cache
def _as_printed(setting: Setting) -> tuple[Setting, tuple[float, ...]]:
    """The setting with equally many seeds in each row, and what PILOT reports on `setting` print for these."""
    generator = np.random.default_rng(0)
    seeds = max(int(np.median(setting.seeds)), 2)
    gaps = []
    for _ in range(PILOT):
        _, rows, found = simulate(setting, generator)
        if found.noise.test is not None:
            gaps.append(detectable_by_simulation(rows, found, seeds))
    return replace(setting, seeds=(seeds,) * setting.rows, advised=False), tuple(gaps)


def followed_advice(setting: Setting, generator: np.random.Generator, sweeps: int) -> Counts:
    """The best row by val and one that is worse by 3 points, with as many more seeds of either as the report asks for
    if that is the true difference: how often the second look, with the same reference, marks it, and how often it was
    said to. `told`: of these, the sweeps in which the first look has not marked it."""
    gap = 3.0
    setting = replace(setting, gaps=(gap,))
    counts: Counter[str] = Counter(sweeps=sweeps)
    for _ in range(sweeps):
        world, rows, found = simulate(setting, generator)
        bad = str(int(np.argmin(world.truth)))
        if found.reference in (None, bad) or found.noise.test is None:
            continue
        wanted = seeds_needed(rows, found, bad, gap)
        if isinstance(wanted, str) or max(wanted.of_reference, wanted.of_other) > MOST_MORE:
            counts["out of reach"] += 1
            continue
        for key, number in ((found.reference or "", wanted.of_reference), (bad, wanted.of_other)):
            rows[key] = more(rows[key], world.runs(int(key), number)) if number else rows[key]
        again = compare_rows(rows, found.reference, 100 / setting.n_val, criteria=Criteria(looks=2))
        marked = again.by_row[bad].mark == "worse"
        counts.update({"all": 1, "more seeds": wanted.of_reference + wanted.of_other, "marked": marked})
        counts["said"] += wanted.power  # type: ignore[assignment]
        if found.by_row[bad].mark != "worse":
            counts.update({"told": 1, "told, marked": marked, "told, said": wanted.power})  # type: ignore[dict-item]
    return dict(counts)


def best_row(setting: Setting, generator: np.random.Generator, sweeps: int) -> Counts:
    """Rows of which one is the best: whether it is among those that 'can still be the best'; whether the likeliest is
    it, and how likely that was said to be; what taking the likeliest costs, and was said to cost."""
    counts: Counter[str] = Counter()
    for _ in range(sweeps):
        world, rows, found = simulate(setting, generator)
        assert found.simulated is not None
        said = chances(rows, found.simulated)
        kept, best = still_best(said), str(int(np.argmax(world.truth)))
        counts.update({"sweeps": 1, "kept": best in kept, "rows kept": len(kept), "likeliest": kept[0] == best})
        counts["likeliest said"] += said[kept[0]].best  # type: ignore[assignment]
        counts["lost"] += world.truth.max() - world.truth[int(kept[0])]
        counts["lost said"] += said[kept[0]].regret_points  # type: ignore[assignment]
    return dict(counts)


def count(truth: np.ndarray, found: Comparisons, counts: Counter[str]) -> None:
    """Add a sweep of equal rows."""
    counts.update({"sweeps": 1, "sweeps marked": marks_any(found)})
    reference = truth[int(found.reference or 0)]
    for key, row in found.by_row.items():
        true = truth[int(key)]
        kind = "chosen" if key == found.reference else "differences"
        covers = row.test_low - 1e-9 <= true <= row.test_high + 1e-9
        counts.update({"rows": 1, "rows covered": covers, kind: 1})
        between = covers if kind == "chosen" else row.diff_low - 1e-9 <= true - reference <= row.diff_high + 1e-9
        counts[f"{kind} covered"] += between


def marks_any(found: Comparisons) -> bool:
    """Whether any row is said to differ from the reference."""
    return any(row.mark in ("worse", "better") for row in found.by_row.values())


def marks_any_untold(rows: Mapping[str, RowResults], found: Comparisons) -> bool:
    """The same if the report were not told of the looks before: by the tables that it has drawn already."""
    assert found.simulated is not None and found.reference is not None
    base = rows[found.reference]
    t = {key: difference(rows[key], base, found.noise).t for key in found.simulated.keys if key != found.reference}
    return any(p <= 1 - inference.LEVEL for p in found.simulated.p_values(t, found.reference).values())


def plain(rows: Mapping[str, RowResults], found: Comparisons) -> dict[str, float]:
    """p values of the differences from the reference, by a t for each comparison and Holm."""
    base = rows[found.reference or ""]
    others = [key for key in rows if key != found.reference]
    return dict(
        zip(others, inference.holm([difference(rows[key], base, found.noise).p for key in others]), strict=True)
    )


def noise_floor(setting: Setting, generator: np.random.Generator, sweeps: int) -> Counts:
    """How often the interval of the noise floor covers the root mean square of the rows' true spreads; seeds alone."""
    counts: Counter[str] = Counter()
    for _ in range(sweeps):
        sds = np.full(setting.rows, setting.seed_sd)
        if setting.spreads == "lognormal":
            sds *= np.exp(generator.normal(0, 0.5, setting.rows))
        elif setting.spreads == "quarter":
            sds[: setting.rows // 2] *= 4
        percent = [generator.normal(90, sd, seeds) for sd, seeds in zip(sds, setting.seeds, strict=True)]
        true = float(np.sqrt((sds**2).mean()))
        low, high = rms_interval_points(percent, 100 / setting.n_test)
        pooled = pool({str(row): values for row, values in enumerate(percent)}, 100 / setting.n_test)
        assert pooled is not None
        chi_low, chi_high = pooled.sd_interval_points()
        counts.update({"sweeps": 1, "covered": low <= true <= high, "chi-squared": chi_low <= true <= chi_high})
    return dict(counts)


KINDS: dict[str, Callable[[Any, np.random.Generator, int], Counts]] = {
    "equal": equal_rows,
    "worse": worse_rows,
    "printed": printed_power,
    "looks": looked_at_again,
    "advice": followed_advice,
    "best": best_row,
    "floor": noise_floor,
    **{kind: unit for kind, (_, unit) in CLAIMS.items()},
    "selection": selection_bias,
}
