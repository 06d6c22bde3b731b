"""Whether the report's intervals, marks and advice are true: sweeps are simulated of which the truth is known.

python -m benchmarks.truth [--sweeps 4000] [--jobs 2] [--out truth.jsonl] [--settings WORD ...] [--list] [--markdown]

What is simulated: benchmarks/simulated_sweeps.py; counted: benchmarks/truth_units.py. With all rows equally good: how
often 95 % intervals cover the truth (of all rows; of the row that was chosen as the reference; of the differences
from it) and in how many sweeps any row is marked better or worse. With rows worse by 2, 4 and 8 points: how many are
marked, and how many one t for each comparison with Holm would mark at the level at which it marks as many equal rows.
With rows worse by as much as the report prints as 'seen four times out of five': how many are seen. Then looks, advice,
the luck of the best row by val, what choosing costs, and the claims of benchmarks/truth_claims.py: effects,
interactions, folds and splits, named references, hidden rows, several test sets, equivalence. Each figure has an
interval of three standard errors of the simulation behind it, which its bar allows for.

--out keeps what is done, a line a piece, and the same command goes on from there. 4,000 sweeps of everything take about
3 hours of one core.
"""

import argparse
import json
import multiprocessing
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.measure import ROOT, show, show_markdown
from benchmarks.simulated_sweeps import Setting
from benchmarks.truth_claims import CLAIMS
from benchmarks.truth_tables import show_tables
from benchmarks.truth_units import measure

CHUNK = 25  # sweeps a piece
PARTS = {
    "equal": 1.0,
    "worse": 0.5,
    "printed": 0.125,
    "looks": 1.0,
    "advice": 0.25,
    "best": 1.0,
    "floor": 1.0,
    **dict.fromkeys(CLAIMS, 0.5),
    "selection": 0.25,
}  # of --sweeps
MIXED = (2,) * 8 + (1,) * 11
SETTINGS = (
    Setting("2 rows x 3", (3,) * 2),
    Setting("2 rows x 5", (5,) * 2),
    Setting("2 rows x 3, half at 4 times, 2000 images", (3,) * 2, 2000, 2000, spreads="quarter"),
    Setting("5 rows x 2", (2,) * 5),
    Setting("5 rows x 3, half at 4 times, 2000 images", (3,) * 5, 2000, 2000, spreads="quarter"),
    Setting("5 rows x 3, 99.5 %, 300 images", (3,) * 5, 300, 300, 99.5, seed_sd=0.2),
    Setting("5 rows x 3, 99 %, 50 images", (3,) * 5, 50, 50, 99.0, seed_sd=0.3),
    Setting("5 rows x 3, 98 %, 300 images", (3,) * 5, 300, 300, 98.0, seed_sd=0.4),
    Setting("5 rows x 5, 70 %", (5,) * 5, accuracy=70.0, seed_sd=2.0),
    Setting("19 rows x 3", (3,) * 19),
    Setting("19 rows x 3, val 98.2 %", (3,) * 19, 165, 350, val_accuracy=98.2, seed_sd=1.5),
    Setting("19 rows x 3, 50 images", (3,) * 19, 50, 50),
    Setting("19 rows x 3, 2000 images", (3,) * 19, 2000, 2000),
    Setting("19 rows x 3, 10000 images", (3,) * 19, 10000, 10000, seed_sd=0.5),
    Setting("19 rows x 5, 2000 images", (5,) * 19, 2000, 2000),
    Setting("19 rows x 3, val luck of its own", (3,) * 19, 2000, 2000, shared_luck=False),
    Setting("19 rows x 3, spread 2", (3,) * 19, seed_sd=2.0),
    Setting("19 rows x 3, lognormal spreads", (3,) * 19, spreads="lognormal"),
    Setting("19 rows x 3, half at 4 times the spread", (3,) * 19, spreads="quarter"),
    Setting("19 rows x 5, half at 4 times the spread", (5,) * 19, spreads="quarter"),
    Setting("19 rows x 5, half at 4 times, 2000 images", (5,) * 19, 2000, 2000, spreads="quarter"),
    Setting("19 rows x 2, lognormal spreads, 2000 images", (2,) * 19, 2000, 2000, spreads="lognormal"),
    Setting("19 rows, 8 x 2 and 11 x 1", MIXED),
    Setting("19 rows, 8 x 2 and 11 x 1, 2000 images", MIXED, 2000, 2000),
    Setting("19 rows, 8 x 2 and 11 x 1, lognormal", MIXED, spreads="lognormal"),
    Setting("19 rows, 12 x 3 and 7 x 1, half at 4 times", (3,) * 12 + (1,) * 7, spreads="quarter"),
    Setting("19 rows x 5, one in ten collapses", (5,) * 19, collapses=0.1),
    Setting("20 rows x 3 of 4 alike each", (3,) * 20, cousins=4),
    Setting("60 rows x 3, 2000 images", (3,) * 60, 2000, 2000),
    Setting("60 rows, 4 x 3 and 56 x 1, 2000 images", (3,) * 4 + (1,) * 56, 2000, 2000),
    Setting("20 rows x 1, then one more of the best two", (1,) * 20, 2000, 2000, advised=True),
    Setting("200 rows x 2", (2,) * 200),
    Setting("200 rows x 2, lognormal spreads", (2,) * 200, spreads="lognormal"),
    Setting("5 rows x 3, 30 images", (3,) * 5, 30, 30),
    Setting("19 rows x 3, 30 test images", (3,) * 19, 350, 30),
)
LOOKED_AT = (
    Setting("5 rows x 2 to 10, nine looks", (2,) * 5, looks=9),
    Setting("19 rows x 2 to 10, nine looks", (2,) * 19, 2000, 2000, looks=9),
    Setting("3 rows x 2 to 10, nine looks, 10000 images", (2,) * 3, 10000, 10000, looks=9),
    Setting("5 rows x 1 to 10, ten looks", (1,) * 5, looks=10),
    Setting("5 rows x 1 to 10, ten looks, spread 0", (1,) * 5, 2000, 2000, seed_sd=0.01, looks=10),
)
ADVISED = (
    Setting("2 rows x 3, 2000 images", (3,) * 2, 2000, 2000),
    Setting("5 rows x 3, 2000 images", (3,) * 5, 2000, 2000),
    Setting("2 rows x 5 and 1, 2000 images", (5, 1), 2000, 2000),
    Setting("19 rows x 3, 2000 images", (3,) * 19, 2000, 2000),
    Setting("5 rows x 3, 2000 images, lognormal spreads", (3,) * 5, 2000, 2000, spreads="lognormal"),
    Setting("8 rows x 2, 2000 images, spread 0.5", (2,) * 8, 2000, 2000, seed_sd=0.5),
    Setting("5 rows x 3, 700 images, spread 0.5", (3,) * 5, 350, 700, seed_sd=0.5),
)
STEPS_BELOW = tuple(number / 2 for number in range(1, 10))  # points below the best of ten rows
ONE_BEST = (
    Setting("10 rows x 2, 350 images", (2,) * 10, gaps=STEPS_BELOW),
    Setting("10 rows x 3, 2000 images", (3,) * 10, 2000, 2000, gaps=STEPS_BELOW),
    Setting("10 rows x 5, 10000 images, spread 0.5", (5,) * 10, 10000, 10000, seed_sd=0.5, gaps=STEPS_BELOW),
    Setting("10 rows, 5 x 3 and 5 x 1, 2000 images", (3,) * 5 + (1,) * 5, 2000, 2000, gaps=STEPS_BELOW),
)
FLOORS = tuple(
    Setting(f"{rows} rows x {seeds}, {spreads} spreads", (seeds,) * rows, 10000, 10000, spreads=spreads)
    for rows, seeds in ((19, 3), (8, 2), (12, 5))
    for spreads in ("equal", "lognormal", "quarter")
)
ROUGHLY_EQUAL = tuple(float(gap) for gap in np.linspace(0, 4, 20).round(2))  # points below the best of twenty rows
SELECTED = (
    Setting("20 rows x 3, 50 images", (3,) * 20, 50, 350),
    Setting("20 rows x 3, 50 images, 0 to 4 points apart", (3,) * 20, 50, 350, gaps=ROUGHLY_EQUAL),
    Setting("20 rows x 3, 350 images, 0 to 4 points apart", (3,) * 20, gaps=ROUGHLY_EQUAL),
    Setting("20 rows x 3, 2000 images", (3,) * 20, 2000, 2000),
    Setting("20 rows x 1, 350 images", (1,) * 20),
    Setting("5 rows x 2, 165 and 350 images", (2,) * 5, 165, 350),
)
BY_KIND = {
    "equal": SETTINGS,
    "worse": SETTINGS,
    "printed": SETTINGS,
    "looks": LOOKED_AT,
    "advice": ADVISED,
    "best": ONE_BEST,
    "floor": FLOORS,
    **{kind: settings for kind, (settings, _) in CLAIMS.items()},
    "selection": SELECTED,
}


class Piece(NamedTuple):
    """So many sweeps of one kind of one setting."""

    kind: str
    setting: str
    chunk: int


def main() -> None:
    """Measure what is missing, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=4000)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--out", type=Path, metavar="FILE", help="keep what is done, and go on from there")
    parser.add_argument("--settings", nargs="*", default=[], metavar="WORD", help="only those whose names hold a WORD")
    parser.add_argument("--kinds", nargs="*", default=list(BY_KIND), choices=list(BY_KIND))
    parser.add_argument("--list", action="store_true", help="print the names of the settings")
    parser.add_argument("--markdown", action="store_true", help="print the tables as docs/truth.md has them")
    args = parser.parse_args()
    chosen = {
        (kind, one.name): one
        for kind in args.kinds
        for one in BY_KIND[kind]
        if not args.settings or any(word in one.name for word in args.settings)
    }
    if args.list:
        print("\n".join(dict.fromkeys(name for _, name in chosen)))
        return
    known = read(args.out)
    missing = [piece for piece in pieces(chosen, args.sweeps) if piece not in known]
    for piece, found in work(missing, chosen, args.jobs):
        known[piece] = found
        if args.out:
            with args.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps({**piece._asdict(), **found}, default=int) + "\n")
    totals: dict[tuple[str, str], dict[str, Any]] = {
        (kind, name): added([found for piece, found in known.items() if piece[:2] == (kind, name)])
        for kind, name in chosen
    }
    show_tables({key: found for key, found in totals.items() if found}, show_markdown if args.markdown else show)


def pieces(chosen: Mapping[tuple[str, str], Setting], sweeps: int) -> list[Piece]:
    """All that is to be done, such that every setting gets its first sweeps before any gets its last."""
    chunks = {kind: max(1, round(sweeps * PARTS[kind] / CHUNK)) for kind, _ in chosen}
    all_pieces = [Piece(kind, name, chunk) for kind, name in chosen for chunk in range(chunks[kind])]
    return sorted(all_pieces, key=lambda piece: (piece.chunk + 1) / chunks[piece.kind])


def work(
    missing: Sequence[Piece], chosen: Mapping[tuple[str, str], Setting], jobs: int
) -> Iterator[tuple[Piece, dict[str, Any]]]:
    """Each piece with what was counted, as they come."""
    if not missing:
        return
    if jobs == 1:
        yield from ((piece, timed(piece, chosen[piece[:2]])) for piece in missing)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("forkserver")) as pool:
        futures = {pool.submit(timed, piece, chosen[piece[:2]]): piece for piece in missing}
        for future in as_completed(futures):
            yield futures.pop(future), future.result()


def timed(piece: Piece, setting: Setting) -> dict[str, Any]:
    """One piece, with how long it took and what was measured."""
    started = time.process_time()
    with threadpool_limits(1):  # matrices of 60 rows are too small for several, and pieces run side by side
        found = measure(piece.kind, setting, piece.chunk, CHUNK)
    return found | {"seconds": round(time.process_time() - started, 2), "method": method()}


def method() -> str:
    """A hash of what is measured."""
    files = sorted((ROOT / "analysis" / "statistics").glob("*.py"))
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]


def read(file: Path | None) -> dict[Piece, dict[str, Any]]:
    """The pieces of an earlier run."""
    known = {}
    if file is not None and file.exists():
        for line in file.read_text(encoding="utf-8").splitlines():
            found = json.loads(line)
            known[Piece(found.pop("kind"), found.pop("setting"), found.pop("chunk"))] = found
    return known


def added(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The counts of several pieces together: numbers are added, lists joined, and texts gathered."""
    total: dict[str, Any] = defaultdict(int)
    for one in found:
        for name, value in one.items():
            if isinstance(value, list):
                total[name] = (total[name] or []) + value
            elif isinstance(value, str):
                total[name] = sorted({*(total[name] or []), value})
            else:
                total[name] += value
    total["pieces"] = len(found)
    return total if found else {}


if __name__ == "__main__":
    main()
