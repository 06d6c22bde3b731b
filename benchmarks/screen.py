"""Does the order that training.screen puts checkpoints in hold after training?

python -m benchmarks.screen [--photos ../shared/data/trashnet]

Makes six checkpoints on the digits 0 to 4 of scikit-learn's (resnet18 and resnet34 after 0, 1 and 4 epochs), screens
them on a few images of the digits 5 to 9 at 8 px, then trains each on those as a sweep would, with two seeds, and
compares the orders: Kendall's tau of the linear probe and of the neighbours with the sweep's val and test accuracy.
--photos: the checkpoints are made on drawn textures (benchmarks/textures.py; 0, 1 and 8 epochs) and tried on these
photographs, at 96 px, in 8 epochs.
"""

import argparse
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

from benchmarks import textures
from benchmarks.measure import ROOT, python, show

NETWORKS = ("resnet18", "resnet34")
DIGITS = ["data=folder", "data.size=8", "tracking=none", "trainer.threads=1", "trainer.batch_size=16"]
PHOTOS = ["data=folder", "data.size=96", "tracking=none", "augment=flip"]
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


def pretrained(root: Path, always: list[str], epochs: tuple[int, ...]) -> dict[str, Path]:
    """Run folders: each network after so many epochs on other images; 0 is one step that moves nothing."""
    always = [*always, f"model={','.join(NETWORKS)}", f"sweep.root={root}"]
    python("train.py", "-m", *always, "trainer.epochs=1", "debug.max_steps=1", "optimizer.lr=1e-30", "sweep.name=0")
    for count in epochs:
        python("train.py", "-m", *always, f"trainer.epochs={count}", f"sweep.name={count}")
    folders = [*root.glob("*/*/seed=0")]
    return {f"{folder.parent.name.partition('-')[0]}-{folder.parents[1].name}": folder for folder in folders}


Rows = list[dict[str, float | str]]


def compare(root: Path, always: list[str], epochs: int, made: dict[str, Path]) -> tuple[Rows, dict[str, float]]:
    """A row a checkpoint: what the screen said, and what a sweep (two seeds) came to; and the seconds of both."""
    seconds = {"screen": 0.0, "sweep": 0.0}
    names = {str(folder): name for name, folder in made.items()}
    rows: dict[str, dict[str, float | str]] = {}
    for network in NETWORKS:
        paths = ",".join(path for path, name in names.items() if name.startswith(network))
        lines = [*always, f"model={network}", "weights=checkpoint", f"weights.path={paths}"]
        table = root / f"{network}.csv"
        seconds["screen"] += python("-m", "training.screen", "-m", *lines, "--csv", str(table))
        with table.open() as file:
            for row in csv.DictReader(file):
                name = next(name for path, name in names.items() if path in row["candidate"])
                rows[name] = {"candidate": name} | {look: float(row[look]) for look in LOOKS}
        more = [f"trainer.epochs={epochs}", "seed=0,1", f"sweep.root={root}", f"sweep.name={network}"]
        seconds["sweep"] += python("train.py", "-m", *lines, *more)
        for file in (root / network).glob("*/*/record.json"):
            record = json.loads(file.read_text())
            row = rows[names[record["config"]["weights"]["path"]]]
            for split in SPLITS:
                row[split] = float(row.get(split, 0.0)) + record[split]["acc"] / 2
    return sorted(rows.values(), key=lambda row: -float(row[LOOKS[0]])), seconds


def with_digits(root: Path) -> tuple[Rows, dict[str, float]]:
    """Five digits for the checkpoints, few images of the other five to try them on."""
    many = write(root / "many", range(5), train=60, val=10, test=10)
    few = write(root / "few", range(5, 10), train=12, val=60, test=80)
    made = pretrained(root / "made", [*DIGITS, f"data.root={many}"], (1, 4))
    return compare(root, [*DIGITS, f"data.root={few}"], 3, made)


def with_photos(root: Path, photos: Path) -> tuple[Rows, dict[str, float]]:
    """Textures for the checkpoints, photographs to try them on."""
    textures.write(root / "textures")
    made = pretrained(root / "made", [*PHOTOS, f"data.root={root / 'textures'}"], (1, 8))
    return compare(root, [*PHOTOS, f"data.root={photos}"], 8, made)


def main() -> None:
    """Make, screen, train, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="class folders below train/, val/ and test/")
    photos = parser.parse_args().photos
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="finegrid-screen-") as temporary:
        root = Path(temporary)
        os.environ["FINEGRID_CACHE"] = str(root / "cache")
        rows, seconds = with_photos(root, photos.absolute()) if photos else with_digits(root)
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
