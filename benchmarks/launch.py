"""Seconds per job of 20 runs that do nothing, under each launcher.

python -m benchmarks.launch [--repeats 3]

`whole` is the command's wall time over its jobs, start-up included; `each further` is what a job adds: the difference
between 20 jobs and 2, over 18. `isolated`: each job is a process of its own.
"""

import argparse
import statistics
import tempfile

from benchmarks.measure import python, show, spread

LAUNCHERS = {
    "finegrid local, 1 slot": (["hydra/launcher=local", "hydra.launcher.slots=1"], "yes"),
    "finegrid local, 2 slots": (["hydra/launcher=local", "hydra.launcher.slots=2"], "yes"),
    "finegrid folder_workers, one of 2 slots": (
        ["hydra/launcher=folder_workers", "hydra.launcher.workers=1", "hydra.launcher.slots=2"],
        "yes",
    ),
    "Hydra basic": (["hydra/launcher=basic"], "no"),
    "joblib, loky, 2 jobs": (["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"], "no"),
    "joblib, multiprocessing, 2 jobs": (
        ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.launcher.backend=multiprocessing"],
        "no",
    ),
}


def seconds(launcher: list[str], jobs: int) -> float:
    """Wall time of a sweep of `jobs` jobs."""
    with tempfile.TemporaryDirectory() as folder:
        values = ",".join(map(str, range(jobs)))
        return python("-m", "benchmarks.noop", "-m", f"hydra.sweep.dir={folder}", *launcher, f"+x={values}")


def main() -> None:
    """Alternate the launchers, so that a change of the machine's speed hits them all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    many: dict[str, list[float]] = {name: [] for name in LAUNCHERS}
    few: dict[str, list[float]] = {name: [] for name in LAUNCHERS}
    for _ in range(repeats):
        for name, (launcher, _) in LAUNCHERS.items():
            many[name].append(seconds(launcher, 20))
            few[name].append(seconds(launcher, 2))
    rows = []
    for name, (_, isolated) in LAUNCHERS.items():
        further = [(a - b) / 18 for a, b in zip(many[name], few[name], strict=True)]
        rows.append([name, isolated, spread([value / 20 for value in many[name]]), spread(further)])
    show(
        f"Seconds per job, 20 no-op jobs, median of {repeats}", ["launcher", "isolated", "whole", "each further"], rows
    )
    print(f"median start-up of 2 jobs: {statistics.median(few['finegrid local, 1 slot']):.1f} s with ours")


if __name__ == "__main__":
    main()
