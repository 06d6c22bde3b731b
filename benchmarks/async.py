"""The share of slot time that is idle: trials of 1 s and 4 s by turns, 2 slots, 24 trials.

python -m benchmarks.async [--trials 24] [--repeats 1]

Measured from the first run's start to the last run's start, from the runs' own records. The stock sweeper launches
batches of two and waits for the slower; ours asks for a trial when a slot is free.
"""

import argparse
import json
import tempfile
from datetime import datetime
from pathlib import Path

from benchmarks.jobs import TINY
from benchmarks.measure import python, show, spread

SWEEPERS = {
    "finegrid optuna_async, local": ["hydra/sweeper=optuna_async", "hydra/launcher=local", "hydra.launcher.slots=2"],
    "stock optuna, joblib": ["hydra/sweeper=optuna", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    "stock optuna, finegrid local": ["hydra/sweeper=optuna", "hydra/launcher=local", "hydra.launcher.slots=2"],
}


def idle_share(sweeper: list[str], trials: int) -> float:
    """Idle slot time over all slot time, in per cent."""
    with tempfile.TemporaryDirectory() as folder:
        python(
            "train.py",
            "-m",
            *TINY,
            f"sweep.root={folder}",
            *sweeper,
            "model._target_=benchmarks.jobs.Sleeper",
            f"hydra.sweeper.n_trials={trials}",
            "hydra.sweeper.n_jobs=2",
            "hydra.sweeper.custom_search_space=benchmarks.jobs.number_as_seed",
            "trainer.threads=1",
        )
        spans = sorted(_span(file) for file in Path(folder).rglob("record.json"))
    assert len(spans) == trials, f"{len(spans)} of {trials} runs left a record"
    first, last = spans[0][0], spans[-1][0]
    busy = sum(min(end, last) - start for start, end in spans)
    return 100 * (1 - busy / (2 * (last - first)))


def _span(file: Path) -> tuple[float, float]:
    times = json.loads(file.read_text())["time"]
    return datetime.fromisoformat(times["started"]).timestamp(), datetime.fromisoformat(times["finished"]).timestamp()


def main() -> None:
    """Alternate the sweepers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    shares: dict[str, list[float]] = {name: [] for name in SWEEPERS}
    for _ in range(options.repeats):
        for name, sweeper in SWEEPERS.items():
            shares[name].append(idle_share(sweeper, options.trials))
    rows = [[name, spread(values, ".1f")] for name, values in shares.items()]
    show(
        f"Idle slot time in per cent, {options.trials} trials of 1 s and 4 s, 2 slots",
        ["sweeper, launcher", "idle"],
        rows,
    )


if __name__ == "__main__":
    main()
