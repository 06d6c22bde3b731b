"""The tables of benchmarks.truth, and whether each figure passes its bar."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from analysis.statistics import inference
from benchmarks.measure import show
from benchmarks.truth_units import GAPS

COVERED, MARKED, PRINTED, POWER = 0.935, 0.06, 0.8, 0.9  # the bars
PRINTED_REACH = 0.1
SELECTION_REACH = 0.15  # of the true one
ERRORS = 3.0  # standard errors of the simulation that bars allow for
LEAST_POWER = 0.05  # of the other method, below which a ratio says nothing
Counts = Mapping[str, Any]
Show = Callable[[str, Sequence[str], Sequence[Sequence[str]]], None]  # title, headings, rows
Column = tuple[str, str, str, tuple[float, float]]  # heading, part, whole, bar
COVER, FALSE, ANY = (COVERED, 1.0), (0.0, MARKED), (0.0, 1.0)
EFFECT: Column = ("effects %", "effects covered", "effects", COVER)
OF_ROWS: list[Column] = [
    ("rows %", "rows covered", "rows", COVER),
    ("reference %", "chosen covered", "chosen", COVER),
    ("differences %", "differences covered", "differences", COVER),
    ("any mark %", "sweeps marked", "sweeps", FALSE),
]
CLAIM_TABLES: dict[str, tuple[str, list[Column]]] = {
    "effects": ("Effects of a setting, truth 0: intervals that cover", [EFFECT]),
    "interactions": (
        "--interaction, the same effect at all levels",
        [("'yes' %", "sweeps marked", "sweeps", FALSE), ("trends covered %", "trends covered", "trends", COVER)],
    ),
    "splits": ("Folds and splits of the data, equal rows", [*OF_ROWS, EFFECT]),
    "named": ("Equal rows against a reference that was named beforehand", OF_ROWS),
    "hidden": ("Equal rows, of which --where shows a quarter each time", OF_ROWS),
    "extremes": ("Equal rows, of which --where shows two that were chosen by their results", [OF_ROWS[-1]]),
    "sets": ("Equal rows on two test sets in one table", [*OF_ROWS, EFFECT]),
    "equivalent": (
        "Rows called equivalent (--matters)",
        [
            ("worse by just that %", "at the margin equivalent", "at the margin", (0.0, 0.05)),
            ("any of these %", "sweeps with any", "sweeps", ANY),
            ("as good %", "as good equivalent", "as good", ANY),
        ],
    ),
}


class Bars:
    """Collects what fails."""

    def __init__(self) -> None:
        self.checked, self.failed = 0, list[str]()

    def check(self, passes: bool, what: str) -> str:
        """A mark for the cell."""
        self.checked += 1
        if not passes:
            self.failed.append(what)
        return "" if passes else " FAIL"

    def share(self, counts: Counts, part: str, whole: str, bar: tuple[float, float], name: str) -> str:
        """A proportion in per cent with Wilson's interval of three standard errors, which has a width at 0 and 100 %
        too, as far as sweeps are independent; `bar`: least, most, one of which the interval has to reach."""
        if not counts.get(whole):
            return "-"
        p = counts.get(part, 0) / counts[whole]
        low, high = inference.wilson(p, counts["sweeps"], ERRORS)
        failed = self.check(low <= bar[1] and bar[0] <= high, f"{name}: {part} {100 * p:.1f} %")
        return f"{100 * p:.1f} ({100 * low:.1f} to {100 * high:.1f}){failed}"


def show_tables(totals: Mapping[tuple[str, str], Counts], show: Show = show) -> None:
    """All tables, and at last a line for each bar that was missed."""
    bars = Bars()
    names = list(dict.fromkeys(name for kind, name in totals if kind in ("equal", "worse", "printed")))
    if names:
        headings = ["setting", "sweeps", "rows %", "chosen row %", "differences %", "any mark %"]
        headings += [f"power at {gap:g} (plain)" for gap in GAPS] + ["80 % printed at: true %"]
        show(
            "95 % intervals that cover; sweeps with any mark; power, beside one t a comparison at the same error rate",
            headings,
            [
                setting_line(name, equal, worse, printed, bars)
                for name in names
                for equal, worse, printed in [[totals.get((kind, name), {}) for kind in ("equal", "worse", "printed")]]
            ],
        )
    others = {kind: [(name, found) for (one, name), found in totals.items() if one == kind] for kind, _ in totals}
    if looks := others.get("looks"):
        headings = ["equal rows, looked at again", "sweeps", "any look marks falsely %", "if not told of looks %"]
        headings += ["if the first look, at one seed a row, is read as one about configurations %"]
        show("Looks", headings, [looks_line(name, found, bars) for name, found in looks])
    if best := others.get("best"):
        headings = ["one best row, the next 0.5 to 4.5 points below", "sweeps", "can still be the best: it is there %"]
        headings += ["rows there", "the likeliest is it % (said)", "points lost (said)"]
        show("What choosing costs", headings, [best_line(name, found, bars) for name, found in best])
    for kind, (title, columns) in CLAIM_TABLES.items():
        if claims := others.get(kind):
            cells = [[bars.share(found, *one[1:], f"{kind}, {name}") for one in columns] for name, found in claims]
            lines = [[name, str(found["sweeps"]), *row] for (name, found), row in zip(claims, cells, strict=True)]
            show(title, ["setting", "sweeps", *(one[0] for one in columns)], lines)
    if floor := others.get("floor"):
        rows = [
            [
                name,
                str(found["sweeps"]),
                bars.share(found, "covered", "sweeps", (COVERED, 1), f"noise floor {name}"),
                f"{100 * found['chi-squared'] / found['sweeps']:.1f}",
            ]
            for name, found in floor
        ]
        show("Noise floor", ["setting", "sweeps", "intervals cover %", "chi-squared's %"], rows)
    show_said(others, bars, show)
    seconds = sum(found.get("seconds", 0) for found in totals.values())
    versions = sorted({one for found in totals.values() for one in found.get("method", [])})
    print(f"\n{seconds / 3600:.2f} core hours; analysis/statistics {', '.join(versions)}")
    print("\n".join(f"FAIL {line}" for line in bars.failed) or "PASS")
    print(f"{bars.checked - len(bars.failed)} of {bars.checked} figures pass their bars")


def show_said(others: Mapping[str, list[tuple[str, Counts]]], bars: Bars, show: Show) -> None:
    """What sentences of the report say, against what comes true."""
    if advice := others.get("advice"):
        headings = ["3 points apart", "sweeps", "more seeds asked for, mean"]
        headings += ["where the first look marked nothing: marked then % (said)", "wherever, %"]
        show("'N more seeds'", headings, [advice_line(name, found, bars) for name, found in advice])
    if selected := others.get("selection"):
        headings = ["the best row by val", "sweeps", "its val accuracy is too high by", "said"]
        lines = [selection_line(name, found, bars) for name, found in selected]
        show("Selection of the best row, points", headings, lines)


def setting_line(name: str, equal: Counts, worse: Counts, printed: Counts, bars: Bars) -> list[str]:
    """Of one setting."""
    cells = [name, str(equal.get("sweeps", "-"))]
    for kind in ("rows", "chosen", "differences"):
        cells.append(bars.share(equal, f"{kind} covered", kind, (COVERED, 1), name))
    cells.append(bars.share(equal, "sweeps marked", "sweeps", (0, MARKED), name))
    false = equal.get("sweeps marked", 0) / equal.get("sweeps", 1)
    level = float(np.quantile(equal["least plain"], false)) if false and "least plain" in equal else 0.0
    cells += [power_cell(name, gap, worse, level, bars) if equal and worse else "-" for gap in GAPS]
    return [*cells, printed_cell(name, printed, bars)]


def power_cell(name: str, gap: float, worse: Counts, level: float, bars: Bars) -> str:
    """Rows marked in per cent, and those that one t a comparison marks at `level`: "-" where it marks next to none,
    as where no equal row was marked, so that there is no error rate to compare it at."""
    total = worse.get(f"all {gap:g}", 0)
    if not total:
        return "-"
    power = worse[f"marked {gap:g}"] / total
    other = float(np.mean(np.array(worse[f"plain {gap:g}"]) <= level))
    error = ERRORS * math.sqrt(max(power * (1 - power), other * (1 - other), 1e-4) / worse["sweeps"])
    passes = other < LEAST_POWER or power >= POWER * other - error
    bracket = "-" if other < LEAST_POWER else f"{100 * other:.0f}"
    return f"{100 * power:.0f} ({bracket})" + bars.check(passes, f"{name}: power at {gap:g}")


def printed_cell(name: str, printed: Counts, bars: Bars) -> str:
    """The printed difference, and how many rows that are worse by it are marked."""
    if not printed.get("all"):
        return "-"
    gap = printed["gap"] / printed["pieces"]
    bar = (PRINTED - PRINTED_REACH, PRINTED + PRINTED_REACH)
    return f"{gap:.1f}: {bars.share(printed, 'marked', 'all', bar, f'{name}, printed {gap:.1f}')}"


def looks_line(name: str, found: Counts, bars: Bars) -> list[str]:
    """Of a setting that is looked at again and again."""
    told = bars.share(found, "any look", "sweeps", (0, MARKED), name)
    others = [
        f"{100 * found.get(f'any look, {what}', 0) / found['sweeps']:.1f}"
        for what in ("untold", "read as configurations")
    ]
    return [name, str(found["sweeps"]), told, *others]


def advice_line(name: str, found: Counts, bars: Bars) -> list[str]:
    """Of a setting in which the report's advice was followed."""
    total, told = found.get("all", 0), found.get("told", 0)
    if not total:
        return [name, f"0 of {found['sweeps']}", *"---"]
    asked, others = f"{found['more seeds'] / total:.1f}", "-"
    if told:  # the report says it only then
        said = found["told, said"] / told
        bar = (said - PRINTED_REACH, said + PRINTED_REACH)
        marked = bars.share({**found, "sweeps": told}, "told, marked", "told", bar, f"advice, {name}")
        others = f"{marked} ({100 * said:.1f})"
    everywhere = f"{100 * found['marked'] / total:.0f}"
    return [name, f"{total} of {found['sweeps']}", asked, others, everywhere]


def selection_line(name: str, found: Counts, bars: Bars) -> list[str]:
    """Of a setting in which the best row by val was chosen."""
    lucks = np.array(found["lucks"])
    true, said = float(lucks.mean()), found["said"] / found["sweeps"]
    error = ERRORS * float(lucks.std()) / math.sqrt(len(lucks))
    failed = bars.check(abs(said - true) <= SELECTION_REACH * true + error, f"selection, {name}")
    return [name, str(found["sweeps"]), f"{true:.2f} ± {error:.2f}", f"{said:.2f}{failed}"]


def best_line(name: str, found: Counts, bars: Bars) -> list[str]:
    """Of a setting with one best row."""
    n = found["sweeps"]
    kept = bars.share(found, "kept", "sweeps", (COVERED, 1), f"best, {name}")
    likeliest = f"{100 * found['likeliest'] / n:.0f} ({100 * found['likeliest said'] / n:.0f})"
    lost = f"{found['lost'] / n:.2f} ({found['lost said'] / n:.2f})"
    return [name, str(n), kept, f"{found['rows kept'] / n:.1f}", likeliest, lost]
