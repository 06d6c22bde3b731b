"""Whether the report's intervals and marks are true: sweeps are simulated of which the truth is known.

python -m benchmarks.truth [--sweeps 4000] [--settings WORD ...] [--list]

What is simulated: benchmarks/simulated_sweeps.py. A setting says how many rows, seeds and images there are, how
accurate the runs are, how much they differ and how. With all rows equally good: how often the 95 % intervals cover the
truth (of all rows; of the row that was chosen as the reference; of the differences from it; bar 93.5 %), and in how
many sweeps any row is marked better or worse (bar 6 %), each with three standard errors of the simulation. Then with
rows that are worse by 2, 4 and 8 points: how many of these are marked, and how many the method without simulation (a t
for each comparison, Holm) would mark at a level at which it marks as many equal rows (bar: 0.9 of it). Last, the
effects of a setting over matched pairs.
"""

import argparse
import warnings
from collections import Counter
from dataclasses import replace

import numpy as np

from analysis.statistics import inference
from analysis.statistics.comparisons import Comparisons, compare_rows, difference
from analysis.statistics.effects import paired_effect
from analysis.statistics.noise import estimate_noise
from analysis.statistics.results import RowResults
from benchmarks.measure import show
from benchmarks.simulated_sweeps import Setting, World, more

GAPS = (2.0, 4.0, 8.0)
MIXED = [2] * 8 + [1] * 11
SETTINGS = (
    Setting("2 rows x 3", [3] * 2),
    Setting("2 rows x 5", [5] * 2),
    Setting("5 rows x 2", [2] * 5),
    Setting("5 rows x 3, 99.5 %, 300 images", [3] * 5, 300, 300, 99.5, seed_sd=0.2),
    Setting("5 rows x 3, 99 %, 50 images", [3] * 5, 50, 50, 99.0, seed_sd=0.3),
    Setting("5 rows x 3, 98 %, 300 images", [3] * 5, 300, 300, 98.0, seed_sd=0.4),
    Setting("5 rows x 5, 70 %", [5] * 5, accuracy=70.0, seed_sd=2.0),
    Setting("19 rows x 3", [3] * 19),
    Setting("19 rows x 3, val 98.2 %", [3] * 19, 165, 350, val_accuracy=98.2, seed_sd=1.5),
    Setting("19 rows x 3, 50 images", [3] * 19, 50, 50),
    Setting("19 rows x 3, 2000 images", [3] * 19, 2000, 2000),
    Setting("19 rows x 3, 10000 images", [3] * 19, 10000, 10000, seed_sd=0.5),
    Setting("19 rows x 5, 2000 images", [5] * 19, 2000, 2000),
    Setting("19 rows x 3, val luck of its own", [3] * 19, 2000, 2000, shared_luck=False),
    Setting("19 rows x 3, spread 2", [3] * 19, seed_sd=2.0),
    Setting("19 rows x 3, lognormal spreads", [3] * 19, spreads="lognormal"),
    Setting("19 rows x 3, half at 4 times the spread", [3] * 19, spreads="quarter"),
    Setting("19 rows x 5, half at 4 times the spread", [5] * 19, spreads="quarter"),
    Setting("19 rows, 8 x 2 and 11 x 1", MIXED),
    Setting("19 rows, 8 x 2 and 11 x 1, 2000 images", MIXED, 2000, 2000),
    Setting("19 rows, 8 x 2 and 11 x 1, lognormal", MIXED, spreads="lognormal"),
    Setting("19 rows, 12 x 3 and 7 x 1, half at 4 times", [3] * 12 + [1] * 7, spreads="quarter"),
    Setting("19 rows x 5, one in ten collapses", [5] * 19, collapses=0.1),
    Setting("20 rows x 3 of 4 alike each", [3] * 20, cousins=4),
    Setting("60 rows x 3, 2000 images", [3] * 60, 2000, 2000),
    Setting("60 rows, 4 x 3 and 56 x 1, 2000 images", [3] * 4 + [1] * 56, 2000, 2000),
    Setting("20 rows x 1, then one more of the best two", [1] * 20, 2000, 2000, advised=True),
    Setting("200 rows x 2", [2] * 200),
)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=4000)
    parser.add_argument("--settings", nargs="*", default=[], metavar="WORD", help="only those whose names hold a WORD")
    parser.add_argument("--list", action="store_true", help="print the names of the settings")
    parser.add_argument("--no-effects", action="store_true")
    args = parser.parse_args()
    chosen = [one for one in SETTINGS if not args.settings or any(word in one.name for word in args.settings)]
    if args.list:
        print("\n".join(one.name for one in chosen))
        return
    warnings.simplefilter("ignore", RuntimeWarning)
    headings = ["setting", "rows %", "chosen row %", "differences %", "any mark %"]
    headings += [f"power at {gap:g} (plain)" for gap in GAPS]
    table = [judge(setting, args.sweeps) for setting in chosen]
    show(f"{args.sweeps} simulated sweeps a setting; intervals that cover, marks, power", headings, table)
    if not args.no_effects:
        rows = [effects(pairs, seeds, args.sweeps) for pairs in (3, 6, 12) for seeds in (1, 2, 3)]
        title = f"{args.sweeps} simulated sweeps a line; effects of a setting, truth 0"
        show(title, ["matched pairs", "seeds", "intervals cover %"], rows)


def simulate(setting: Setting, generator: np.random.Generator) -> tuple[World, dict[str, RowResults], Comparisons]:
    """One sweep, compared."""
    world = World(setting, generator)
    rows = {str(row): world.runs(row, count) for row, count in enumerate(setting.seeds)}
    if setting.advised:
        for key in sorted(rows, key=lambda key: -rows[key].mean_val_percent)[:2]:
            rows[key] = more(rows[key], world.runs(int(key), 1))
    return world, rows, compare_rows(rows, val_image_points=100 / setting.n_val)


def judge(setting: Setting, sweeps: int) -> list[str]:
    """A line of the table."""
    generator = np.random.default_rng(0)
    counts: Counter[str] = Counter()
    least_plain = []  # the lowest p of each sweep, by a t for each comparison and Holm
    for _ in range(sweeps):
        world, rows, found = simulate(setting, generator)
        count(world.truth, found, counts)
        least_plain.append(min(plain(rows, found).values(), default=1.0))
    false = counts["sweeps marked"] / sweeps
    level = float(np.quantile(least_plain, false)) if false else 0.0
    power = measure_power(setting, max(sweeps // 4, 1), level, generator)
    covered = [ratio(counts, "rows covered", "rows"), ratio(counts, "chosen covered", "chosen")]
    covered += [ratio(counts, "differences covered", "differences"), ratio(counts, "sweeps marked", "sweeps")]
    return [setting.name, *covered, *power]


def count(truth: np.ndarray, found: Comparisons, counts: Counter[str]) -> None:
    """Add a sweep of equal rows."""
    counts["sweeps"] += 1
    counts["sweeps marked"] += any(row.mark in ("worse", "better") for row in found.by_row.values())
    reference = truth[int(found.reference or 0)]
    for key, row in found.by_row.items():
        true = truth[int(key)]
        kind = "chosen" if key == found.reference else "differences"
        covers = row.test_low - 1e-9 <= true <= row.test_high + 1e-9
        counts.update({"rows": 1, "rows covered": covers, kind: 1})
        between = covers if kind == "chosen" else row.diff_low - 1e-9 <= true - reference <= row.diff_high + 1e-9
        counts[f"{kind} covered"] += between


def plain(rows: dict[str, RowResults], found: Comparisons) -> dict[str, float]:
    """p values of the differences from the reference, by a t for each comparison and Holm."""
    base = rows[found.reference or ""]
    others = [key for key in rows if key != found.reference]
    return dict(
        zip(others, inference.holm([difference(rows[key], base, found.noise).p for key in others]), strict=True)
    )


def measure_power(setting: Setting, sweeps: int, level: float, generator: np.random.Generator) -> list[str]:
    """For each gap, what proportion of the rows that are worse by it is marked so; beside it, by `plain` at `level`."""
    few = setting.rows < 2 * len(GAPS)
    gaps = GAPS[1:2] if few else tuple(gap for gap in GAPS for _ in range(setting.rows // 6))
    gaps = tuple(gap for gap in gaps if gap < setting.accuracy)
    setting = replace(setting, gaps=gaps)
    seen: Counter[tuple[str, float]] = Counter()
    for _ in range(sweeps):
        world, rows, found = simulate(setting, generator)
        p = plain(rows, found)
        best = world.truth[int(found.reference or 0)]
        for key, row in found.by_row.items():
            gap = round(float(best - world.truth[int(key)]), 6)
            if key != found.reference and gap in GAPS:
                seen[("all", gap)] += 1
                seen[("marked", gap)] += row.mark == "worse"
                seen[("plain", gap)] += p[key] <= level and row.diff < 0
    return [
        f"{100 * seen[('marked', gap)] / total:.0f} ({100 * seen[('plain', gap)] / total:.0f})" if total else "-"
        for gap in GAPS
        for total in [seen[("all", gap)]]
    ]


def ratio(counts: Counter[str], part: str, whole: str) -> str:
    """In per cent, with three standard errors of the simulation as far as sweeps are independent."""
    p = counts[part] / max(counts[whole], 1)
    error = 300 * np.sqrt(max(p * (1 - p), 1e-4) / counts["sweeps"])
    return f"{100 * p:.1f} ± {error:.1f}"


def effects(pairs: int, seeds: int, sweeps: int) -> list[str]:
    """How often the interval of an effect covers the truth, 0."""
    generator = np.random.default_rng(0)
    setting = Setting("", [seeds] * (2 * pairs), 50, 350, cousins=2)
    covered = 0
    for _ in range(sweeps):
        world = World(setting, generator)
        rows = [world.runs(row, seeds) for row in range(2 * pairs)]
        noise = estimate_noise({str(number): row for number, row in enumerate(rows)}, 2.0)
        found = paired_effect([(rows[2 * pair], rows[2 * pair + 1]) for pair in range(pairs)], noise)
        covered += found is not None and found.low <= 0 <= found.high
    return [str(pairs), str(seeds), f"{100 * covered / sweeps:.1f}"]


if __name__ == "__main__":
    main()
