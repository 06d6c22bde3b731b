"""Does the order that training.screen puts networks in hold after training?

python -m benchmarks.screen --out FOLDER [--sets trashnet digits materials damage] [--seeds 2] [--epochs 6] [--quick]

Eight networks of unlike worth (benchmarks/candidates.py; ImageNet's weights come from a package,
benchmarks/real_weights.py) are screened on each set and trained on it as a sweep would, with experiment=finetune. For
each figure of the screen: Kendall's tau-b with the accuracy that the sweep came to, the mean over the sets, with a 95 %
interval by the bootstrap over networks (the same in all sets) and seeds. Sets (benchmarks/photographs.py): TrashNet's
photographs (--photos), what their things are made of, what was done to them, and scikit-learn's digits.

The same command goes on with what isn't there yet. --quick: 48 px, 2 epochs, one seed.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.candidates import CANDIDATES, candidates
from benchmarks.measure import ROOT, python, show
from benchmarks.photographs import TRASHNET, damage, digits, materials, once

FIGURES = {"cv_acc": 1, "cv_log_loss": -1, "logme": 1, "probe_val_acc": 1, "knn_val_acc": 1}  # -1: less is better
SETS = ("trashnet", "digits", "materials", "damage")
DRAWS = 4000
# What a CPU is fastest at with depthwise convolutions
SETTINGS = ["trainer.precision=fp32", "trainer.memory_format=channels_last"]


@dataclass(frozen=True)
class Outcome:
    """Of the candidates on one set: what the screen said, [C] a figure, and accuracies in per cent [C, seeds]."""

    screen: dict[str, np.ndarray]
    val: np.ndarray
    test: np.ndarray
    seconds: np.ndarray  # of the screen, [C]
    minutes: float  # of the sweep


def tau(scores: np.ndarray, outcomes: np.ndarray) -> np.ndarray:
    """Kendall's tau-b of scores [..., C] and outcomes [..., C]; 0 where one side is constant."""
    one, other = (np.sign(values[..., :, None] - values[..., None, :]) for values in (scores, outcomes))
    pairs = np.sqrt((one**2).sum((-2, -1)) * (other**2).sum((-2, -1)))
    return np.divide((one * other).sum((-2, -1)), pairs, out=np.zeros_like(pairs), where=pairs > 0)


def pooled_tau(scores: np.ndarray, outcomes: np.ndarray) -> tuple[float, float, float]:
    """The mean over sets of tau between scores [sets, C] and outcomes [sets, C, seeds], which are averaged over seeds;
    and its 95 % interval, by the percentiles of a bootstrap over networks and seeds (Efron and Tibshirani 1993)."""
    draws = np.random.default_rng(0)
    count, seeds = outcomes.shape[1:]
    means = []
    for _ in range(DRAWS):
        some = draws.integers(0, count, count)
        mean = outcomes[:, some][:, :, draws.integers(0, seeds, seeds)].mean(2)
        means.append(tau(scores[:, some], mean).mean())
    low, high = np.quantile(means, [0.025, 0.975])
    return float(tau(scores, outcomes.mean(2)).mean()), float(low), float(high)


def run_set(root: Path, data: list[str], made: dict[str, list[str]], epochs: int, seeds: int) -> Outcome:
    """Screen and train what isn't there yet below `root`."""
    common = [*data, "tracking=none", *SETTINGS]
    table = root / "screen.csv"
    if not table.exists():
        runs = json.dumps([" ".join(words) for words in made.values()])
        python("-m", "training.screen", "-m", *common, f"hydra.sweeper.runs={runs}", "--csv", str(table))
    with table.open() as file:
        rows = list(csv.DictReader(file))
    paths = {name: words[-1].partition("=")[2] for name, words in made.items()}
    row_of = {name: next(row for row in rows if paths[name] in row["candidate"]) for name in made}
    accuracy = {split: np.zeros((len(made), seeds)) for split in ("val", "test")}
    minutes = 0.0
    training = [*common, "experiment=finetune", f"trainer.epochs={epochs}", f"sweep.root={root}"]
    for number, (name, words) in enumerate(made.items()):
        several = f"seed={','.join(map(str, range(seeds)))}"
        python("train.py", "-m", *training, *words, several, f"sweep.name={name}")
        for seed in range(seeds):
            (file_,) = (root / name).glob(f"*/seed={seed}/record.json")
            record = json.loads(file_.read_text())
            minutes += record["time"]["minutes"]
            for split, values in accuracy.items():
                values[number, seed] = record[split]["acc"]
        said = f"screen {float(row_of[name]['cv_acc']):.1f}, val {accuracy['val'][number].mean():.1f}"
        print(f"{root.name} {number + 1}/{len(made)} {name}: {said}", flush=True)
    screen = {figure: np.array([float(row[figure]) for row in row_of.values()]) for figure in FIGURES}
    seconds = np.array([float(row["seconds"]) for row in row_of.values()])
    return Outcome(screen, accuracy["val"], accuracy["test"], seconds, minutes)


def report(found: dict[str, Outcome]) -> None:
    """A table of each set, and the taus pooled over them."""
    for name, one in found.items():
        order = np.argsort(-one.val.mean(1), kind="stable")
        figures = [(one.screen[figure], ".3f" if figure in ("logme", "cv_log_loss") else ".1f") for figure in FIGURES]
        figures += [(one.val.mean(1), ".1f"), (one.test.mean(1), ".1f"), (one.seconds, ".1f")]
        cells = [[CANDIDATES[index], *(f"{values[index]:{form}}" for values, form in figures)] for index in order]
        show(f"{name} (sweep: {one.minutes:.0f} minutes)", ["", *FIGURES, "val", "test", "screen_s"], cells)
    rows = []
    for figure, sign in FIGURES.items():
        scores = np.array([sign * one.screen[figure] for one in found.values()])
        cells = [figure]
        for split in ("val", "test"):
            outcomes = np.array([getattr(one, split) for one in found.values()])
            middle, low, high = pooled_tau(scores, outcomes)
            each = ", ".join(f"{value:.2f}" for value in tau(scores, outcomes.mean(2)))
            cells += [f"{middle:.2f} [{low:.2f}, {high:.2f}]", each]
        rows.append(cells)
    names = ", ".join(found)
    show(f"Kendall's tau, {len(CANDIDATES)} networks", ["", "with val", names, "with test", names], rows)


def main() -> None:
    """Make, screen, train, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="a folder that stays")
    parser.add_argument("--photos", type=Path, default=TRASHNET, help="class folders below train/, val/ and test/")
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    root, photos = args.out.absolute(), args.photos.absolute()
    size, epochs, seeds = (48, 2, 1) if args.quick else (96, args.epochs, args.seeds)
    write: dict[str, Callable[[Path], Path]] = {
        "digits": digits,
        "materials": lambda folder: materials(photos, folder),
        "damage": lambda folder: damage(photos, folder),
    }
    os.environ["FINEGRID_CACHE"] = str(root / "cache")
    made = candidates(root / "candidates", size, 2 if args.quick else 8, SETTINGS)
    found = {}
    for name in args.sets:
        images = photos if name == "trashnet" else once(root / "images" / name, write[name])
        data = ["data=folder", f"data.root={images}", f"data.size={32 if name == 'digits' else size}"]
        found[name] = run_set(root / name, data, made, epochs, seeds)
    report(found)


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(map(str, error.cmd))} (in {ROOT}): {error.stderr}")
