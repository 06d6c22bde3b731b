"""training.audit on a folder in which twins of all kinds, flipped labels and broken files were planted together.

python -m benchmarks.audit_folder FOLDER --features model=timm model.name=tf_efficientnet_lite0 weights=checkpoint \\
    weights.path=lite0.safetensors data.size=224
python -m benchmarks.audit_folder digits --folds 5 model=resnet18 data.size=32 trainer.epochs=8

FOLDER: CLASS/IMAGE below train/, val/, test/, or classes alone; digits: scikit-learn's, drawn with 64 px. --features:
doubts by a network before training; --folds: by that many runs, each trained without the images that it doubts. The
rest are settings of train.py.
"""

import argparse
import csv
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.audit import SEED, changes, digits
from training.audit import main as audit

FLIPPED, BROKEN, EACH = 0.03, 10, 20  # share of the labels; files; twins of a kind, at most
ENDINGS = (".jpg", ".jpeg", ".png")


def images_in(root: Path) -> list[Path]:
    """All of them, in the order of their names."""
    return sorted(file for file in root.rglob("*") if file.suffix.lower() in ENDINGS)


def write_digits(root: Path) -> Path:
    """CLASS/IMAGE.png."""
    from sklearn.datasets import load_digits

    for number, (image, label) in enumerate(zip(digits(64), load_digits().target, strict=True)):
        (root / str(label)).mkdir(parents=True, exist_ok=True)
        image.save(root / str(label) / f"{number:04}.png")
    return root


def plant(root: Path) -> tuple[dict[frozenset[str], str], set[str], set[str]]:
    """Change the folder: gives the pairs of twins with their kind, the images whose labels were flipped, and the broken
    files, all by their names."""
    random = np.random.default_rng(SEED)
    files = [images_in(root)[index] for index in random.permutation(len(images_in(root)))]
    ways = changes()
    each = min(EACH, len(files) // (2 * len(ways)))
    twins: dict[frozenset[str], str] = {}
    for kind, way in ways.items():
        for _ in range(each):
            file = files.pop()
            twin = file.with_name(f"twin-{len(twins)}.png")
            way(Image.open(file).convert("RGB")).save(twin)
            twins[frozenset(one.relative_to(root).as_posix() for one in (file, twin))] = kind
    flipped, broken = set(), set()
    for number in range(round(FLIPPED * len(images_in(root)))):
        file = files.pop()
        others = sorted(one for one in file.parent.parent.iterdir() if one.is_dir() and one != file.parent)
        place = others[int(random.integers(len(others)))] / f"flipped-{number}{file.suffix}"
        file.rename(place)
        flipped.add(place.relative_to(root).as_posix())
    for number in range(BROKEN):
        file = files[number]
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])
        broken.add(file.relative_to(root).as_posix())
    return twins, flipped, broken


def out_of_fold(root: Path, work: Path, folds: int, overrides: list[str]) -> list[str]:
    """Train the folds; gives the audit's arguments."""
    every = ",".join(map(str, range(folds)))
    command = [sys.executable, "train.py", "-m", "data=folder", f"data.root={root}", "data.on_bad=skip", *overrides]
    more = [f"data.folds={folds}", f"data.fold={every}", f"sweep.root={work}", "sweep.name=folds", "tracking=none"]
    subprocess.run([*command, *more], check=True, stdout=sys.stderr)
    return ["--run", str(work / "folds")]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("folder")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--folds", type=int)
    parser.add_argument("--features", action="store_true")
    options = parser.parse_intermixed_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        root = work / "data"
        if options.folder == "digits":
            write_digits(root)
        else:
            shutil.copytree(options.folder, root, copy_function=shutil.copyfile)
        clean = len(images_in(root))
        twins, flipped, broken = plant(root)
        more = ["--features"] if options.features else []
        if options.folds:
            more += out_of_fold(root, work, options.folds, options.overrides)
        audit(["data=folder", f"data.root={root}", *options.overrides, "--csv", str(work / "found.csv"), *more])
        tell(work / "found.csv", clean, twins, flipped, broken)
    return 0


def tell(file: Path, clean: int, twins: dict[frozenset[str], str], flipped: set[str], broken: set[str]) -> None:
    """What of it was found."""
    findings: dict[str, list[str]] = defaultdict(list)
    kinds, unreadable = {}, set()
    with file.open(newline="") as stream:
        for row in csv.DictReader(stream):
            kinds[row["finding"]] = row["kind"]
            if row["image"]:
                findings[row["finding"]].append(row["image"])
            elif row["kind"] == "unreadable":
                unreadable.add(row["what"])
    copies = {
        frozenset(images) for key, images in findings.items() if kinds[key] in ("leak", "near copies", "two labels")
    }
    found, planted = Counter(twins[pair] for pair in copies if pair in twins), Counter(twins.values())
    accused = set().union(*(pair for pair in copies if pair not in twins))
    print("twins:", ", ".join(f"{kind} {found[kind]} of {count}" for kind, count in planted.items()))
    print(f"accused of a twin that isn't theirs: {len(accused)} of {clean} ({100 * len(accused) / clean:.2f} %)")
    suspects = [images[0] for key, images in findings.items() if kinds[key] == "suspected label"]
    for name, some in (("k", suspects[: len(flipped)]), ("2k", suspects[: 2 * len(flipped)]), ("all", suspects)):
        hits = len(flipped & set(some))
        print(f"flipped labels: {hits} of {len(flipped)} within the first {name} suspects ({len(some)})")
    print(
        f"broken files: {len(broken & unreadable)} of {len(broken)} found, {len(unreadable - broken)} others said to be"
    )


if __name__ == "__main__":
    sys.exit(main())
