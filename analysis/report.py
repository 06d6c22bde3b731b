"""Compare runs: what was tried, what came out, and which differences are more than noise.

python -m analysis.report                       the newest sweep under outputs/
python -m analysis.report outputs/demo outputs/grid --sort test_acc
python -m analysis.report outputs/demo --where "model == 'resnet18' and lr < 1e-2" --format csv > table.csv
python -m analysis.report --published table.csv --n-val 165 --n-test 350
"""

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from analysis.command_line import arguments, check_options
from analysis.model.image_sets import by_test_set
from analysis.model.table import distinct, filter_runs
from analysis.read.query import unknown_values
from analysis.read.records import ReportError, load_all, newest_sweep
from analysis.read.twins import with_twins_of
from analysis.show.csv import raw_csv_text
from analysis.show.formats import FORMATS, empty_rows
from analysis.show.text_table import report_text, side_by_side_text
from analysis.statistics.metric_names import METRICS
from training.console.program import run_program
from training.console.table import printable
from training.run_folder import write_whole

if TYPE_CHECKING:
    from analysis.model.judging import Judging
    from analysis.model.model import ReportModel


def main(argv: Sequence[str] | None = None) -> int:
    """Print the report; gives the exit code."""
    return run_program(arguments(__doc__), report_as_asked, argv)


def report_as_asked(args: argparse.Namespace) -> None:
    """Of run folders, or of a published table. Raises ReportError."""
    check_options(args)
    (report_published if args.published else report)(args)


def report(args: argparse.Namespace) -> None:
    """Of run folders. Raises ReportError."""
    folders = [str(folder) for folder in args.folders or [newest_sweep()]]
    everything = load_all(*folders)
    if args.twins:
        everything = with_twins_of(everything, args.twins)
    runs = filter_runs(everything, args.where)
    if args.over == "split":
        from analysis.model.splits import over_splits

        runs = over_splits(runs)
    for run in everything[everything["status"] == "unreadable"].itertuples():
        say(f"warning: {run.folder}: {run.message}")
    if runs.empty:
        say_none(everything, "runs", args.where)
    show(runs, everything, args, f"{', '.join(folders)}: {_counted(runs)}, accuracy in per cent, means over seeds", [])


def _counted(runs: pd.DataFrame) -> str:
    """How many there are, and how many of them are in no mean, as another has the same configuration and seed."""
    again = len(runs) - len(distinct(runs))
    what = f"{len(runs)} run{'s' if len(runs) != 1 else ''}"
    return f"{what} ({again} with the configuration and seed of another: counted once)" if again else what


def report_published(args: argparse.Namespace) -> None:
    """Of a table of which only the numbers exist, beside our own runs where folders are named. Raises ReportError."""
    from analysis.model.published import remarks
    from analysis.read.published import read_published

    everything = read_published(args.published, args.n_val, args.n_test)
    published = filter_runs(everything, args.where)
    if published.empty:
        say_none(everything, "rows", args.where)
        return show(published, everything, args, "", [])
    if args.folders:
        return show_side_by_side(published, args)
    runs = f"{len(published)} published run{'s' * (len(published) != 1)}"
    what = f"{runs} of {args.n_val} val and {args.n_test} test images"
    return show(published, everything, args, f"{args.published}: {what}", remarks(published))


def show_side_by_side(published_runs: pd.DataFrame, args: argparse.Namespace) -> None:
    """Published rows beside our own."""
    from analysis.model.model import build
    from analysis.model.published import several_alike, side_by_side

    published, own = build(published_runs), build(filter_runs(load_all(*map(str, args.folders)), args.where))
    rows = side_by_side(
        published.rows,
        published.results,
        published.comparisons.noise,
        own.rows,
        own.results,
        own.comparisons.noise,
    )
    heading = f"{args.published} beside {', '.join(map(str, args.folders))}"
    for line in several_alike(published.rows, own.rows, own.results):
        say(line)
    write(side_by_side_text(rows, heading) if args.format == "table" else formatted(args, rows))


def show(
    runs: pd.DataFrame, everything: pd.DataFrame, args: argparse.Namespace, heading: str, notes: list[str]
) -> None:
    """The table of `runs` in the format that was asked for, and what is to be said below it. `everything`: with the
    runs that --where hides."""
    from analysis.model.hidden import hidden_rows, partly_hidden
    from analysis.model.model import build, with_texts

    if runs.empty:
        if args.html:
            say(f"--html {args.html}: nothing to show, so no page was written")
        return write("" if args.format == "table" else formatted(args, empty_rows()))
    hidden = partly_hidden(everything, runs, args.over == "split")
    for line in hidden if args.format != "table" else ():
        say(line)
    notes = [*notes, *hidden]
    parts = by_test_set(runs)
    by = [judging(args, count) for count in hidden_rows(everything, parts, args.over == "split")]
    if len(parts) > 1:
        return show_each(parts, by, args, heading, notes)
    model = build(runs, args.sort, args.reference, by[0])
    if args.format == "table" or args.html or args.interaction:
        model = with_texts(model, args.interaction)
    if args.html:
        from analysis.show.page.build import build_page

        save(args.html, build_page(model, heading, notes))
    if args.format == "table":
        return write(report_text(model, heading, notes, failures(runs)))
    for line in lines_beside(model):
        say(line)
    return write(formatted(args, model.rows))


def show_each(
    parts: Sequence[pd.DataFrame], by: "Sequence[Judging]", args: argparse.Namespace, heading: str, notes: list[str]
) -> None:
    """A table for each test set, which are judged each by itself; in CSV and JSON one, with a column `test_set`."""
    from analysis.several_test_sets import models_of, numbered

    models = models_of(parts, args.sort, args.reference, args.interaction, by)
    if args.html:
        from analysis.show.page.build import build_page

        for number, one in enumerate(models, 1):
            save(numbered(args.html, number), build_page(one.model, f"{heading}; {one.title}", [*notes, *one.notes]))
    if args.format == "table":
        texts = [
            report_text(one.model, f"{heading}; {one.title}", [*notes, *one.notes], failures(part))
            for one, part in zip(models, parts, strict=True)
        ]
        return write("\n\n".join(texts))
    for one in models:
        for line in [*(f"{one.title}: {note}" for note in one.notes), *lines_beside(one.model)]:
            say(line)
    if args.format in ("csv", "json"):
        return write(formatted(args, pd.concat([one.rows_with_number for one in models])))
    return write("\n".join(formatted(args, one.model.rows) for one in models))


def lines_beside(model: "ReportModel") -> list[str]:
    """What is said on stderr beside a table for programs."""
    from analysis.model.judging import monitor_caution
    from analysis.model.row_results import image_cautions

    about_images = image_cautions(model.runs, model.comparisons)
    about_runs = [*model.left_out, *monitor_caution(model.runs, model.judging.metric), *failures(model.runs)]
    return [*about_images, *about_runs, *model.interaction]


def judging(args: argparse.Namespace, hidden: int) -> "Judging":
    """By what the rows of one test set are judged. `hidden`: how many more there are. Raises ReportError."""
    from analysis.model.judging import Judging, parse_weights
    from analysis.statistics.comparisons import Criteria

    metric = METRICS[args.metric]
    matters = None if args.matters is None else args.matters * 100 / metric.scale
    criteria = Criteria(args.looks, matters, hidden)
    weights = parse_weights(args.class_weights)
    return Judging(metric, weights, "calibration" in args.columns, criteria, "device" in args.columns)


def formatted(args: argparse.Namespace, rows: pd.DataFrame) -> str:
    """The rows in the format that was asked for, which is not the table."""
    return raw_csv_text(rows) if args.raw else FORMATS[args.format](rows)


def save(file: Path, text: str) -> None:
    """Write the page. Raises ReportError where it can't be, or would replace what is no page."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.is_file() and (start := file.read_bytes()[:400]) and not start.lstrip().lower().startswith(b"<!doc"):
            raise ReportError(f"--html {file} is there and is no page; choose another")
        if file.exists() and not file.is_file():  # /dev/stdout, a pipe
            file.write_text(text, encoding="utf-8")
        else:
            write_whole(file, text.encode())
    except OSError as error:
        raise ReportError(f"--html {file}: {error.strerror}") from None
    say(f"wrote {file} ({file.stat().st_size / 1e6:.1f} MB)")


def failures(runs: pd.DataFrame) -> list[str]:
    """A line for each kind and message of what went wrong, with the folder to look into."""
    failed = distinct(runs)
    failed = failed[failed["status"].isin(["failed", "diverged"])].fillna({"failure": "?", "message": "no message"})
    lines = []
    for (status, kind, message), alike in failed.groupby(["status", "failure", "message"], sort=False):
        more = f" and {len(alike) - 1} more" if len(alike) > 1 else ""
        why = f" ({kind})" if kind != status else ""
        lines.append(printable(f"{status}{why}: {alike['folder'].iloc[0]}{more}: {message}"))
    return lines


def say_none(everything: pd.DataFrame, what: str, query: str | None) -> None:
    """That --where leaves nothing, and why, as far as that can be told."""
    say(f"none of the {len(everything)} {what} matches --where {query!r}")
    for line in unknown_values(everything, query or "True == 1"):
        say(line)


def say(line: str) -> None:
    """One line on stderr."""
    print(printable(line), file=sys.stderr)


def write(text: str) -> None:
    """`text` to stdout."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.stdout.write(text)


if __name__ == "__main__":
    sys.exit(main())
