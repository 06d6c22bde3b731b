"""How long sweeps=lab2_table takes here: the sweep itself, for two small numbers of epochs, and by these for its 100.

python -m benchmarks.lab2 [--epochs 2 6] [--images 1481] [--size 224] [--root FOLDER] [OVERRIDE ...]

The table's own numbers are 1481 train, 165 val and 350 test images at 224 px, batches of 16, 20 runs of 100 epochs. It
runs as `python train.py -m sweeps=lab2_table` does, in as many slots as that takes, with all that is outside of epochs:
planning, start-up, records, predictions. Two sweeps, since what a run costs once has to be told from what it costs an
epoch. --root: class folders below train, val and test (trashnet by default, or noise where that is not there), repeated
where there are fewer images. OVERRIDE: for example hydra.launcher.slots_per_gpu=1, hydra.launcher.mps=off. Weights are
random, since others would have to be downloaded; where that is possible, weights=default takes those.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.measure import ROOT, show
from benchmarks.photographs import subset

RUNS, EPOCHS, IMAGES, VAL, TEST, CLASSES = 20, 100, 1481, 165, 350, 4  # of sweeps/lab2_table.yaml and its report
TRASHNET = ROOT.parent / "shared" / "data" / "trashnet"


def noise(folder: Path, count: int = 24, size: int = 256) -> Path:
    """Class folders below train, val and test, of images that nobody can learn: for time alone."""
    draw = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for name in range(CLASSES):
            place = folder / split / f"class{name}"
            place.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(draw.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(place / f"{number}.jpg")
    return folder


def sweep(data: Path, outputs: Path, epochs: int, size: int, overrides: Sequence[str]) -> tuple[float, list[Any]]:
    """Wall seconds of the whole command, images decoded anew, and the records. Raises CalledProcessError."""
    words = ["sweeps=lab2_table", "data=folder", f"data.root={data}", f"data.size={size}", f"trainer.epochs={epochs}"]
    words += [f"sweep.root={outputs}", f"sweep.name=epochs{epochs}"]
    words += [] if any(word.startswith("weights=") for word in overrides) else ["weights=none"]
    command = [sys.executable, "train.py", "-m", *words, *overrides]
    started = time.perf_counter()
    environment = os.environ | {"FINEGRID_CACHE": str(outputs / f"cache{epochs}")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    took = time.perf_counter() - started
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout[-3000:], done.stderr[-3000:])
    for line in re.findall(r".*goes on from its last saved epoch.*", done.stdout):
        print(line)
    return took, [json.loads(file.read_text()) for file in (outputs / f"epochs{epochs}").glob("*/seed=*/record.json")]


def seconds_of(epochs: Sequence[int], took: Sequence[float], wanted: int = EPOCHS) -> float:
    """By two sweeps of so many epochs, each so many seconds, what one of `wanted` epochs takes."""
    an_epoch = (took[1] - took[0]) / (epochs[1] - epochs[0])
    return took[1] + an_epoch * (wanted - epochs[1])


def lab2(
    root: Path,
    epochs: int | Sequence[int],
    images: int = IMAGES,
    size: int = 224,
    overrides: Sequence[str] = (),
) -> None:
    """Run both sweeps, show what they took, and add up. `epochs`: of both, or of the longer one."""
    both = sorted((max(1, epochs // 3), max(2, epochs))) if isinstance(epochs, int) else sorted(epochs)
    if len(set(both)) != 2:
        raise ValueError("two different numbers of epochs, such as 2 and 6")
    rows, took = [], []
    with tempfile.TemporaryDirectory() as folder:
        source = root if root.is_dir() else noise(Path(folder, "noise"))
        subset(source, Path(folder, "data"), images, VAL * images // IMAGES, TEST * images // IMAGES)
        for count in both:
            wall, records = sweep(Path(folder, "data"), Path(folder, "outputs"), count, size, overrides)
            took.append(wall)
            spans = [
                [datetime.fromisoformat(record["time"][key]) for key in ("started", "finished")] for record in records
            ]
            busy = sum((end - start).total_seconds() for start, end in spans)
            trains = sum(sum(record["time"]["epoch_seconds"]) for record in records)
            largest = max((record.get("gpu_memory_mb") or 0.0 for record in records), default=0.0)
            rate = statistics.median(record["time"]["images_per_s"] for record in records)
            rows.append(
                [str(count), str(len(records)), f"{wall:.0f}", f"{busy / wall:.1f}", f"{1 - trains / busy:.0%}"]
            )
            rows[-1] += [f"{rate:.0f}", f"{largest:.0f}"]
    headings = ["epochs", "runs", "wall, s", "at once", "of a run not in training", "images/s a run, median", "most MB"]
    show(f"sweeps=lab2_table, {images} train images, {size} px", headings, rows)
    if took[1] <= took[0]:
        print("The longer sweep took no longer, which says nothing of 100 epochs: take more apart (--epochs 2 12).")
        return
    minutes = seconds_of(both, took) / 60
    print(f"By these, {EPOCHS} epochs of {images} images take {minutes:.1f} min, start-up included.")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=TRASHNET)
    parser.add_argument("--epochs", type=int, nargs=2, default=[2, 6])
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("overrides", nargs="*", metavar="OVERRIDE")
    args = parser.parse_args()
    lab2(args.root, args.epochs, args.images, args.size, args.overrides)


if __name__ == "__main__":
    main()
