"""Do experiment=finetune and experiment=scratch beat the plain defaults? Five seeds of each, on real photographs.

python -m benchmarks.finetune [--start RUN_FOLDER] [--out FOLDER]

The starting point of finetune is a resnet18 that is trained here on textures (benchmarks/textures.py, some minutes),
for want of ImageNet's weights; --start takes another run's. Photographs: --root, trashnet by default, at --size 96 px.
The same command again goes on, if --out names a folder that stays.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.measure import ROOT, python
from benchmarks.textures import write


def start(root: Path, size: int) -> Path:
    """A run folder: resnet18 trained on textures."""
    pictures = root / "textures"
    if not pictures.exists():
        write(pictures)
    common = ["data=folder", f"data.root={pictures}", f"data.size={size}", "augment=flip", "trainer.epochs=8"]
    python("train.py", *common, "tracking=none", f"sweep.root={root}", "sweep.name=start")
    (folder,) = (root / "start").glob("*/seed=0")
    return folder


def main() -> None:
    """Train the start, run both recipes, let the report judge, and see what an ensemble and a soup of them add."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=ROOT.parent / "shared" / "data" / "trashnet")
    parser.add_argument("--start", type=Path, help="a run folder or a file of weights")
    parser.add_argument("--size", type=int, default=96, help="px")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--slots", type=int, help="runs at a time")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="finegrid-finetune-") as temporary:
        root = args.out or Path(temporary)
        weights = args.start or start(root, args.size)
        common = ["data=folder", f"data.root={args.root}", f"data.size={args.size}", f"sweep.root={root}"]
        common += ["tracking=none", *([f"hydra.launcher.slots={args.slots}"] if args.slots else [])]
        begin = {"finetune": ["weights=checkpoint", f"weights.path={weights}"], "scratch": []}
        for recipe, words in begin.items():
            seconds = python("train.py", "-m", f"sweeps={recipe}", *common, *words)
            print(f"{recipe}: {seconds / 60:.1f} minutes")
            python("-m", "analysis.report", str(root / recipe), show=True)
            python("-m", "training.ensemble", str(root / recipe), show=True)
        python("-m", "training.soup", str(root / "finetune"), show=True)


if __name__ == "__main__":
    main()
