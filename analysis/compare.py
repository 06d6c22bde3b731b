"""Two runs side by side: what differs between them, and on which test images they disagree.

python -m analysis.compare 52a41/seed=0 52a41/seed=1
python -m analysis.compare outputs/grid/resnet18-.../seed=0 7c0de --html compare.html

Told are differences in config, data, code, machine and packages, the epoch in which the curves part, and the test
images that one of the two alone gets right, with both guesses. A run is its folder, or its id in the report: of a
configuration without a seed the best run by val. McNemar's test is about these two trained models on their test images;
configurations are compared over their seeds by analysis.report.
"""

import argparse
import sys
from collections.abc import Sequence

from analysis.command_line import named
from analysis.report import save, write
from training.console.program import parser_for, run_program
from training.errors import ConfigError
from training.finished.run_names import named_run

FORMATS = ("text", "json", "csv")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the comparison; gives the exit code."""
    parser = parser_for("analysis.compare", __doc__)
    parser.add_argument(
        "runs", nargs=2, metavar="RUN", help="a run folder, or its id in the report (52a41, 52a41/seed=1)"
    )
    parser.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    page = "also write a page, with curves and the pictures of the test images on which they disagree"
    parser.add_argument("--html", type=named, metavar="FILE", help=page)
    return run_program(parser, _compare, arguments)


def _compare(options: argparse.Namespace) -> None:
    from analysis.pair import formats
    from analysis.pair.page import build_page
    from analysis.pair.pair import read_pair

    if not all(options.runs):
        raise ConfigError("the name of a run is empty, expected a folder, or an id that the report shows")
    pair = read_pair(*map(named_run, options.runs))
    if options.html:
        save(options.html, build_page(pair))
    write(formats.FORMATS[options.format](pair))


if __name__ == "__main__":
    sys.exit(main())
