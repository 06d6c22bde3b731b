"""What two trainings at once cost each other: images/s of `python train.py`, alone and two side by side.

python -m benchmarks.shared_machine [--spin] [--windows 7] [--repeats 1] [trainer.threads=1 ...]

resnet18 on the digits at 32 px, as two people on one machine would start them: the first has all cores, the second what
it leaves, one. More overrides are for both: trainer.threads=2, trainer.precision=bf16. Images/s in epochs of four
batches, from a second epoch that all runs have begun to the window's end, so that none trains alone while the other
starts or ends; medians. `share` is what one of two gets of what it has alone: 0.5 is a fair half. --spin adds rows with
OMP_WAIT_POLICY=ACTIVE, where threads that wait for each other spin. Two to five minutes; a setting that a busy machine
makes slower than --limit-s goes by the epochs that it has. Whatever else runs counts: the title says how busy the
machine was before.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import ROOT, show, spread

STEPS = 4  # batches of 64 an epoch: half a second to some ten seconds
WARM = 1  # epochs of each run that don't count


def rates(
    count: int, windows: int, limit_s: float, variables: dict[str, str], overrides: list[str]
) -> list[list[float]]:
    """Of each of `count` runs at once, images/s in its epochs, while all of them train."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "train.py", "model=resnet18", "data=digits", "data.size=32", "tracking=none"]
        command += ["trainer.epochs=100000", f"debug.max_steps={STEPS}", f"sweep.root={folder}", *overrides]
        names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
        environment = {name: value for name, value in os.environ.items() if name not in names} | variables
        runs = [
            subprocess.Popen(
                [*command, f"seed={seed}"],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for seed in range(count)
        ]
        try:
            return _watched(runs, Path(folder), windows, limit_s)
        finally:
            for run in runs:
                run.kill()
                run.wait()


def _watched(runs: list["subprocess.Popen[bytes]"], folder: Path, windows: int, limit_s: float) -> list[list[float]]:
    """Wait until each run has that many epochs since the last of them was warm, or until the time is over."""
    started, first = time.monotonic(), None
    while True:
        if any(run.poll() is not None for run in runs):
            raise SystemExit(f"a run ended, with exit code {max(run.poll() or 0 for run in runs)}")
        files = sorted(folder.glob("*/*/seed=*/history.csv"))
        found = [_epochs(file) for file in files]
        if first is None and len(found) == len(runs) and all(len(epochs) > WARM for epochs in found):
            first = [len(epochs) for epochs in found]
        counted = [epochs[begin:] for epochs, begin in zip(found, first, strict=True)] if first else []
        late = time.monotonic() - started > limit_s
        if counted and min(map(len, counted)) >= (1 if late else windows):
            return counted
        if time.monotonic() - started > 3 * limit_s:
            raise SystemExit(f"not one epoch in {3 * limit_s:.0f} s: the machine is too busy to measure anything")
        time.sleep(0.1)


def _epochs(file: Path) -> list[float]:
    """Images/s of each epoch; the last line may be under way."""
    lines = file.read_text().splitlines(keepends=True)
    return [float(row["images_per_s"]) for row in csv.DictReader(line for line in lines if line.endswith("\n"))]


def main() -> None:
    """Alone and two at once by turns, so that a change of the machine's speed hits both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=7, help="epochs of each run that count")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--limit-s", type=float, default=120)
    parser.add_argument("--spin", action="store_true")
    parser.add_argument("overrides", nargs="*", help="of both runs")
    args = parser.parse_args()
    ways: dict[str, dict[str, str]] = {"as it is": {}}
    if args.spin:
        ways["threads that spin"] = {"OMP_WAIT_POLICY": "ACTIVE"}
    load = os.getloadavg()[0]
    alone: dict[str, list[float]] = {name: [] for name in ways}
    both: dict[str, list[float]] = {name: [] for name in ways}
    shares: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(args.repeats):
        for name, variables in ways.items():
            (one,) = rates(1, args.windows, args.limit_s, variables, args.overrides)
            two = rates(2, args.windows, args.limit_s, variables, args.overrides)
            middle = sorted(one)[len(one) // 2]
            alone[name] += one
            both[name] += [rate for run in two for rate in run]
            shares[name] += [sorted(run)[len(run) // 2] / middle for run in two]
    rows = [
        [name, spread(alone[name], ".0f"), spread(both[name], ".0f"), spread(shares[name]), str(len(both[name]))]
        for name in ways
    ]
    title = (
        f"Images/s by epoch, median (least to largest); {os.cpu_count()} cores; load average before: {load:.1f}, "
        + ("a quiet machine" if load < 0.5 else "not a quiet machine")
    )
    show(title, ["threads", "alone", "each of two", "share", "epochs of two"], rows)


if __name__ == "__main__":
    main()
