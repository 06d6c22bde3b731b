"""A soup: the averaged weights of a sweep's runs that began at one point, as a run folder of its own.

python -m training.soup outputs/grid
python -m training.soup outputs/grid --model resnet50 --out soups/resnet50

Greedy model soup (Wortsman et al. 2022, arXiv 2203.05482): runs from the best by val on, each put into the average if
val accuracy doesn't fall by it. Val is evaluated with the real network, test once, at the end. BatchNorm's running
statistics are averaged as the other tensors are, not measured anew; whole numbers (its counters) are the best run's.
A head that began at random differs with the seed: such runs mix worse than runs of one seed, or of a checkpoint that
has the head already. The folder that comes out is one for training.predict, weights=checkpoint and the report.
"""

import argparse
import hashlib
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.console.program import add_trust, parser_for, run_program
from training.console.progress import bar
from training.errors import ConfigError
from training.finished.finished_runs import FinishedRun, comparable, done_runs, largest_group, warn
from training.models.removed_weights import removed
from training.record import Record, read_record, timestamp, write_beginning, write_record
from training.run_folder import BEST, MISTAKES, write_json, write_whole
from training.schema.checks import need
from training.schema.json_parts import from_keys
from training.schema.record_parts import Scores, SoupSummary, Times

if TYPE_CHECKING:
    from torch import Tensor

    from training.engine.predictions import Predictions
    from training.engine.prepare import Prepared
    from training.finished.evaluation import Evaluation

WHY = (
    "networks that began at different random weights lie in different valleys, and their average in none; "
    "begin with weights=default or weights=checkpoint"
)
NO_SHAPE = {"drop_path", "dropout", "accepts", "weights"}  # of a model's config: what leaves its tensors as they are


@dataclass
class Soup:
    """The mean of some runs' weights: `total` in float64, and what is no float from the first."""

    runs: list[FinishedRun]
    first: "dict[str, Tensor]"
    total: "dict[str, Tensor]"
    val_acc: float  # per cent
    started: datetime
    tried: list[dict[str, Any]] = field(default_factory=list)

    def weights(self) -> "dict[str, Tensor]":
        """The mean, in the runs' own types."""
        return mean(self.total, len(self.runs), self.first)


def mean(total: "dict[str, Tensor]", count: int, first: "dict[str, Tensor]") -> "dict[str, Tensor]":
    """`total` divided by `count`, completed by what is in `first` alone."""
    return {name: (total[name] / count).to(one.dtype) if name in total else one for name, one in first.items()}


def compatible(runs: list[FinishedRun], where: Path, model: str | None) -> list[FinishedRun]:
    """The largest group of runs that can be averaged, the best first. Raises ConfigError."""
    if model is not None:
        names = sorted({str(run.record.settings.model) for run in runs})
        runs = [run for run in runs if model in (run.record.settings.model, run.config.model.called)]
        need(bool(runs), f"--model {model}: no finished runs of it in {where}; there are {', '.join(names)}")
    started = [run for run in runs if run.record.resolved.weights != "none"]
    need(bool(started), f"{where}: every finished run has weights=none, which makes no soup: {WHY}")
    with_weights = [run for run in started if (run.folder / BEST).is_file()]
    gone = [why for run in started if (why := removed(run.folder))]
    if len(with_weights) < 2 and gone:
        raise ConfigError(f"{gone[0]}; a soup takes several, which sweep.keep_weights=K keeps")
    need(bool(with_weights), f"{where}: no {BEST} in its run folders")
    if gone:
        warn(f"{len(gone)} finished runs are left out: {gone[0]}")
    found = largest_group(with_weights, alike)
    enough = len(found) > 1
    need(enough, f"{where}: no two finished runs share model, starting weights, images and preprocessing: no soup")
    others = len(runs) - len(found)
    if others:
        warn(f"{others} of the {len(runs)} finished runs can't be averaged with the other {len(found)}: left out")
    return found


def alike(run: FinishedRun) -> tuple[object, ...]:
    """What has to agree: architecture, starting point, images, and how they come to the network."""
    data, resolved = run.config.data, run.record.resolved
    model = {name: value for name, value in asdict(run.config.model).items() if name not in NO_SHAPE}
    preprocessing = (resolved.normalize, data.eval_size, data.stored, data.resize)
    return *run.same_data, comparable(model), resolved.weights, *preprocessing


def choose(runs: Sequence[FinishedRun], evaluation: "Evaluation") -> Soup:
    """Choose on val. `runs`: the best by val first. Raises ConfigError."""
    from training.models.trained_model import read_weights

    trained, best = evaluation.trained, runs[0]
    started, first = datetime.now(UTC), read_weights(trained, best.folder, best.name)
    total = {name: one.double() for name, one in first.items() if one.is_floating_point()}
    soup = Soup([best], first, total, evaluation.predictions(first, "val").accuracy, started)
    if abs(soup.val_acc - best.val_acc) > 1e-6:
        warn(f"{best.name}: val acc {soup.val_acc:.2f} here, {best.val_acc:.2f} in its record")
    with bar("averaging", len(runs) - 1) as advance:
        for run in runs[1:]:
            weights = read_weights(trained, run.folder, best.name)
            total = {name: one + weights[name].double() for name, one in soup.total.items()}
            count = len(soup.runs) + 1
            val_acc = evaluation.predictions(mean(total, count, first), "val").accuracy
            taken = val_acc >= soup.val_acc
            soup.tried.append({"run": run.name, "val_acc": val_acc, "taken": taken})
            if taken:
                soup = replace(soup, runs=[*soup.runs, run], total=total, val_acc=val_acc)
            advance()
    return soup


def identity_of(soup: Soup) -> str:
    """Ten hex digits that name a soup: those of its runs, and of their weights."""
    parts = []
    for run in soup.runs:
        with (run.folder / BEST).open("rb") as file:
            parts.append([run.identity, run.seed, hashlib.file_digest(file, "sha256").hexdigest()])
    return hashlib.sha256(json.dumps(["soup", sorted(parts)]).encode()).hexdigest()[:10]


def prepared_as(soup: Soup, evaluation: "Evaluation", identity: str) -> "Prepared":
    """The best run as one of another name, whose weights are called after the soup."""
    from training.engine.identity import ResolvedSettings
    from training.engine.prepare import Prepared

    best, compute, dataset = soup.runs[0], evaluation.compute, evaluation.dataset
    sweep = best.folder.absolute().parents[1]
    place = replace(best.config.sweep, root=str(sweep.parent), name=sweep.name)
    resolved = ResolvedSettings(
        weights=f"soup of {len(soup.runs)}",
        normalize=str(best.record.resolved.normalize),
        precision=compute.precision,
        memory_format=compute.memory_format,
        fingerprint=dataset.fingerprint,
        drawn=tuple(dataset.drawn),
    )
    config = replace(best.config, seed=0, sweep=place)  # nothing is drawn for it
    return Prepared(config, dataset, compute, resolved, identity, "")


def write_soup(soup: Soup, evaluation: "Evaluation", out: Path | None, candidates: int) -> tuple[Path, Record]:
    """Read test, and leave a run folder; gives it and its record. Raises ConfigError where another run lies there."""
    from training.engine.predictions import save_predictions
    from training.engine.run_record import head_of_record
    from training.engine.tracking.mistakes import worst_mistakes
    from training.models.trained_model import weights_file

    identity, best = identity_of(soup), soup.runs[0]
    folder = out or best.folder.parents[1] / f"soup-{best.record.settings.model}-{identity}" / "seed=0"
    earlier = read_record(folder)
    need(earlier is None or earlier.is_soup, f"{folder}: a run lies there already; choose another --out")
    prepared, weights = prepared_as(soup, evaluation, identity), soup.weights()
    val, test = evaluation.predictions(weights, "val"), evaluation.predictions(weights, "test")
    about = head_of_record(prepared)
    write_beginning(folder, about)
    save_predictions(folder, prepared.dataset, val, test)
    write_json(folder / MISTAKES, {"images": worst_mistakes(prepared.dataset, test.labels, test.logits)})
    file = weights_file(weights, evaluation.trained.about | {"identity": identity, "seed": 0})
    write_whole(folder / BEST, file)
    record = replace(about, **outcome(soup, evaluation, val, test), soup=summary(soup, evaluation, test, candidates))
    record.time = times(soup)
    write_record(folder, record)
    return folder, record


def outcome(soup: Soup, evaluation: "Evaluation", val: "Predictions", test: "Predictions") -> dict[str, Any]:
    """What a record says of how it ended, as attributes: the same as a run's."""
    from training.engine.predictions import summarize

    classes = evaluation.dataset.classes
    return {
        "params": sum(parameter.numel() for parameter in evaluation.trained.model.parameters()),
        "threads": evaluation.threads,
        "status": "done",
        "epochs_run": 0,
        "val": from_keys(Scores, summarize(val, classes)),
        "test": from_keys(Scores, summarize(test, classes)),
    }


def summary(soup: Soup, evaluation: "Evaluation", test: "Predictions", candidates: int) -> SoupSummary:
    """How the soup was made, and how it compares with the best of its runs."""
    from training.finished.comparison import compare

    best, single = soup.runs[0], evaluation.predictions(soup.first, "test")
    right, single_right = (one.logits.argmax(1) == one.labels for one in (test, single))
    return SoupSummary(
        size=len(soup.runs),
        candidates=candidates,
        members=[
            {"run": run.name, "identity": run.identity, "seed": run.seed, "val_acc": run.val_acc} for run in soup.runs
        ],
        weights=best.record.resolved.weights,
        tried=soup.tried,
        best_single={"run": best.name, "test_acc": single.accuracy},
        against_best_single=compare(right, single_right),
    )


def times(soup: Soup) -> Times:
    """Of the whole of its making."""
    now = datetime.now(UTC)
    return Times(
        started=timestamp(soup.started),
        finished=timestamp(now),
        minutes=(now - soup.started).total_seconds() / 60,
        host=platform.node(),
        process=os.getpid(),
    )


def show(soup: Soup, record: Record) -> None:
    """What came out."""
    from rich.console import Console

    from training.console.table import print_lines, print_table
    from training.finished.comparison import sentence

    made = record.soup
    single_test = f"{(made.best_single or {})['test_acc']:.2f}"
    rows = [[run.name, f"{run.val_acc:.2f}", "" if number else single_test] for number, run in enumerate(soup.runs)]
    total = [f"soup of {made.size} of {made.candidates}", f"{record.val.acc:.2f}", f"{record.test.acc:.2f}"]
    console = Console()
    print_table(console, ("run", "val_acc", "test_acc"), rows, [total], words=("run",))
    selection = (
        f"It was chosen on the same {record.val.n} val images as its runs, so its val accuracy is too high "
        "(selection bias)."
    )
    print_lines(console, (sentence("the soup", made.against_best_single or {}), selection))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = parser_for("training.soup", __doc__)
    parser.add_argument("sweep", type=Path, metavar="SWEEP_FOLDER", help="a sweep, or a folder of sweeps")
    parser.add_argument("--model", metavar="NAME", help="of this model (of that with most runs that fit together)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="the run folder (SWEEP_FOLDER/soup-.../seed=0)")
    parser.add_argument("--device", default="auto", help="auto, cpu, mps, cuda or cuda:N")
    add_trust(parser)
    return run_program(parser, _soup, arguments)


def _soup(options: argparse.Namespace) -> None:
    runs = compatible(done_runs(options.sweep), options.sweep, options.model)
    from training.finished.evaluation import set_up_evaluation

    evaluation = set_up_evaluation(runs[0], options.device)
    soup = choose(runs, evaluation)
    if len(soup.runs) == 1:
        print(f"no other run makes it better on val: there is no soup, take {runs[0].folder}")
        return
    folder, record = write_soup(soup, evaluation, options.out, len(runs))
    show(soup, record)
    print(f"wrote {folder}")


if __name__ == "__main__":
    sys.exit(main())
