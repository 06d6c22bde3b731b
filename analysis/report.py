"""Compare runs: the table of what was tried and what came out.

python -m analysis.report                       the newest sweep under outputs/
python -m analysis.report outputs/demo outputs/grid --sort test_acc
python -m analysis.report outputs/demo --where "model == 'resnet18' and lr < 1e-2" --format csv > table.csv
"""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis import formats
from analysis.records import ReportError, load, newest_sweep
from analysis.table import COLUMNS, distinct, merge, sort, telling, where


def main(argv: Sequence[str] | None = None) -> int:
    """Print the report; 0, or 2 after a user's mistake."""
    args = arguments(argv)
    try:
        folders = [str(folder) for folder in args.folders or [newest_sweep()]]
        everything = load(*folders)
        runs = where(everything, args.where)
        rows = sort(merge(runs, telling(runs) if args.format == "table" else ()), args.sort)
    except ReportError as error:
        say(f"error: {error}")
        return 2
    for run in everything[everything["status"] == "unreadable"].itertuples():
        say(f"warning: {run.folder}: {run.message}")
    if rows.empty:
        say(f"none of the {len(everything)} runs matches --where {args.where!r}")
    if args.format == "table":
        what = f"{len(runs)} run{'s' if len(runs) != 1 else ''}, accuracy in per cent, means over seeds"
        text = "" if rows.empty else formats.table(rows, f"{', '.join(folders)}: {what}", failures(runs))
    else:
        text = formats.PLAIN[args.format](rows)
        for line in failures(runs):
            say(line)
    return write(text)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    description, _, examples = str(__doc__).partition("\n\n")
    parser = argparse.ArgumentParser(
        "python -m analysis.report",
        description=description,
        epilog=f"examples:\n{examples}\ncolumns: {', '.join(COLUMNS)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folders",
        nargs="*",
        type=Path,
        metavar="FOLDER",
        help="a sweep, a run, or a folder of sweeps; none: the newest",
    )
    parser.add_argument("--format", choices=["table", *formats.PLAIN], default="table", help="default: table")
    parser.add_argument("--sort", default="val_acc", metavar="COLUMN", help="default: val_acc; numbers: highest first")
    parser.add_argument(
        "--where", metavar="QUERY", help="only runs for which this pandas expression over the columns of load() is true"
    )
    return parser.parse_args(argv)


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


def printable(text: str) -> str:
    """`text` on one line, without control characters: it may come from anywhere."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def say(line: str) -> None:
    """One line on stderr."""
    print(printable(line), file=sys.stderr)


def write(text: str) -> int:
    """`text` to stdout; that the reader has seen enough (`| head`) is no error."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains again while it exits
    return 0


if __name__ == "__main__":
    sys.exit(main())
