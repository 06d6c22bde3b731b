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

from analysis.model.image_sets import by_test_set
from analysis.model.table import COLUMNS, distinct, filter_runs, row_keys
from analysis.read.records import ReportError, load_all, newest_sweep
from analysis.read.twins import with_twins_of
from analysis.show.csv import raw_csv_text
from analysis.show.formats import FORMATS, empty_rows
from analysis.show.text_table import report_text, side_by_side_text
from analysis.statistics.metric_names import METRICS
from training.console.program import called, run_program
from training.console.table import printable
from training.run_folder import write_whole

if TYPE_CHECKING:
    from analysis.model.judging import Judging
    from analysis.model.model import ReportModel


def main(argv: Sequence[str] | None = None) -> int:
    """Print the report; gives the exit code."""
    return run_program(arguments(), lambda args: report_published(args) if args.published else report(args), argv)


def report(args: argparse.Namespace) -> None:
    """Of run folders. Raises ReportError."""
    check_options(args)
    folders = [str(folder) for folder in args.folders or [newest_sweep()]]
    everything = load_all(*folders)
    if args.twins:
        everything = with_twins_of(everything, args.twins)
    runs = filter_runs(everything, args.where)
    args.hidden = len({*row_keys(everything[everything["status"] == "done"])} - {*row_keys(runs)})
    if args.over == "split":
        from analysis.model.splits import over_splits

        runs = over_splits(runs)
    for run in everything[everything["status"] == "unreadable"].itertuples():
        say(f"warning: {run.folder}: {run.message}")
    if runs.empty:
        say(f"none of the {len(everything)} runs matches --where {args.where!r}")
    what = f"{len(runs)} run{'s' if len(runs) != 1 else ''}, accuracy in per cent, means over seeds"
    return show(runs, args, f"{', '.join(folders)}: {what}", [])


def check_options(args: argparse.Namespace) -> None:
    """Raise ReportError where an option is asked for and would do nothing."""
    if args.raw and args.format != "csv":
        raise ReportError("--raw is for --format csv: the other formats have no cells that act")
    if not args.published and (args.n_val or args.n_test):
        raise ReportError("--n-val and --n-test are for --published CSV; runs know their numbers of images")
    if args.class_weights is not None and args.metric != "weighted-accuracy":
        raise ReportError("--class-weights is for --metric weighted-accuracy")
    if args.published and (args.metric != "accuracy" or args.columns):
        raise ReportError("--metric and --columns need the predictions of runs: of --published only accuracies exist")
    if args.published and args.twins:
        raise ReportError("--twins needs the predictions of runs: of --published only accuracies exist")
    if args.interaction and args.interaction[0] == args.interaction[1]:
        raise ReportError(f"--interaction {' '.join(args.interaction)}: expected two settings")


def report_published(args: argparse.Namespace) -> None:
    """Of a table of which only the numbers exist, beside our own runs where folders are named. Raises ReportError."""
    from analysis.model.published import remarks
    from analysis.read.published import read_published

    check_options(args)
    if args.n_val is None or args.n_test is None:
        raise ReportError("--published needs --n-val and --n-test: how many images its accuracies are of")
    everything = read_published(args.published, args.n_val, args.n_test)
    published = filter_runs(everything, args.where)
    args.hidden = len({*row_keys(everything)} - {*row_keys(published)})
    if args.folders:
        show_side_by_side(published, args)
        return
    what = f"{len(published)} published runs of {args.n_val} val and {args.n_test} test images"
    return show(published, args, f"{args.published}: {what}", remarks(published))


def show_side_by_side(published_runs: pd.DataFrame, args: argparse.Namespace) -> None:
    """Published rows beside our own."""
    from analysis.model.model import build
    from analysis.model.published import side_by_side

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
    write(side_by_side_text(rows, heading) if args.format == "table" else formatted(args, rows))


def show(runs: pd.DataFrame, args: argparse.Namespace, heading: str, notes: list[str]) -> None:
    """The table of `runs` in the format that was asked for, and what is to be said below it."""
    from analysis.model.model import build, with_texts

    if runs.empty:
        return write("" if args.format == "table" else formatted(args, empty_rows()))
    if len(parts := by_test_set(runs)) > 1:
        return show_each(parts, args, heading, notes)
    model = build(runs, args.sort, args.reference, judging(args))
    if args.format == "table" or args.html:
        model = with_texts(model, args.interaction)
    if args.html:
        from analysis.show.page.build import build_page

        save(args.html, build_page(model, heading, notes))
    if args.format == "table":
        return write(report_text(model, heading, notes, failures(runs)))
    for line in lines_beside(model):
        say(line)
    return write(formatted(args, model.rows))


def show_each(parts: Sequence[pd.DataFrame], args: argparse.Namespace, heading: str, notes: list[str]) -> None:
    """A table for each test set, which are judged each by itself; in CSV and JSON one, with a column `test_set`."""
    from analysis.several_test_sets import models_of, numbered

    models = models_of(parts, args.sort, args.reference, args.interaction, judging(args))
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
    return [*about_images, *model.left_out, *monitor_caution(model.runs, model.judging.metric), *failures(model.runs)]


def judging(args: argparse.Namespace) -> "Judging":
    """By what rows are judged. Raises ReportError."""
    from analysis.model.judging import Judging, parse_weights
    from analysis.statistics.comparisons import Criteria

    metric = METRICS[args.metric]
    matters = None if args.matters is None else args.matters * 100 / metric.scale
    criteria = Criteria(args.looks, matters, args.hidden)
    weights = parse_weights(args.class_weights)
    return Judging(metric, weights, "calibration" in args.columns, criteria, "device" in args.columns)


def formatted(args: argparse.Namespace, rows: pd.DataFrame) -> str:
    """The rows in the format that was asked for, which is not the table."""
    return raw_csv_text(rows) if args.raw else FORMATS[args.format](rows)


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    description, _, examples = str(__doc__).partition("\n\n")
    parser = argparse.ArgumentParser(
        called("analysis.report"),
        description=description,
        epilog=f"examples:\n{examples}\ncolumns: {', '.join(COLUMNS)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "folders",
        nargs="*",
        type=named,
        metavar="FOLDER",
        help="a sweep, a run, or a folder of sweeps (none: the newest)",
    )
    add("--format", choices=["table", *FORMATS], default="table", help="default: table")
    raw = "with --format csv: text without the apostrophe that keeps spreadsheets from taking it for a formula"
    add("--raw", action="store_true", help=raw)
    add("--sort", default="val_acc", metavar="COLUMN", help="default: val_acc; numbers: highest first")
    query = "only runs for which this is true: columns of load() with ==, !=, <, <=, >, >=, in, and, or, not"
    add("--where", metavar="QUERY", help=query)
    reference = (
        "the row that all are compared with: its id in the table, or a query as for --where; default: the best by val; "
        "with --looks 2 and more it counts as picked by what was seen before"
    )
    add("--reference", metavar="ROW", help=reference)
    matters = "differences of fewer points matter to nobody: such rows are marked `equivalent`"
    add("--matters", type=points, metavar="POINTS", help=matters)
    looks = "how often these rows were looked at while runs were added, this time included: marks allow for it"
    add("--looks", type=positive, default=1, metavar="N", help=looks)
    add("--over", choices=["split"], help="rows that differ in data.split_seed alone are replicates of one row")
    between = "does the effect of one setting change with another? e.g. --interaction scheduler model"
    add("--interaction", nargs=2, metavar=("SETTING", "BY"), help=between)
    metric = "what rows are judged by: test_95, diff, mark and the reference; default: accuracy"
    add("--metric", choices=list(METRICS), default="accuracy", metavar="METRIC", help=f"{metric}; {', '.join(METRICS)}")
    weights = "of --metric weighted-accuracy, e.g. cat=5,dog=1 (others 1); default: all classes count the same"
    add("--class-weights", metavar="CLASS=WEIGHT,...", help=weights)
    columns = "more columns (again for more); calibration: expected calibration error, beside what chance gives, "
    columns += "temperature, Brier; device: what the runs of a row were made on"
    add("--columns", choices=["calibration", "device"], action="append", default=[], metavar="NAME", help=columns)
    twins = "CSV of training.audit: test accuracy without the images that it found in train, for runs that didn't look"
    add("--twins", type=named, metavar="CSV", help=twins)
    page = "also write the report as one page, with pictures: curves, confusion matrix, histograms, search"
    add("--html", type=named, metavar="FILE", help=page)
    add(
        "--published",
        type=named,
        metavar="CSV",
        help="compare the rows of a printed table (model,weights,...,val_acc,test_acc)",
    )
    add("--n-val", type=positive, metavar="N", help="val images behind --published")
    add("--n-test", type=positive, metavar="N", help="test images behind --published")
    return parser


def named(text: str) -> Path:
    """A path; an empty one would be the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("an empty name, expected a path")
    return Path(text)


def points(text: str) -> float:
    """Points of accuracy."""
    if not 0 < (number := float(text)) < 100:
        raise ValueError(text)
    return number


def positive(text: str) -> int:
    """A count."""
    if (number := int(text)) < 1:
        raise ValueError(text)
    return number


def save(file: Path, text: str) -> None:
    """Write the page. Raises ReportError."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
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
