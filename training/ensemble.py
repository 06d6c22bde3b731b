"""An ensemble of a sweep's runs, from their stored predictions alone: no network is run.

python -m training.ensemble outputs/grid
python -m training.ensemble outputs/grid --size 20 --out ensembles/grid

Greedy forward selection with replacement on val (Caruana et al. 2004, "Ensemble selection from libraries of models",
ICML): the best runs first, as many as are best together; then again and again the run that raises the val accuracy of
the averaged probabilities most (on a tie: lowers their log loss most); what was best on the way is kept. Then test is
read, once. Writes ensemble.json, ensemble_predictions_val.npz and ensemble_predictions_test.npz.
"""

import argparse
import io
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from scipy.special import softmax

from training.console.program import add_trust, parser_for, run_program
from training.console.progress import bar
from training.console.table import print_lines, print_table
from training.engine.predictions import Predictions, summarize
from training.errors import ConfigError
from training.finished.comparison import compare, interval, sentence
from training.finished.finished_runs import (
    FinishedRun,
    StoredPredictions,
    done_runs,
    first_names,
    largest_group,
    read_predictions,
    warn,
)
from training.run_folder import predictions_file, write_json, write_whole
from training.schema.checks import need

SIZE = 50  # runs in an ensemble, one counted as often as it was taken
FILE = "ensemble.json"
Score = tuple[int, float]


@dataclass(frozen=True)
class Chosen:
    """How often each candidate was taken; how many of the best it began with, and the val accuracy in per cent with
    each one more, beyond what was kept too."""

    counts: list[int]
    initial: int
    path: list[float]


def score(total: np.ndarray, labels: np.ndarray) -> Score:
    """The more, the better: images put in their class, and minus the log loss of the mean probabilities. `total`: the
    sum of some runs' probabilities, [N, classes]."""
    true = total[np.arange(len(labels)), labels] / total.sum(1)
    return int((total.argmax(1) == labels).sum()), float(np.log(np.maximum(true, 1e-15)).mean())


def choose(probabilities: Sequence[np.ndarray], labels: np.ndarray, size: int) -> Chosen:
    """Select on val. `probabilities`: [N, classes] of each candidate, the best candidate first; at most `size` are
    taken in all. What comes out is by `score` never behind the best candidate, since that is where it begins."""
    total = np.zeros(probabilities[0].shape)
    path: list[tuple[Score, int]] = []
    for index in range(min(size, len(probabilities))):
        total += probabilities[index]
        path.append((score(total, labels), index))
    initial = 1 + max(range(len(path)), key=lambda place: path[place][0])  # the fewest of those that are as good
    path = path[:initial]
    total = sum((one.astype(np.float64) for one in probabilities[:initial]), np.zeros_like(total))
    with bar("choosing", size - initial) as advance:
        while len(path) < size:
            scores = [score(total + one, labels) for one in probabilities]
            index = max(range(len(scores)), key=scores.__getitem__)
            total += probabilities[index]
            path.append((scores[index], index))
            advance()
    kept = 1 + max(range(initial - 1, len(path)), key=lambda place: path[place][0])
    counts = np.bincount([index for _, index in path[:kept]], minlength=len(probabilities))
    return Chosen(counts.tolist(), initial, [100 * right / len(labels) for (right, _), _ in path])


def candidates(folder: Path) -> tuple[list[tuple[FinishedRun, StoredPredictions]], list[FinishedRun]]:
    """The done runs of a sweep with their val predictions, the best first, and those that can't go with them: of other
    images, labels or classes, or without predictions. Raises ConfigError."""
    runs = done_runs(folder)
    val: dict[str, StoredPredictions] = {}
    for run in runs:
        try:
            val[run.name] = read_predictions(run.folder, "val")
        except ConfigError as error:
            warn(f"left out: {error}")
    readable = [run for run in runs if run.name in val]
    need(bool(readable), f"{folder}: no run in it has predictions of the val images")

    def key(run: FinishedRun) -> tuple[object, ...]:
        stored = val[run.name]
        return *run.same_data, stored.image_hash, stored.logits.shape

    kept = largest_group(readable, key)
    others = [run for run in readable if run not in kept]
    if others:
        warn(f"left out, as they are of other images, splits or classes than the rest: {first_names(others)}")
    return [(run, val[run.name]) for run in kept], [run for run in runs if run not in kept]


def probabilities_of(stored: StoredPredictions) -> np.ndarray:
    """float32 [N, classes]: of many runs they fill the memory."""
    shares: np.ndarray = softmax(stored.logits.astype(np.float64), axis=1).astype(np.float32)
    return shares


def mean_of(parts: Sequence[np.ndarray], counts: Sequence[int]) -> np.ndarray:
    """The weighted mean of probabilities, as logits (their log): softmax gives it back."""
    total = sum(count * part.astype(np.float64) for part, count in zip(parts, counts, strict=True) if count)
    logits: np.ndarray = np.log(np.maximum(total / sum(counts), 1e-30))
    return logits


def read_test(runs: Sequence[FinishedRun]) -> list[StoredPredictions]:
    """Of each run. Raises ConfigError unless all are of the same images and labels."""
    found = [read_predictions(run.folder, "test") for run in runs]
    for run, stored in zip(runs, found, strict=True):
        ok = stored.image_hash == found[0].image_hash and stored.logits.shape == found[0].logits.shape
        file = run.folder / predictions_file("test")
        need(ok, f"{file}: other test images or labels than those of {runs[0].name}, on the same data")
    return found


@dataclass(frozen=True)
class Ensemble:
    """Candidates, which of them were chosen, and the predictions of the three that are compared, by split."""

    candidates: list[FinishedRun]
    chosen: Chosen
    ensemble: dict[str, StoredPredictions]
    single: dict[str, StoredPredictions]
    average: dict[str, StoredPredictions]
    accuracies: list[tuple[float, float]]  # val and test of each candidate, in per cent


def make(runs: list[tuple[FinishedRun, StoredPredictions]], size: int) -> Ensemble:
    """Choose on val, then read test. Raises ConfigError."""
    labels = runs[0][1].labels
    runs = sorted(runs, key=lambda run: score(softmax(run[1].logits.astype(np.float64), axis=1), labels), reverse=True)
    candidates, val = [run for run, _ in runs], [stored for _, stored in runs]
    shares = {"val": [probabilities_of(stored) for stored in val]}
    chosen = choose(shares["val"], labels, size)
    test = read_test(candidates)  # from here on nothing is chosen any more
    shares["test"] = [probabilities_of(stored) for stored in test]
    first = {"val": val[0], "test": test[0]}

    def of(counts: Sequence[int]) -> dict[str, StoredPredictions]:
        return {
            split: StoredPredictions(one.names, one.labels, mean_of(shares[split], counts))
            for split, one in first.items()
        }

    accuracies = [
        (100 * float(v.correct.mean()), 100 * float(t.correct.mean())) for v, t in zip(val, test, strict=True)
    ]
    single = of([1] + [0] * (len(candidates) - 1))
    return Ensemble(candidates, chosen, of(chosen.counts), single, of([1] * len(candidates)), accuracies)


def figures(made: Ensemble, left_out: Sequence[FinishedRun]) -> dict[str, Any]:
    """What ensemble.json says; accuracies in per cent."""
    single = made.candidates[0]
    classes = tuple(single.record.data.classes or ())

    def scores(predictions: dict[str, StoredPredictions]) -> dict[str, Any]:
        summaries = {split: summarize(_with_loss(stored), classes) for split, stored in predictions.items()}
        return summaries | {"test_95": interval(predictions["test"].correct)}

    rows = zip(made.candidates, made.chosen.counts, made.accuracies, strict=True)
    members = [
        {"run": run.name, "identity": run.identity, "seed": run.seed, "count": count}
        | {"weight": count / sum(made.chosen.counts), "val_acc": val, "test_acc": test}
        for run, count, (val, test) in rows
    ]
    return {
        "schema": 1,
        "members": [member for member in members if member["count"]],
        "ensemble": scores(made.ensemble),
        "best_single": {"run": single.name, "identity": single.identity, "seed": single.seed} | scores(made.single),
        "average_of_all": {"runs": len(members)} | scores(made.average),
        "against_best_single": compare(made.ensemble["test"].correct, made.single["test"].correct),
        "selection": asdict(made.chosen) | {"candidates": [run.name for run in made.candidates]},
        "left_out": [run.name for run in left_out],
        "data": {"fingerprint": single.record.data.fingerprint, "classes": list(classes)},
    }


def _with_loss(stored: StoredPredictions) -> Predictions:
    loss = -score(np.exp(stored.logits.astype(np.float64)), stored.labels)[1]
    return Predictions(stored.labels, stored.logits, loss)


def save(out: Path, made: Ensemble, content: dict[str, Any]) -> None:
    """The three files, ensemble.json last."""
    for split, stored in made.ensemble.items():
        buffer = io.BytesIO()
        logits = stored.logits.astype(np.float32)
        np.savez_compressed(buffer, id=stored.names, label=stored.labels, logits=logits)
        write_whole(out / f"ensemble_{predictions_file(split)}", buffer.getvalue())
    write_json(out / FILE, content)


def show(console: Console, content: dict[str, Any]) -> None:
    """The table, and what it means."""
    chosen = [
        [one["run"], f"{one['weight']:.3f}", f"{one['val_acc']:.2f}", f"{one['test_acc']:.2f}", ""]
        for one in sorted(content["members"], key=lambda one: -one["weight"])
    ]
    count = content["average_of_all"]["runs"]
    names = {
        "ensemble": "ensemble",
        "best_single": "best single run by val",
        "average_of_all": f"average of all {count}",
    }
    compared = []
    for key, name in names.items():
        one = content[key]
        low, high = one["test_95"]
        compared.append([name, "", f"{one['val']['acc']:.2f}", f"{one['test']['acc']:.2f}", f"{low:.1f} to {high:.1f}"])
    print_table(console, ("run", "weight", "val_acc", "test_acc", "test_95"), chosen, compared, words=("run",))
    selection = (
        f"It was chosen among {count} runs on the same {content['ensemble']['val']['n']} val images that they were "
        "selected on, so its val accuracy is too high (selection bias)."
    )
    print_lines(console, (sentence("the ensemble", content["against_best_single"]), selection))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = parser_for("training.ensemble", __doc__)
    parser.add_argument("sweep", type=Path, metavar="SWEEP_FOLDER", help="a sweep, or a folder of sweeps")
    parser.add_argument("--size", type=int, default=SIZE, help=f"runs to take at most, one counted often ({SIZE})")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where to write (SWEEP_FOLDER)")
    add_trust(parser)
    return run_program(parser, _ensemble, arguments)


def _ensemble(options: argparse.Namespace) -> None:
    need(options.size >= 1, f"--size {options.size}: expected 1 or more")
    runs, left_out = candidates(options.sweep)
    need(len(runs) > 1, f"{options.sweep}: one finished run to take only ({runs[0][0].name}); expected two or more")
    made = make(runs, options.size)
    content = figures(made, left_out)
    out = options.out or options.sweep
    save(out, made, content)
    show(Console(), content)
    print(f"wrote {out / FILE}")


if __name__ == "__main__":
    sys.exit(main())
