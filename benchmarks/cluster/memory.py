"""What a search of many trials costs its controller: memory and processor time, and how both grow.

A real study, whose runs are over at once (benchmarks/cluster/instant.py): three epochs each are told, a record is read.
"""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cluster.out import write
from benchmarks.jobs import TINY
from benchmarks.measure import ROOT, show
from benchmarks.scale import usage

BAR_MB = 0.05  # a trial


@dataclass(frozen=True)
class Sample:
    """Of a controller: trials begun, CPU seconds and resident MB so far, wall seconds."""

    trials: int
    cpu_s: float
    memory_mb: float
    wall_s: float


def samples(trials: int, settings: list[str]) -> list[Sample]:
    """One for each tenth of the trials. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [
            sys.executable, "-m", "benchmarks.cluster.instant", "-m", *TINY, "trainer.epochs=3", f"sweep.root={folder}",
            "hydra/launcher=instant", "hydra/sweeper=optuna_async", "hydra.sweeper.sampler.seed=0",
            f"hydra.sweeper.n_trials={trials}", "optimizer.lr=tag(log,interval(1e-6,1))", *settings,
        ]  # fmt: skip
        process = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.DEVNULL)
        found, started = [Sample(0, 0.0, 0.0, 0.0)], time.perf_counter()
        while process.poll() is None:
            time.sleep(0.1)
            grid = Path(folder, "grid")
            done = sum(not entry.name.startswith(".") for entry in os.scandir(grid)) if grid.is_dir() else 0
            if done < found[-1].trials + max(1, trials // 10):
                continue
            try:
                found.append(Sample(done, *usage(process.pid), time.perf_counter() - started))
            except (OSError, IndexError):  # it has just ended
                break
        if process.wait():
            raise subprocess.CalledProcessError(process.returncode, arguments)
    return found[1:]


def slope(found: list[Sample], what: str) -> float:
    """By how much a figure grows a trial, in the second half: the first trials bring in what all need."""
    first, last = found[len(found) // 2 - 1], found[-1]
    return float((getattr(last, what) - getattr(first, what)) / (last.trials - first.trials))


def measure(counts: list[int], sampler: str, settings: list[str], out: Path | None) -> None:
    """A table for each number of trials."""
    for count in counts:
        found = samples(count, [f"hydra/sweeper/sampler={sampler}", *settings])
        rows, before = [], Sample(0, 0.0, 0.0, 0.0)
        for one in found:
            cpu = (one.cpu_s - before.cpu_s) / (one.trials - before.trials)
            rows.append([str(one.trials), f"{cpu:.3f}", f"{one.memory_mb:.0f}", f"{one.wall_s:.0f}"])
            before = one
        show(f"A search of {count}, sampler {sampler}", ["trials", "CPU s a trial", "MB", "wall s"], rows)
        memory, cpu = slope(found, "memory_mb"), slope(found, "cpu_s")
        print(f"{memory:.4f} MB a trial (bar: {BAR_MB}), {cpu:.3f} CPU s a trial\n")
        row = {"what": "memory", "trials": count, "sampler": sampler, "settings": settings}
        write(out, {**row, "mb_a_trial": memory, "cpu_s_a_trial": cpu, "mb_at_the_end": found[-1].memory_mb})
