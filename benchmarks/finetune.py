"""Do experiment=finetune and experiment=scratch beat the plain defaults? Five seeds of each, on real photographs.

python -m benchmarks.finetune --weights real --out FOLDER [--sets trashnet digits materials]
python -m benchmarks.finetune [--start RUN_FOLDER] [--out FOLDER]

--weights real: from ImageNet's weights (EfficientNet-Lite0, benchmarks/real_weights.py) at 160 px, or less where images
are smaller, in --epochs 8: plain defaults, experiment=finetune, and experiment=scratch from random weights, in one
table of the report for each set (benchmarks/photographs.py).

Without it the starting point of finetune is a resnet18 that is trained here on textures (benchmarks/textures.py, some
minutes) at 96 px; --start takes another run's. Then recipes, ensembles and a soup are tried on TrashNet alone, with the
epochs of the recipes.

Photographs: --photos. The same command again goes on, if --out names a folder that stays.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import real_weights
from benchmarks.measure import ROOT, python
from benchmarks.photographs import TRASHNET, damage, digits, materials, once
from benchmarks.textures import write

SETS = ("trashnet", "digits", "materials", "damage")
SIZES = {"digits": 32, "materials": 96}  # px, where the images are smaller than 160
# What a CPU is fastest at with depthwise convolutions
FAST = ["trainer.precision=fp32", "trainer.memory_format=channels_last"]


def start(root: Path, size: int) -> Path:
    """A run folder: resnet18 trained on textures."""
    pictures = once(root / "textures", write)
    common = ["data=folder", f"data.root={pictures}", f"data.size={size}", "augment=flip", "trainer.epochs=8"]
    python("train.py", *common, "tracking=none", f"sweep.root={root}", "sweep.name=start")
    (folder,) = (root / "start").glob("*/seed=0")
    return folder


def from_real_weights(root: Path, args: argparse.Namespace, words: list[str]) -> None:
    """For each set a sweep of three starts, and its report."""
    weights = once(root / "lite0.safetensors", real_weights.write)
    seeds = f"seed={','.join(map(str, range(args.seeds)))}"
    runs = [f"experiment=none,finetune weights=checkpoint weights.path={weights} {seeds}"]
    runs.append(f"experiment=scratch weights=none {seeds}")
    photos = args.photos.absolute()
    images: dict[str, Callable[[Path], Path]] = {
        "digits": digits,
        "materials": lambda folder: materials(photos, folder),
        "damage": lambda folder: damage(photos, folder),
    }
    for name in args.sets:
        folder = photos if name == "trashnet" else once(root / "images" / name, images[name])
        size = args.size or SIZES.get(name, 160)
        data = ["data=folder", f"data.root={folder}", f"data.size={size}", f"trainer.epochs={args.epochs}"]
        every = [*real_weights.MODEL, *data, *FAST, *words, f"hydra.sweeper.runs={json.dumps(runs)}"]
        seconds = python("train.py", "-m", *every, f"sweep.name={name}", *args.more)
        print(f"{name}, {size} px: {seconds / 60:.1f} minutes", flush=True)
        python("-m", "analysis.report", str(root / name), show=True)


def from_textures(root: Path, args: argparse.Namespace, words: list[str]) -> None:
    """Train the start, run both recipes, let the report judge, and see what an ensemble and a soup of them add."""
    size = args.size or 96
    weights = args.start or start(root, size)
    common = ["data=folder", f"data.root={args.photos}", f"data.size={size}", *words, *args.more]
    begin = {"finetune": ["weights=checkpoint", f"weights.path={weights}"], "scratch": []}
    for recipe, more in begin.items():
        seconds = python("train.py", "-m", f"sweeps={recipe}", *common, *more)
        print(f"{recipe}: {seconds / 60:.1f} minutes", flush=True)
        python("-m", "analysis.report", str(root / recipe), show=True)
        python("-m", "training.ensemble", str(root / recipe), show=True)
    python("-m", "training.soup", str(root / "finetune"), show=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", choices=("textures", "real"), default="textures")
    parser.add_argument(
        "--photos", "--root", type=Path, default=TRASHNET, help="class folders below train/, val/, test/"
    )
    parser.add_argument("--start", type=Path, help="a run folder or a file of weights, instead of textures")
    parser.add_argument("--sets", nargs="+", default=["trashnet", "digits", "materials"], choices=SETS)
    parser.add_argument("--size", type=int, help="px; 96; with real weights 160, or less where images are smaller")
    parser.add_argument("--epochs", type=int, default=8, help="with real weights")
    parser.add_argument("--seeds", type=int, default=5, help="with real weights")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--slots", type=int, help="runs at a time")
    parser.add_argument("--with", nargs="+", default=[], metavar="KEY=VALUE", dest="more", help="in every run")
    args = parser.parse_args()
    if args.start is not None and args.weights == "real":
        parser.error("--start is for --weights textures")
    with tempfile.TemporaryDirectory(prefix="finegrid-finetune-") as temporary:
        root = (args.out or Path(temporary)).absolute()
        words = [f"sweep.root={root}", "tracking=none"]
        words += [f"hydra.launcher.slots={args.slots}"] if args.slots else []
        {"real": from_real_weights, "textures": from_textures}[args.weights](root, args, words)


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(map(str, error.cmd))} (in {ROOT}): {error.stderr}")
