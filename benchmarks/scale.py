"""What a sweep of many runs costs its controller, and how that grows.

python -m benchmarks.scale [--trials 1000] [--points 2000]

Trials: a real study with the random sampler, whose runs do next to nothing; the controller's CPU seconds and resident
memory are read from the kernel each time another tenth of the trials is done. Points: a grid that is planned, not run,
in three sizes.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.jobs import TINY
from benchmarks.measure import ROOT, show


def usage(pid: int) -> tuple[float, float]:
    """CPU seconds and resident MB of a process, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def study(trials: int) -> list[list[str]]:
    """A row for each tenth of the trials."""
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory() as folder:
        arguments = [
            "train.py", "-m", *TINY, f"sweep.root={folder}", "hydra/sweeper=optuna_async",
            "hydra/sweeper/sampler=random",
            "hydra.sweeper.sampler.seed=0", f"hydra.sweeper.n_trials={trials}", "hydra.launcher.slots=2",
            "optimizer.lr=tag(log,interval(1e-6,1))",
        ]  # fmt: skip
        process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL)
        before, last, started = 0, (0.0, 0.0), time.perf_counter()
        while process.poll() is None:
            time.sleep(0.2)
            done = sum(1 for _ in Path(folder).glob("grid/*/seed=*/record.json"))
            if done < before + trials / 10:
                continue
            try:
                now = usage(process.pid)
            except (OSError, IndexError):
                break
            per_job = (now[0] - last[0]) / (done - before)
            rows.append([str(done), f"{per_job:.3f}", f"{now[1]:.0f}", f"{time.perf_counter() - started:.0f}"])
            before, last = done, now
    return rows


def grid(points: int) -> list[str]:
    """Planning a grid of so many points."""
    values = ",".join(str(number) for number in range(points))
    arguments = ["train.py", "-m", *TINY, f"seed={values}", "sweep.plan=true"]
    started = time.perf_counter()
    command = ["/usr/bin/env", "python3", "-c", _MEASURED, sys.executable, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    cpu, memory = (float(value) for value in done.stderr.split()[-2:])
    return [str(points), f"{cpu / points:.3f}", f"{memory:.0f}", f"{time.perf_counter() - started:.0f}"]


_MEASURED = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1000, file=sys.stderr)
sys.exit(code)
"""


def main() -> None:
    """Both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--points", type=int, default=2000)
    options = parser.parse_args()
    headings = ["", "controller CPU s a job", "controller MB", "wall s so far"]
    show("A grid, planned", ["points", *headings[1:]], [grid(options.points // part) for part in (4, 2, 1)])
    show("A study", ["trials done", *headings[1:]], study(options.trials))


if __name__ == "__main__":
    main()
