"""Has a change made a recipe worse? Three recipes on three sets with five seeds, against the figures of quality.json.

python -m benchmarks.quality                 compare; exit code 1 where a recipe is worse, which is named
python -m benchmarks.quality --write         keep these figures, for whoever changes something next
python -m benchmarks.quality --with optimizer.lr=3e-4      what a setting would do to all of them

Recipes: the plain defaults and experiment=finetune from ImageNet's weights (benchmarks/real_weights.py), and
experiment=scratch. Sets (benchmarks/photographs.py): scikit-learn's digits, TrashNet's photographs (--photos), and what
the things on them are made of. On each set the old and the new rows are compared as the report compares rows, seeds and
test images both counted (analysis.statistics); p values are corrected over all comparisons (Holm), at 5 %. The least
difference that would be seen is printed too. The same command goes on where it was interrupted; what another version of
the code, its settings or torch made is made anew.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from analysis.statistics.differences import Difference, difference
from analysis.statistics.inference import holm
from analysis.statistics.noise import estimate_noise
from analysis.statistics.results import RowResults
from benchmarks import real_weights
from benchmarks.measure import ROOT, python, show
from benchmarks.photographs import TRASHNET, digits, materials, once
from training.provenance.code_version import code_version

FIGURES = Path(__file__).with_name("quality.json")
ALPHA = 0.05
WEIGHTS = [*real_weights.MODEL, "weights=checkpoint"]
RECIPES = {
    "defaults": [*WEIGHTS, "trainer.epochs=5"],
    "finetune": [*WEIGHTS, "experiment=finetune", "trainer.epochs=5"],
    "scratch": ["model=resnet18", "experiment=scratch", "trainer.epochs=8"],
}
SETS = {"digits": 32, "trashnet": 64, "materials": 64}  # px
# What a CPU of any kind computes in the same way
SETTINGS = ["tracking=none", "trainer.precision=fp32", "trainer.memory_format=channels_last", "sweep.keep_weights=1"]
Figures = dict[str, dict[str, Any]]  # of `set/recipe`


@dataclass(frozen=True)
class Changed:
    """How a recipe on a set differs from what was kept: points of test accuracy, p corrected over all of them."""

    name: str
    before: float
    now: float
    found: Difference
    p: float

    @property
    def worse(self) -> bool:
        """Beyond its noise."""
        return self.found.points < 0 and self.p < ALPHA


def compare(kept: Figures, now: Figures) -> list[Changed]:
    """Each of `now` with what was kept. Raises ValueError where that is missing or of other test images."""
    differences: dict[str, Difference] = {}
    for name in dict.fromkeys(key.partition("/")[0] for key in now):
        keys = [key for key in now if key.startswith(f"{name}/")]
        for key in keys:
            if key not in kept or kept[key]["images"] != now[key]["images"]:
                why = "none are kept" if key not in kept else "those that are kept are of other test images"
                raise ValueError(f"no figures of {key} to compare with: {why}; --write keeps these")
        rows = {(when, key): _row(figures[key]) for when, figures in (("kept", kept), ("now", now)) for key in keys}
        noise = estimate_noise({" ".join(pair): row for pair, row in rows.items()})
        differences |= {key: difference(rows["now", key], rows["kept", key], noise) for key in keys}
    corrected = dict(zip(differences, holm([one.p for one in differences.values()]), strict=True))
    means = {key: [float(np.mean(figures[key]["test"])) for figures in (kept, now)] for key in differences}
    return [Changed(key, *means[key], found, corrected[key]) for key, found in differences.items()]


def _row(figures: dict[str, Any]) -> RowResults:
    bits = [np.unpackbits(np.frombuffer(bytes.fromhex(text), dtype=np.uint8)) for text in figures["correct"]]
    correct = np.stack(bits)[:, : figures["n_test"]].astype(bool)
    val, test = (np.array(figures[split], dtype=float) for split in ("val", "test"))
    return RowResults(val, test, figures["n_test"], correct, figures["images"], figures["n_val"])


def figures_of(folders: Sequence[Path]) -> dict[str, Any]:
    """What is kept of the runs of one recipe on one set, a seed each."""
    records = [json.loads((folder / "record.json").read_text()) for folder in folders]
    correct, images = [], set()
    for folder in folders:
        with np.load(folder / "predictions_test.npz") as stored:
            order = np.argsort(stored["id"])
            right = (stored["logits"].argmax(1) == stored["label"])[order]
            images.add(hashlib.sha256("\n".join(stored["id"][order]).encode()).hexdigest()[:16])
        correct.append(np.packbits(right).tobytes().hex())
    (image_set,) = images
    found: dict[str, Any] = {split: [round(record[split]["acc"], 4) for record in records] for split in ("val", "test")}
    counts = {f"n_{split}": records[0][split]["n"] for split in ("val", "test")}
    return found | counts | {"images": image_set, "correct": correct}


def run(root: Path, photos: Path, sets: Sequence[str], recipes: Sequence[str], seeds: int, more: list[str]) -> Figures:
    """Train what isn't there yet; a figure by `set/recipe`."""
    os.environ["FINEGRID_CACHE"] = str(root / "cache")
    write: dict[str, Callable[[Path], Path]] = {
        "digits": digits,
        "materials": lambda folder: materials(photos, folder),
    }
    needed = any("weights=checkpoint" in RECIPES[recipe] for recipe in recipes)
    weights = once(root / "lite0.safetensors", real_weights.write) if needed else None
    every = [(name, recipe) for name in sets for recipe in recipes]
    found: Figures = {}
    for number, (name, recipe) in enumerate(every, start=1):
        images = photos if name == "trashnet" else once(root / "images" / name, write[name])
        words = [*SETTINGS, "data=folder", f"data.root={images}", f"data.size={SETS[name]}", *RECIPES[recipe], *more]
        folder = root / version([*RECIPES[recipe], *SETTINGS, *more]) / name
        path = [f"weights.path={weights}"] if "weights=checkpoint" in RECIPES[recipe] else []
        several = f"seed={','.join(map(str, range(seeds)))}"
        seconds = python("train.py", "-m", *words, *path, several, f"sweep.root={folder}", f"sweep.name={recipe}")
        runs = [next((folder / recipe).glob(f"*/seed={seed}")) for seed in range(seeds)]
        found[f"{name}/{recipe}"] = one = figures_of(runs)
        print(f"{number}/{len(every)} {name}/{recipe}: test {np.mean(one['test']):.2f} %, {seconds:.0f} s", flush=True)
    return found


def version(words: Sequence[str]) -> str:
    """8 hex digits for the code, torch, the settings in conf/ and these ones: what can change a result."""
    conf = [(file.relative_to(ROOT).as_posix(), file.read_text()) for file in sorted((ROOT / "conf").rglob("*.yaml"))]
    text = json.dumps([code_version(), torch.__version__, conf, list(words)])
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def report(changes: Sequence[Changed]) -> int:
    """Print what changed. Returns the exit code."""
    cells = []
    for one in changes:
        interval = f"{one.found.points:+.1f} [{one.found.low:.1f}, {one.found.high:.1f}]"
        seen = f"{(one.found.high - one.found.low) / 2:.1f}"
        mark = "WORSE" if one.worse else "better" if one.p < ALPHA else ""
        cells.append([one.name, f"{one.before:.2f}", f"{one.now:.2f}", interval, f"{one.p:.3g}", seen, mark])
    headings = ["", "kept", "now", "difference", "p (Holm)", "seen from", ""]
    show("test accuracy, %, mean of the seeds; differences in points", headings, cells)
    worse = [one.name for one in changes if one.worse]
    print(f"worse beyond the noise: {', '.join(worse)}" if worse else "no recipe is worse beyond its noise")
    return int(bool(worse))


def write_figures(file: Path, found: Figures, settings: dict[str, Any]) -> None:
    """Keep these figures, beside others that are there."""
    before = json.loads(file.read_text())["figures"] if file.exists() else {}
    about = settings | {"date": f"{datetime.now(UTC):%Y-%m-%d}", "torch": torch.__version__, "code": code_version()}
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in sorted((before | found).items())]
    body = ",\n".join(lines)
    file.write_text(f'{{"about": {json.dumps(about)},\n"figures": {{\n{body}\n}}}}\n')


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "outputs" / "quality", help="the runs; a folder that stays")
    parser.add_argument("--photos", type=Path, default=TRASHNET, help="class folders below train/, val/ and test/")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--with", nargs="+", default=[], metavar="KEY=VALUE", dest="more", help="in every recipe")
    parser.add_argument("--figures", type=Path, default=FIGURES, help="the file of the figures that are kept")
    parser.add_argument("--write", action="store_true", help="keep what is found, and compare with nothing")
    args = parser.parse_args(arguments)
    if not args.write and not args.figures.exists():
        parser.error(f"{args.figures}: no such file; --write makes it")
    found = run(args.out.absolute(), args.photos.absolute(), args.sets, args.recipes, args.seeds, args.more)
    if args.write:
        write_figures(args.figures, found, {"seeds": args.seeds, "with": args.more})
        print(f"{args.figures}: {len(found)} figures kept")
        return 0
    try:
        return report(compare(json.loads(args.figures.read_text())["figures"], found))
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(map(str, error.cmd))} (in {ROOT}): {error.stderr}")
