"""Which models and weights are worth training? A look at their features before a sweep.

python -m training.screen -m model=resnet18,resnet50,swin_t weights=default data=folder data.root=photos

Takes the settings of `train.py -m`: commas make all combinations, `sweeps=NAME` a recipe. The features that each
network has before it is trained are extracted once and kept (training/screening/features.py). Candidates are ranked by
a linear probe, cross-validated over the train and val images (training/screening/ranking.py; cv, with its interval over
the folds), beside which stand LogME, and a probe and nearest neighbours that were fitted on train and judged on val
(training/screening/probe.py). Settings that change training alone make no new candidate. No test image is read. How far
the order is that after training: docs/recipes.md.
"""

import argparse
import csv
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.statistics import inference
from training.config import RunConfig
from training.console.program import add_trust, parser_for, run_program
from training.data.dataset import Dataset, open_without_test
from training.engine.prepare import Prepared, prepare
from training.errors import ConfigError, Impossible
from training.run_folder import write_whole
from training.schema.checks import need
from training.schema.settings import model_name

if TYPE_CHECKING:
    from training.screening.features import Features
    from training.screening.probe import Probed
    from training.screening.ranking import Promise, Verdict

ALPHA = 0.05


@dataclass
class Candidate:
    """A network with its initial weights, on some images. `label`: the settings that tell it from the others."""

    overrides: list[str]
    prepared: Prepared
    label: str = ""
    same: int = 0  # jobs of the sweep that differ from it in training alone


@dataclass(frozen=True)
class Screened:
    """A candidate and what was seen of it."""

    candidate: Candidate
    features: "Features"
    promise: "Promise"
    verdict: "Verdict"
    probed: "Probed"

    @property
    def worth(self) -> bool:
        """Whether it can't be told from the best."""
        return self.verdict.p >= ALPHA


def candidates(lines: Sequence[str]) -> tuple[list[Candidate], list[str]]:
    """What there is to compare, each once; and what was left out as impossible. Raises ConfigError."""
    from sweeps.plan.configs import sweep_configs
    from training.screening.features import key

    found: dict[str, Candidate] = {}
    impossible: list[str] = []
    for overrides, run in sweep_configs(lines):
        try:
            prepared = prepare(run, open_without_test(run.data))
        except Impossible as error:
            if run.sweep.impossible == "error":
                line = " ".join(overrides)
                raise ConfigError(f"{error} (in `{line}`; sweep.impossible=skip leaves such out)") from error
            impossible.append(str(error))
            continue
        one = found.setdefault(key(prepared), Candidate(overrides, prepared))
        one.same += one.overrides is not overrides
    need(bool(found), "nothing to screen: every combination is impossible")
    everyone = list(found.values())
    first = everyone[0].prepared.dataset
    for one in everyone:
        data = one.prepared.dataset
        ok = val_names(data) == val_names(first) and data.classes == first.classes
        need(ok, "screen compares on the same val images; these candidates have different ones (data.*)")
    for one in everyone:
        telling = [line for line in one.overrides if not all(line in other.overrides for other in everyone)]
        one.label = " ".join(telling) or called(one.prepared.config)
    return everyone, impossible


def val_names(dataset: Dataset) -> list[str]:
    """The val images of a data set."""
    return [dataset.names[index] for index in dataset.split["val"]]


def screen(lines: Sequence[str]) -> tuple[list[Screened], list[str]]:
    """The candidates, the most promising first; and what was left out. Raises ConfigError."""
    everyone, impossible = candidates(lines)
    from training.screening.features import features_of
    from training.screening.probe import probe
    from training.screening.ranking import judge, promise

    seen: list[tuple[Features, Promise, Probed]] = []
    for number, one in enumerate(everyone, start=1):
        dataset = one.prepared.dataset
        features = features_of(one.prepared)
        labels, val_labels = (dataset.labels[dataset.split[name]] for name in ("train", "val"))
        both = np.concatenate([features.train, features.val]), np.concatenate([labels, val_labels])
        promised = promise(*both)
        probed = probe(features.train, labels, features.val, val_labels, promised.strength)
        seen.append((features, promised, probed))
        accuracy = 100 * promised.accuracy.mean()
        how = "from the cache" if features.cached else f"in {features.seconds:.1f} s"
        print(f"{number}/{len(everyone)} {one.label}: features {how}, probe {accuracy:.2f} %", file=sys.stderr)
    verdicts = judge([promised for _, promised, _ in seen])
    zipped = zip(everyone, seen, verdicts, strict=True)
    result = [
        Screened(one, features, promised, verdict, probed) for one, (features, promised, probed), verdict in zipped
    ]
    return sorted(result, key=lambda one: (-one.verdict.share, one.promise.log_loss.mean())), impossible


def called(config: RunConfig) -> str:
    """The name of its model."""
    return model_name(config.model._target_, config.model.name, config.model.accepts)


def row(one: Screened) -> dict[str, Any]:
    """A line of the CSV; accuracies in per cent."""
    config, verdict, promised = one.candidate.prepared.config, one.verdict, one.promise
    val_share, n_val = float(one.probed.linear.mean()), len(one.probed.linear)
    low, high = inference.wilson(val_share, n_val)
    return {
        "candidate": one.candidate.label,
        "model": called(config),
        "weights": config.weights.source,
        "weights_resolved": one.candidate.prepared.resolved.weights,
        "probe_val_acc": round(100 * val_share, 4),
        "probe_low": round(100 * low, 4),
        "probe_high": round(100 * high, 4),
        "knn_val_acc": round(100 * float(one.probed.knn.mean()), 4),
        "p": float(f"{verdict.p:.3g}"),
        "worth_training": one.worth,
        "features": one.features.val.shape[1],
        "features_s": round(one.features.seconds, 3),
        "cached": one.features.cached,
        "probe_s": round(promised.seconds + one.probed.seconds, 3),
        "C": promised.strength,
        "k": one.probed.neighbours,
        "cv_acc": round(100 * verdict.share, 4),
        "cv_low": round(100 * verdict.low, 4),
        "cv_high": round(100 * verdict.high, 4),
        "cv_log_loss": round(float(promised.log_loss.mean()), 5),
        "logme": round(promised.whole_logme, 5),
        "logme_sd": round(float(promised.logme.std(ddof=1)), 5),
        "seconds": round(one.features.seconds + promised.seconds + one.probed.seconds, 3),
    }


def show(found: Sequence[Screened], impossible: Sequence[str]) -> None:
    """The table for the eye, and what it means."""
    from rich.console import Console

    from training.console.table import print_lines, print_table

    lines = []
    for one in found:
        cells = row(one)
        interval = f"{cells['cv_low']:.1f} to {cells['cv_high']:.1f}"
        numbers = [f"{cells['cv_acc']:.2f}", interval, f"{cells['logme']:.3f}"]
        numbers += [f"{cells['probe_val_acc']:.2f}", f"{cells['knn_val_acc']:.2f}"]
        p = "best" if one is found[0] else f"{one.verdict.p:.2g}"
        mark = "" if one.worth else "worse"
        words = (one.candidate.label, cells["weights_resolved"])
        lines.append([*words, *numbers, p, f"{cells['seconds']:.1f}", mark])
    headings = ("candidate", "weights_resolved", "cv", "95 %", "logme", "probe_val", "knn_val", "p", "seconds", "")
    console = Console()
    print_table(console, headings, lines, words=("candidate", "weights_resolved"))
    same = sum(one.candidate.same for one in found)
    notes = [f"{same} combination(s) more differ in training alone: the same features"] if same else []
    notes += [f"left out: {why}" for why in dict.fromkeys(impossible)]
    print_lines(console, [*notes, advice(found)])


def advice(found: Sequence[Screened]) -> str:
    """Which candidates are worth training."""
    worth = [one.candidate.label for one in found if one.worth]
    folds = len(found[0].promise.accuracy)
    text = f"worth training: {'; '.join(worth)}"
    if len(found) == 1:
        return f"{text} (nothing to compare it with)"
    rest = "these can't be told from the best" if len(worth) > 1 else "the best alone, the others are visibly worse"
    return f"{text} ({rest} in {folds} folds of train and val; corrected t test, Holm, p < {ALPHA:g})"


def write_csv(file: Path, found: Sequence[Screened]) -> None:
    """A row a candidate, whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(row(found[0])), lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(row, found))
    write_whole(file, text.getvalue().encode())


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    from sweeps.hydra_glue.messages import one_line

    parser = parser_for("training.screen", __doc__)
    parser.add_argument("-m", "--multirun", action="store_true", help="as for train.py; commas do the same without it")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE[,VALUE]", help="settings, as for train.py -m")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the table there, too")
    add_trust(parser)
    return run_program(parser, _screen, arguments, one_line)


def _screen(options: argparse.Namespace) -> None:
    found, impossible = screen(options.overrides)
    if options.csv is not None:
        write_csv(options.csv, found)
    show(found, impossible)


if __name__ == "__main__":
    sys.exit(main())
