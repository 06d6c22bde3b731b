"""Labels that a trained network doubts, from its predictions of val images that it was not trained on."""

import importlib.util
from pathlib import Path

import numpy as np

from training.auditing.findings import Finding
from training.data.dataset import Dataset
from training.errors import ConfigError
from training.finished.finished_runs import read_predictions
from training.schema.checks import need

MISSING = 'suspected labels (--run) need cleanlab: pip install "finegrid[audit]"'


def suspected(dataset: Dataset, run: Path) -> list[Finding]:
    """The val images of the run in folder `run` whose labels are probably wrong by confident learning (Northcutt, Jiang
    and Chuang 2021, JAIR 70), the most suspect first. Raises ConfigError where cleanlab is not installed, and for a run
    on other images."""
    need(importlib.util.find_spec("cleanlab") is not None, MISSING)
    predictions = read_predictions(run, "val")
    where = {name: index for index, name in enumerate(dataset.names)}
    unknown = [str(name) for name in predictions.names if str(name) not in where]
    need(not unknown, f"--run {run}: it has val images that aren't here, such as {' '.join(unknown[:1])}")
    rows = np.array([where[str(name)] for name in predictions.names], dtype=np.int64)
    if predictions.logits.shape[1] != len(dataset.classes) or (dataset.labels[rows] != predictions.labels).any():
        raise ConfigError(f"--run {run}: its val images have other labels here")
    chances = _softmax(predictions.logits.astype(np.float64))
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    quality = get_label_quality_scores(predictions.labels, chances)
    doubted = find_label_issues(predictions.labels, chances, return_indices_ranked_by="self_confidence", n_jobs=1)
    found = []
    for row in doubted.tolist():
        label, guess = (dataset.classes[int(one)] for one in (predictions.labels[row], chances[row].argmax()))
        score = round(1 - float(quality[row]), 4)
        found.append(Finding("suspected label", f"labelled {label}, looks like {guess}", (int(rows[row]),), score))
    return found


def _softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    chances: np.ndarray = shifted / shifted.sum(1, keepdims=True)
    return chances
