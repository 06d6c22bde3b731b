"""What two trainings at once cost each other: images/s of `python train.py`, alone and two side by side.

python -m benchmarks.shared_machine [--epochs 2] [--repeats 3] [--spin]

resnet18 on the digits at 32 px, all cores each, as two people on one machine would start them (a run without -m claims
no slot). Images/s of whole epochs as the record has them, the first epoch left out where there are several. `share` is
what one of two gets of what it has alone: 0.5 is a fair half. --spin adds rows with OMP_WAIT_POLICY=ACTIVE, where
threads that wait for each other spin.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import ROOT, show, spread


def rates(count: int, epochs: int, variables: dict[str, str]) -> list[float]:
    """Images/s of `count` runs at once."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "train.py", "model=resnet18", "data=digits", "data.size=32", "tracking=none"]
        command += [f"trainer.epochs={epochs}", f"sweep.root={folder}"]
        names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
        environment = {name: value for name, value in os.environ.items() if name not in names} | variables
        runs = [
            subprocess.Popen([*command, f"seed={seed}"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
            for seed in range(count)
        ]
        if any([run.wait() for run in runs]):
            raise SystemExit("a run failed")
        return [_rate(json.loads(file.read_text())) for file in Path(folder).rglob("record.json")]


def _rate(record: dict[str, dict[str, list[float] | float]]) -> float:
    """Training images a second; of the epochs after the first, where there are several."""
    seconds, n = record["time"]["epoch_seconds"], record["data"]["n"]
    assert isinstance(seconds, list) and isinstance(n, dict)
    later = seconds[1:] or seconds
    return float(n["train"] * len(later) / sum(later))


def main() -> None:
    """Alone and two at once by turns, so that a change of the machine's speed hits both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--spin", action="store_true")
    args = parser.parse_args()
    ways: dict[str, dict[str, str]] = {"as it is": {}}
    if args.spin:
        ways["threads that spin"] = {"OMP_WAIT_POLICY": "ACTIVE"}
    alone: dict[str, list[float]] = {name: [] for name in ways}
    both: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(args.repeats):
        for name, variables in ways.items():
            alone[name] += rates(1, args.epochs, variables)
            both[name] += rates(2, args.epochs, variables)
    rows = []
    for name in ways:
        shares = [rate / alone[name][number // 2] for number, rate in enumerate(both[name])]  # of the same repeat
        rows.append([name, spread(alone[name], ".0f"), spread(both[name], ".0f"), spread(shares)])
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    title = f"Images/s, median (least to largest) of {args.repeats}; load averages at the end: {load}"
    show(title, ["threads", "alone", "each of two", "share"], rows)


if __name__ == "__main__":
    main()
