"""Labels that a trained network doubts, from its predictions of val images that it was not trained on."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from training.auditing.findings import Finding
from training.data.dataset import Dataset
from training.errors import ConfigError
from training.finished.finished_runs import read_predictions
from training.schema.checks import need

MISSING = 'suspected labels (--run, --features) need cleanlab: pip install "finegrid[audit]"'


def suspected(dataset: Dataset, runs: Sequence[Path]) -> list[Finding]:
    """The val images of the runs in folders `runs` whose labels are probably wrong by confident learning (Northcutt,
    Jiang and Chuang 2021, JAIR 70), the most suspect first. The folds of one configuration have every train and val
    image in one of them; where an image is in val of several, their mean counts. Raises ConfigError where cleanlab is
    not installed, and for a run on other images."""
    check_package()
    sums: dict[int, np.ndarray] = {}
    for run in runs:
        rows, chances = _of_run(dataset, run)
        for row, one in zip(rows.tolist(), chances, strict=True):
            sums[row] = sums[row] + one if row in sums else one
    rows = np.array(sorted(sums), dtype=np.int64)
    chances = np.stack([sums[row] / sums[row].sum() for row in rows.tolist()])
    return doubts(dataset, rows, chances)


def doubts(dataset: Dataset, rows: np.ndarray, chances: np.ndarray) -> list[Finding]:
    """The images `rows` [n] whose labels are probably wrong by `chances` [n, classes] from networks that were not
    trained on them, the most suspect first. Raises ConfigError where cleanlab is not installed."""
    check_package()
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    labels = dataset.labels[rows]
    quality = get_label_quality_scores(labels, chances)
    doubted = find_label_issues(labels, chances, return_indices_ranked_by="self_confidence", n_jobs=1)
    found = []
    for row in doubted.tolist():
        label, guess = (dataset.classes[int(one)] for one in (labels[row], chances[row].argmax()))
        score = round(1 - float(quality[row]), 4)
        found.append(Finding("suspected label", f"labelled {label}, looks like {guess}", (int(rows[row]),), score))
    return found


def check_package() -> None:
    """Raise ConfigError where cleanlab is not installed."""
    need(importlib.util.find_spec("cleanlab") is not None, MISSING)


def _of_run(dataset: Dataset, run: Path) -> tuple[np.ndarray, np.ndarray]:
    """The val images of a run, indices [n], and the chance of each class [n, classes]. Raises ConfigError."""
    predictions = read_predictions(run, "val")
    where = {name: index for index, name in enumerate(dataset.names)}
    unknown = [str(name) for name in predictions.names if str(name) not in where]
    need(not unknown, f"--run {run}: it has val images that aren't here, such as {' '.join(unknown[:1])}")
    rows = np.array([where[str(name)] for name in predictions.names], dtype=np.int64)
    if predictions.logits.shape[1] != len(dataset.classes) or (dataset.labels[rows] != predictions.labels).any():
        raise ConfigError(f"--run {run}: its val images have other labels here")
    return rows, _softmax(predictions.logits.astype(np.float64))


def _softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    chances: np.ndarray = shifted / shifted.sum(1, keepdims=True)
    return chances
