"""Which further runs would settle which configuration is best, for the least time; and the commands that make them.

python -m analysis.next                          of the newest sweep under outputs/
python -m analysis.next outputs/demo --budget 2h
python -m analysis.next outputs/demo --certainty 95

Says how certain it is now which configuration is best by test accuracy, and how certain it would be on average after
the runs that are proposed. Where other seeds can't tell, since too few test images do, it says so. Time is that of the
runs one after the other, by those that are done. See docs/report.md.
"""

import argparse
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.read.records import ReportError, load_all, newest_sweep
from training.console.program import called, run_program
from training.console.table import print_lines, print_table, visible

if TYPE_CHECKING:
    from analysis.model.next_runs import Advice, Candidate

MOST_RUNS = 200  # that are proposed at once
LOST = "its run folder doesn't tell how it was made; give the sweep's command with new seeds"
SHOWN = 0.01  # probability of being the best, from which on a row is shown
FACTORS = (2, 4, 8, 16, 32, 64)  # times as many test images
ALIKE = 0.9  # certainty that seeds alone bring, below which the best rows are called so
UNITS = {"s": 1 / 60, "min": 1.0, "m": 1.0, "h": 60.0, "d": 1440.0}


def main(argv: Sequence[str] | None = None) -> int:
    """Print the proposal; gives the exit code."""
    return run_program(arguments(), propose, argv)


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    description, _, examples = str(__doc__).partition("\n\n")
    parser = argparse.ArgumentParser(
        called("analysis.next"),
        description=description,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folders", nargs="*", type=Path, metavar="FOLDER", help="a sweep or a folder of sweeps (none: the newest)"
    )
    budget = "time to spend, such as 2h or 90min; default: as few runs as the certainty takes"
    parser.add_argument("--budget", type=duration_minutes, default=math.inf, metavar="TIME", help=budget)
    parser.add_argument("--certainty", type=per_cent, default=90.0, metavar="PERCENT", help="aimed at; default: 90")
    return parser


def propose(args: argparse.Namespace) -> None:
    """Raises ReportError."""
    from rich.console import Console

    from analysis.model.image_sets import by_test_set, describe
    from analysis.model.model import build
    from analysis.model.next_runs import advise

    folders = [str(folder) for folder in args.folders or [newest_sweep()]]
    parts = by_test_set(load_all(*folders))
    console = Console(highlight=False, markup=False, emoji=False)
    for number, runs in enumerate(parts, 1):
        if len(parts) > 1:
            print_lines(console, [f"\n{visible(f'test set {number} of {len(parts)} ({describe(runs)})')}"])
        try:
            advice = advise(build(runs), args.certainty / 100, MOST_RUNS, args.budget)
        except ReportError as error:
            if len(parts) == 1:
                raise
            print_lines(console, [visible(str(error))])
            continue
        if advice.plan is not None:
            print_table(console, HEADINGS, [row_of(one) for one in shown(advice)], words=HEADINGS[:1])
        print_lines(console, [visible(line) for line in summary(advice, args)])
        print_commands(advice)


HEADINGS = ("configuration", "runs", "test_acc", "best with", "minutes a run", "more runs")


def shown(advice: "Advice") -> list["Candidate"]:
    """The rows of the table: all that can still be the best."""
    return [one for one in advice.candidates if one.more or (one.p_best or 0) >= SHOWN]


def row_of(one: "Candidate") -> list[str]:
    """A line of the table."""
    minutes = "-" if one.minutes is None else f"{one.minutes:.2g}" if one.minutes < 10 else f"{one.minutes:.0f}"
    p = "-" if one.p_best is None else f"{100 * one.p_best:.0f} %"
    accuracy = f"{100 * one.results.test_proportion:.2f}"
    return [visible(one.label), str(one.results.seeds), accuracy, p, minutes, str(one.more or "-")]


def summary(advice: "Advice", args: argparse.Namespace) -> list[str]:
    """What is known now, and what the runs bring."""
    found = advice.plan
    if found is None:
        names = " and ".join(one.label for one in advice.candidates)
        return [
            "Each row rests on one run, so it is not known how far another seed moves a configuration. First one more "
            f"seed of the best two by val, {names}{spent(advice)}:"
        ]
    lines = [f"Now: {advice.candidates[0].label} is the best with a probability of {100 * found.now:.0f} %."]
    wanted = args.certainty / 100
    if found.now >= wanted and not found.more.any():
        return [*lines, f"That is {args.certainty:.4g} % or more: no further runs are needed."]
    if found.limit < wanted:
        lines.append(images_line(advice, wanted))
    if found.more.any():
        count = int(found.more.sum())
        runs = f"{count} more run{'s' if count > 1 else ''}{spent(advice)}"
        lines.append(f"After {runs}: {100 * found.after:.0f} % on average.")
    elif math.isfinite(args.budget):
        lines.append("No run of a configuration that can still be the best fits into the budget.")
    return lines


def images_line(advice: "Advice", wanted: float) -> str:
    """More test images, not seeds."""
    from analysis.statistics.next_runs import foreseen_with_images, seeds_do_little

    assert advice.plan is not None and advice.runs is not None and advice.beliefs is not None
    now, limit, n = advice.plan.now, advice.plan.limit, advice.candidates[0].results.n_test
    start = "More test images, not seeds: with" if seeds_do_little(now, limit, wanted) else "Seeds alone won't do: with"
    start += f" any number of seeds, these {n} test images leave it at {100 * limit:.0f} % on average"
    for factor in FACTORS:
        if foreseen_with_images(advice.runs, advice.beliefs, factor) >= wanted:
            return f"{start}; {factor} times as many, with many seeds, would bring {100 * wanted:.4g} %."
    alike = ": the best are alike" if limit < ALIKE else ""
    return f"{start}; even {FACTORS[-1]} times as many would not bring {100 * wanted:.4g} %{alike}."


def spent(advice: "Advice") -> str:
    """The time of the runs in words."""
    times = [one.minutes for one in advice.candidates if one.more]
    if any(minutes is None for minutes in times):
        return ""
    total = sum(one.more * (one.minutes or 0.0) for one in advice.candidates)
    if total < 1:
        return f" (about {60 * total:.0f} s)"
    return f" (about {total:.0f} min)" if total < 90 else f" (about {total // 60:.0f} h {total % 60:.0f} min)"


def print_commands(advice: "Advice") -> None:
    """A line for each row that gets more runs, as it is: lines to copy must not be broken."""
    asked = [one for one in advice.candidates if one.more]
    places = {one.key: one.made_in if one.command else None for one in asked}
    for folder in dict.fromkeys([None, *places.values()]):  # those of this folder first: they have no line above them
        if folder:
            sys.stdout.write(visible(f"(from the folder {folder}, where these runs were started)\n"))
        for one in asked:
            if places[one.key] == folder:
                sys.stdout.write(f"{one.command}\n" if one.command else visible(f"{one.label}: {LOST}\n"))


def duration_minutes(text: str) -> float:
    """`2h`, `90min`, `1.5d` -> minutes."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|min|m|h|d)", text.strip())
    if found is None or float(found[1]) <= 0:
        raise argparse.ArgumentTypeError(f"{text}: expected a time such as 2h or 90min")
    return float(found[1]) * UNITS[found[2]]


def per_cent(text: str) -> float:
    """A number between 50 and 100."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 50 <= number < 100:
        raise argparse.ArgumentTypeError(f"{text}: expected per cent, from 50 to less than 100")
    return number


if __name__ == "__main__":
    sys.exit(main())
