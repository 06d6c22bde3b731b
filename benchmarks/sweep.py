"""The whole smoke recipe, against the same runs with a tutorial's loop under Hydra's own launchers: wall time.

python -m benchmarks.sweep [--repeats 3]

The recipe is no full product, so the peers need two commands for it. Ours also checks and plans the runs, keeps each in
a process of its own, saves what it takes to go on, and leaves predictions and a record.
"""

import argparse
import tempfile

from benchmarks.measure import python, show, spread

RUNS = (["model=resnet18", "lr=2e-4,2e-3", "seed=0,1"], ["model=resnet34", "lr=2e-4,2e-3"])
PEERS = {
    "tutorial loop, Hydra basic": ["hydra/launcher=basic"],
    "tutorial loop, joblib, 2 jobs": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
}


def seconds(row: str) -> float:
    """Wall time of the six runs."""
    with tempfile.TemporaryDirectory() as folder:
        if row == "finegrid":
            return python("train.py", "-m", "sweeps=smoke", f"sweep.root={folder}")
        common = ["-m", "benchmarks.tutorial", "-m", *PEERS[row], "hydra/sweeper=basic"]
        return sum(python(*common, f"hydra.sweep.dir={folder}/{number}", *runs) for number, runs in enumerate(RUNS))


def main() -> None:
    """By turns, each repeat in the other direction."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    rows = ("finegrid", *PEERS)
    found: dict[str, list[float]] = {row: [] for row in rows}
    for repeat in range(repeats):
        for row in rows if repeat % 2 == 0 else rows[::-1]:
            found[row].append(seconds(row))
    lines = []
    for row in rows:
        ratios = [theirs / ours for theirs, ours in zip(found[row], found["finegrid"], strict=True)]
        lines.append([row, spread(found[row], ".0f"), spread(ratios)])
    show("The smoke recipe: 6 runs of 3 epochs", ["", "whole, s", "this / ours"], lines)


if __name__ == "__main__":
    main()
