"""What each technique of docs/recipes.md brings by itself, on real photographs, and what it costs.

python -m benchmarks.techniques --weights real [--out FOLDER] [--slots 2] [--only ema mixup]
python -m benchmarks.techniques [--start RUN_FOLDER] ...

The plain defaults (--size 96 px, --epochs 8) against the same with one thing changed, in six folds of train and val, so
that every such image is judged once, by a network that has not trained on it. --weights real: EfficientNet-Lite0 from
ImageNet's weights (benchmarks/real_weights.py); else a resnet18 from the checkpoint of benchmarks/finetune.py, or from
--start. Points of accuracy against the defaults, fold by fold, as mean and 95 %
interval (Student's t over the folds); minutes a run as a share of theirs. Selection of the epoch
biases val accuracy upwards most for what jumps about from epoch to epoch; the test images say whether it does.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import ttest_1samp

from benchmarks import real_weights
from benchmarks.finetune import FAST, start
from benchmarks.measure import ROOT, python, show
from benchmarks.photographs import once

FOLDS = 6
BASE = "defaults"
TECHNIQUES = {
    BASE: [],
    "flip": ["augment=flip"],
    "crop": ["augment=standard"],
    "trivial": ["augment=flip", "augment.trivial=true"],
    "erasing": ["augment=flip", "augment.erasing=0.25"],
    "mixup": ["augment=flip", "augment.mixup=0.2"],
    "cutmix": ["augment=flip", "augment.cutmix=1"],
    "smoothing": ["trainer.label_smoothing=0.1"],
    "ema": ["trainer.ema=0.98"],
    "freeze": ["trainer.freeze_epochs=1"],
    "layer_decay": ["optimizer.layer_decay=0.75"],
    "probe": ["trainer.probe=true"],
    "wise": ["trainer.probe=true", "trainer.wise=true"],
    "muon": ["optimizer=muon"],
    "test_size": ["augment=standard", "data.test_size={larger}"],
    "linear_probe": ["trainer.freeze_epochs=all", "trainer.cache_features=true"],
    "head_lr": ["optimizer.head_lr_factor=10"],
    "tta": ["trainer.tta=flip"],
    "batch": ["trainer.batch_size=16"],
    "finetune": ["experiment=finetune"],
}


def outcomes(folder: Path) -> dict[int, dict[str, Any]]:
    """The record of each fold."""
    records = [json.loads(file.read_text()) for file in folder.glob("*/*/record.json")]
    return {record["fold"]: record for record in records}


def against(theirs: dict[int, dict[str, Any]], base: dict[int, dict[str, Any]], split: str) -> str:
    """Mean difference of the folds in points, and its interval."""
    points = np.array([theirs[fold][split]["acc"] - base[fold][split]["acc"] for fold in range(FOLDS)])
    if not points.any():
        return ""
    low, high = ttest_1samp(points, 0).confidence_interval()
    return f"{points.mean():+.1f} [{low:.1f}, {high:.1f}]"


def main() -> None:
    """Run what is not there yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=ROOT.parent / "shared" / "data" / "trashnet")
    parser.add_argument("--weights", choices=("textures", "real"), default="textures")
    parser.add_argument("--start", type=Path, help="a run folder or a file of weights")
    parser.add_argument("--size", type=int, default=96, help="px")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--slots", type=int, default=2, help="runs at a time")
    parser.add_argument("--only", nargs="+", default=list(TECHNIQUES), choices=list(TECHNIQUES))
    args = parser.parse_args()
    if args.start is not None and args.weights == "real":
        parser.error("--start is for --weights textures")
    with tempfile.TemporaryDirectory(prefix="finegrid-techniques-") as temporary:
        root = (args.out or Path(temporary)).absolute()
        if args.weights == "real":
            model, weights = [*real_weights.MODEL, *FAST], once(root / "lite0.safetensors", real_weights.write)
        else:
            model, weights = [], args.start or start(root, args.size)
        folds = [f"data.folds={FOLDS}", f"data.fold=range({FOLDS})", f"hydra.launcher.slots={args.slots}"]
        common = ["data=folder", f"data.root={args.root}", f"data.size={args.size}", f"sweep.root={root}", *folds]
        common += [*model, "tracking=none", f"trainer.epochs={args.epochs}"]
        common += ["weights=checkpoint", f"weights.path={weights}"]
        found = {}
        for name in dict.fromkeys([BASE, *args.only]):
            changed = [word.format(larger=args.size * 7 // 6) for word in TECHNIQUES[name]]
            python("train.py", "-m", *common, *changed, f"sweep.name={name}")
            found[name] = outcomes(root / name)
            print(f"{name} is done", flush=True)
    minutes = {name: np.mean([record["time"]["minutes"] for record in folds.values()]) for name, folds in found.items()}
    larger, network = args.size * 7 // 6, real_weights.NAME if args.weights == "real" else "resnet18"
    rows = []
    for name, records in found.items():
        ratio = f"{minutes[name] / minutes[BASE]:.2f}"
        means = [f"{np.mean([record[split]['acc'] for record in records.values()]):.2f}" for split in ("val", "test")]
        differences = [against(records, found[BASE], split) for split in ("val", "test")]
        rows.append([" ".join(TECHNIQUES[name]).format(larger=larger) or BASE, *means, *differences, ratio])
    title = f"{network}, {args.size} px, {args.epochs} epochs, {FOLDS} folds"
    show(title, ["", "val, %", "test, %", "val against", "test against", "time"], rows)


if __name__ == "__main__":
    main()
