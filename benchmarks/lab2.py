"""How long the 20 runs of sweeps=lab2_table take here, one after the other: a few epochs of each model, added up.

python -m benchmarks.lab2 [--epochs 3] [--images 1481]

The table's own numbers are 1481 train, 165 val and 350 test images at 224 px, batches of 16, 100 epochs: class folders
(--root, trashnet by default) with as many images, repeated where there are fewer. With --images fewer are trained on,
and an epoch's time is taken to grow with their number. The start of each process is added.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import ROOT, show
from benchmarks.photographs import subset

RUNS = {"resnet18": 5, "resnet34": 5, "resnet50": 5, "resnet101": 4, "swin_v2_s": 1}  # of sweeps/lab2_table.yaml
EPOCHS, IMAGES, VAL, TEST, SIZE, BATCH = 100, 1481, 165, 350, "224", "16"
TRASHNET = ROOT.parent / "shared" / "data" / "trashnet"


def measured(model: str, folder: Path, epochs: int) -> dict[str, float]:
    """images_per_s over whole epochs, first_s to the end of the first step, mb at the peak."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.loops", "ours", model, str(folder)]
    done = subprocess.run([*command, SIZE, BATCH, str(epochs)], cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def lab2(root: Path, epochs: int, images: int = IMAGES) -> None:
    """Measure each model, and add up."""
    rows, total = [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        subset(root, Path(folder, "some"), images, VAL * images // IMAGES, TEST * images // IMAGES)
        for model, runs in RUNS.items():
            found = measured(model, Path(folder, "some"), epochs)
            hours = (EPOCHS * IMAGES / found["images_per_s"] + found["first_s"]) / 3600
            total += runs * hours
            rows.append([model, f"{found['images_per_s']:.1f}", f"{hours:.2f}", str(runs), f"{runs * hours:.2f}"])
    rows.append(["all", "", "", str(sum(RUNS.values())), f"{total:.1f}"])
    show("sweeps=lab2_table", ["model", "images/s", "hours a run", "runs", "hours"], rows)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=TRASHNET)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--images", type=int, default=IMAGES)
    args = parser.parse_args()
    lab2(args.root, args.epochs, args.images)


if __name__ == "__main__":
    main()
