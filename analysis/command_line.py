"""The command line of analysis.report: its options, and which of them can't be given together."""

import argparse
import math
from collections.abc import Mapping
from pathlib import Path

from analysis.model.table import COLUMNS
from analysis.read.records import ReportError
from analysis.show.formats import FORMATS
from analysis.statistics.metric_names import METRICS
from training.console.program import called

# Options that a published table beside folders has no use for, with their defaults
BESIDE_NOTHING = {
    "sort": "val_acc",
    "reference": None,
    "matters": None,
    "looks": 1,
    "interaction": None,
    "html": None,
}
MOST = 10**9


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """The command line. `doc`: what the program does, and below an empty line examples."""
    description, _, examples = str(doc).partition("\n\n")
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
    matters = "differences of fewer points matter to nobody: such rows are marked `equivalent`; with --metric log-loss "
    matters += "and brier in their own units, e.g. 0.02"
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
        help="compare the rows of a printed table (model,weights,...,val_acc,test_acc) with each other; with a FOLDER "
        "each with the row of the same settings there",
    )
    add("--n-val", type=positive, metavar="N", help="val images behind --published")
    add("--n-test", type=positive, metavar="N", help="test images behind --published")
    return parser


def check_options(args: argparse.Namespace) -> None:
    """Raise ReportError where an option is asked for and would do nothing."""
    if args.raw and args.format != "csv":
        raise ReportError("--raw is for --format csv: the other formats have no cells that act")
    if not args.published and (args.n_val or args.n_test):
        raise ReportError("--n-val and --n-test are for --published CSV; runs know their numbers of images")
    if args.published and (args.n_val is None or args.n_test is None):
        raise ReportError("--published needs --n-val and --n-test: how many images its accuracies are of")
    if args.class_weights is not None and args.metric != "weighted-accuracy":
        raise ReportError("--class-weights is for --metric weighted-accuracy")
    if args.published and (args.metric != "accuracy" or args.columns):
        raise ReportError("--metric and --columns need the predictions of runs: of --published only accuracies exist")
    if args.published and args.twins:
        raise ReportError("--twins needs the predictions of runs: of --published only accuracies exist")
    if args.published and args.over:
        raise ReportError("--over needs the configs of runs: a published table has no data.split_seed")
    if args.published and args.folders and (idle := _given(args, BESIDE_NOTHING)):
        raise ReportError(
            f"{', '.join(idle)}: of no use with --published beside folders, whose rows are paired, not ranked"
        )
    if args.interaction and args.interaction[0] == args.interaction[1]:
        raise ReportError(f"--interaction {' '.join(args.interaction)}: expected two settings")


def _given(args: argparse.Namespace, defaults: Mapping[str, object]) -> list[str]:
    """The options that are not at their defaults."""
    return [f"--{name}" for name, default in defaults.items() if getattr(args, name) != default]


def named(text: str) -> Path:
    """A path; an empty one would be the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("an empty name, expected a path")
    return Path(text)


def points(text: str) -> float:
    """Points of accuracy, or of a metric in its own units."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < 100:
        raise argparse.ArgumentTypeError(f"{text}: expected a number above 0 and below 100")
    return number


def positive(text: str) -> int:
    """A count, of which products can be had."""
    if not 1 <= (number := int(text)) <= MOST:
        raise ValueError(text)
    return number
