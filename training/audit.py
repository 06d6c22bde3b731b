"""Is the data what it should be? Copies across splits, contradicting labels, small classes, odd and bad images.

python -m training.audit data=folder data.root=photos --html audit.html

Takes the settings of train.py. Finds equal files and near copies (encoded again, resized, cropped, brightened,
mirrored), one image under two labels, classes too small to judge, images far from the rest in size, mode or brightness,
and unreadable ones. With --run: labels that the run doubts, images that its network can hardly tell apart, and those
far from all others in its embedding. A folder of several runs, such as the folds of one configuration, has doubts about
all labels that they were validated on; the first one's embedding is looked at. --features: the same by linear probes on
the features of a network before training. Exit code 1 if train and test share an image.
"""

import argparse
import csv
import io
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from training.console.program import parser_for, run_program
from training.run_folder import write_whole

if TYPE_CHECKING:
    from training.auditing.findings import Audit

LEAK = 1  # exit code
SHOWN = 12  # findings of a kind in the terminal
COLUMNS = ("finding", "number", "kind", "what", "score", "image", "split", "label")


def show(audit: "Audit") -> None:
    """The table for the eye."""
    from rich.console import Console

    from training.console.table import print_lines, print_table, printable

    counts = Counter(one.kind for one in audit.findings)
    rows, seen = [], Counter[str]()
    for one in audit.findings:
        seen[one.kind] += 1
        if seen[one.kind] <= SHOWN:
            names = [f"{audit.split_of[index]}: {audit.dataset.names[index]}" for index in one.images[:3]]
            names += [f"and {len(one.images) - 3} more"] * (len(one.images) > 3)
            score = "" if one.score is None else f"{one.score:.3f}"
            rows.append([one.kind, printable(one.what), score, "\n".join(map(printable, names))])
    console = Console()
    print_lines(console, [printable(audit.dataset.summary())])
    if rows:
        print_table(console, ("kind", "what", "score", "images"), rows, words=("kind", "what", "images"))
    hidden = [f"{count - SHOWN} more of kind {kind}" for kind, count in counts.items() if count > SHOWN]
    lines = [f"not shown: {', '.join(hidden)} (--csv and --html have more)"] if hidden else []
    lines.append("found: " + (", ".join(f"{count} {kind}" for kind, count in counts.items()) or "nothing"))
    if audit.leaks:
        lines.append(f"{audit.leaks} test image(s) in train too, exactly or nearly: test accuracy is biased upwards")
    print_lines(console, lines)


def as_csv(audit: "Audit") -> str:
    """A row an image of each finding, one for a finding without images."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for number, one in enumerate(audit.findings, start=1):
        score = "" if one.score is None else f"{one.score:.4f}"
        for place, index in enumerate(one.images or (None,), start=1):
            about = ("", "", "")
            if index is not None:
                about = (audit.dataset.names[index], audit.split_of[index], audit.label(index))
            writer.writerow([number, place, one.kind, one.what, score, *about])
    return text.getvalue()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    from sweeps.hydra_glue.messages import one_line

    parser = parser_for("training.audit", __doc__)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings, as for train.py")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with the pictures side by side")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write all findings there")
    runs = (
        "a finished run on this data, or a folder of runs such as all folds: labels that they doubt, and images that "
    )
    runs += "the first one's embedding shows as nearly equal or far from all others; may be given again"
    parser.add_argument("--run", type=Path, metavar="FOLDER", action="append", default=[], help=runs)
    features = "the same by features of the network that model= and weights= name, as it is before training"
    parser.add_argument("--features", action="store_true", help=features)
    leaks: list[int] = []
    code = run_program(parser, lambda options: leaks.append(_audit(options)), arguments, one_line)
    return code or (LEAK if any(leaks) else 0)


def _audit(options: argparse.Namespace) -> int:
    """How many test images are in train."""
    from sweeps.plan.configs import run_config_of
    from training.auditing.findings import audit, in_order
    from training.auditing.page import page

    config = run_config_of(options.overrides)
    data = config.data
    found = audit(data)
    if options.run or options.features:
        from training.auditing.networks import by_features, by_runs

        more = by_runs(found, options.run) if options.run else []
        more += by_features(found, config) if options.features else []
        found = replace(found, findings=in_order([*found.findings, *more]))
    if options.csv is not None:
        write_whole(options.csv, as_csv(found).encode("utf-8", "backslashreplace"))
    if options.html is not None:
        named = str(data.csv or data.root or data.name or data._target_.rpartition(".")[2])
        write_whole(options.html, page(found, named).encode())
    show(found)
    return found.leaks


if __name__ == "__main__":
    sys.exit(main())
