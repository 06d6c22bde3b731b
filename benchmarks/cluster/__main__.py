"""What engines and storages cost a sweep, from one machine to a cluster.

python -m benchmarks.cluster memory [--trials 1000 10000]     controller memory of a long search
"""

import argparse
import sys
from pathlib import Path

from benchmarks.cluster import memory


def main(given: list[str] | None = None) -> None:
    """One of the tables."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.cluster", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="TABLE")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--out", type=Path, metavar="FILE", help="append each figure as a line of JSON")

    one = commands.add_parser("memory", parents=[common], help="controller memory and CPU a trial of a search")
    one.add_argument("--trials", type=int, nargs="+", default=[1000], metavar="N")
    one.add_argument("--sampler", default="random", help="random (default), tpe, ...")
    one.add_argument("settings", nargs="*", help="further overrides of the search")
    one.set_defaults(run=lambda args: memory.measure(args.trials, args.sampler, args.settings, args.out))

    args = parser.parse_args(given)
    args.run(args)


if __name__ == "__main__":
    sys.exit(main())
