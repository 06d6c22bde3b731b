"""What engines and storages cost a sweep, from one machine to a cluster.

python -m benchmarks.cluster memory [--trials 1000 10000]     controller memory of a long search
"""

import argparse
import sys
from pathlib import Path

from benchmarks.cluster import idle, listing, memory, storages


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

    one = commands.add_parser("storages", parents=[common], help="trials a second of journal, sqlite and PostgreSQL")
    one.add_argument("--controllers", type=int, nargs="+", default=[1, 8, 32], metavar="N")
    one.add_argument("--kinds", nargs="+", default=list(storages.STORAGES), choices=storages.STORAGES, metavar="KIND")
    one.add_argument("--seconds", type=float, default=10.0, help="of each table entry")
    one.set_defaults(run=lambda args: storages.measure(args.controllers, args.kinds, args.seconds, args.out))

    one = commands.add_parser("idle", parents=[common], help="idle share of slots, overhead a run, by engine")
    one.add_argument("--slots", type=int, nargs="+", default=[2, 8, 32], metavar="N")
    one.add_argument("--full", action="store_true", help="128 slots too")
    one.add_argument("--engines", nargs="+", default=list(idle.ENGINES), choices=idle.ENGINES, metavar="ENGINE")
    one.set_defaults(run=lambda args: idle.measure([*args.slots, *[128] * args.full], args.engines, args.out))

    one = commands.add_parser("listing", parents=[common], help="seconds to look at a sweep of many run folders")
    one.add_argument("--runs", type=int, nargs="+", default=[1, 1000], metavar="N")
    one.set_defaults(run=lambda args: listing.measure(args.runs, args.out))

    args = parser.parse_args(given)
    args.run(args)


if __name__ == "__main__":
    sys.exit(main())
