"""Does the order that training.screen puts checkpoints in hold after training?

python -m benchmarks.screen

Makes six checkpoints on the digits 0 to 4 of scikit-learn's (resnet18 and resnet34 after 0, 1 and 4 epochs), screens
them on a few images of the digits 5 to 9 at 8 px, then trains each on those as a sweep would, with two seeds, and
compares the orders: Kendall's tau of the linear probe and of the neighbours with the sweep's val and test accuracy.
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.stats import kendalltau
from sklearn.datasets import load_digits

from benchmarks.measure import ROOT, python, show

NETWORKS, EPOCHS = ("resnet18", "resnet34"), (0, 1, 4)
COMMON = ["data=folder", "data.size=8", "tracking=none", "trainer.threads=1", "trainer.batch_size=16"]
LOOKS, SPLITS = ("probe_val_acc", "knn_val_acc"), ("val", "test")


def write(folder: Path, digits: range, train: int, val: int, test: int) -> Path:
    """Class folders of PNGs, so many of each digit."""
    data = load_digits()
    for digit in digits:
        images = iter(data.images[data.target == digit])
        for split, count in (("train", train), ("val", val), ("test", test)):
            place = folder / split / str(digit)
            place.mkdir(parents=True)
            for index in range(count):
                pixels = np.rint(next(images) * (255 / 16)).astype(np.uint8)
                Image.fromarray(pixels).save(place / f"{index:03}.png")
    return folder


def pretrained(root: Path, data: Path) -> dict[str, Path]:
    """Run folders: each network after so many epochs on other digits; 0 is one step that moves nothing."""
    always = [*COMMON, f"data.root={data}", f"model={','.join(NETWORKS)}", f"sweep.root={root}"]
    python("train.py", "-m", *always, "trainer.epochs=1", "debug.max_steps=1", "optimizer.lr=1e-30", "sweep.name=0")
    for epochs in EPOCHS[1:]:
        python("train.py", "-m", *always, f"trainer.epochs={epochs}", f"sweep.name={epochs}")
    folders = [*root.glob("*/*/seed=0")]
    return {f"{folder.parent.name.partition('-')[0]}-{folder.parents[1].name}": folder for folder in folders}


def compare(root: Path, data: Path, made: dict[str, Path]) -> tuple[list[dict[str, float | str]], dict[str, float]]:
    """A row a checkpoint: what the screen said, and what a sweep (two seeds) came to; and the seconds of both."""
    seconds = {"screen": 0.0, "sweep": 0.0}
    names = {str(folder): name for name, folder in made.items()}
    rows: dict[str, dict[str, float | str]] = {}
    for network in NETWORKS:
        paths = ",".join(path for path, name in names.items() if name.startswith(network))
        lines = [*COMMON, f"data.root={data}", f"model={network}", "weights=checkpoint", f"weights.path={paths}"]
        table = root / f"{network}.csv"
        seconds["screen"] += python("-m", "training.screen", "-m", *lines, "--csv", str(table))
        with table.open() as file:
            for row in csv.DictReader(file):
                name = next(name for path, name in names.items() if path in row["candidate"])
                rows[name] = {"candidate": name} | {look: float(row[look]) for look in LOOKS}
        more = ["trainer.epochs=3", "seed=0,1", f"sweep.root={root}", f"sweep.name={network}"]
        seconds["sweep"] += python("train.py", "-m", *lines, *more)
        for file in (root / network).glob("*/*/record.json"):
            record = json.loads(file.read_text())
            row = rows[names[record["config"]["weights"]["path"]]]
            for split in SPLITS:
                row[split] = float(row.get(split, 0.0)) + record[split]["acc"] / 2
    return sorted(rows.values(), key=lambda row: -float(row[LOOKS[0]])), seconds


def main() -> None:
    """Make, screen, train, compare."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="finegrid-screen-") as temporary:
        root = Path(temporary)
        os.environ["FINEGRID_CACHE"] = str(root / "cache")
        many = write(root / "many", range(5), train=60, val=10, test=10)
        few = write(root / "few", range(5, 10), train=12, val=60, test=80)
        rows, seconds = compare(root, few, pretrained(root / "made", many))
    columns = ["candidate", *LOOKS, *SPLITS]
    cells = [[row[name] if isinstance(row[name], str) else f"{row[name]:.2f}" for name in columns] for row in rows]
    show("network, epochs before", columns, cells)
    for look in LOOKS:
        for split in SPLITS:
            tau = kendalltau([row[look] for row in rows], [row[split] for row in rows])
            told = f"{tau.statistic:.2f} (p {tau.pvalue:.3f}, n {len(rows)})"
            print(f"Kendall's tau of {look} and the sweep's {split}: {told}")
    parts = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())
    print(f"{parts}, all {time.perf_counter() - started:.0f} s (Python starts twice for each)")


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(map(str, error.cmd))} (in {ROOT}): {error.stderr}")
