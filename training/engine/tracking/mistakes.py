"""The test images that a run got most confidently wrong, small enough to show in a report."""

import base64
import io
from typing import Any

import numpy as np

from training.data.dataset import Dataset
from training.data.files.decoding import BadImage, decode, to_rgb

SHOWN, SIDE = 24, 96  # images, and pixels of their longer side


def worst_mistakes(dataset: Dataset, labels: np.ndarray, scores: np.ndarray) -> list[dict[str, Any]]:
    """Of the test images, `labels` int64 [N] and class `scores` float32 [N, classes] in the order of
    dataset.split["test"]: at most SHOWN, the most confident first: id, label and guess (class names), probability (0 to
    1) of the guess, and a JPEG in base64."""
    logits = scores.astype(np.float64)
    logits -= logits.max(1, keepdims=True)
    probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    guesses = logits.argmax(1)
    wrong = np.flatnonzero(guesses != labels)
    wrong = wrong[np.argsort(-probability[wrong, guesses[wrong]], kind="stable")][:SHOWN]
    return [
        {
            "id": dataset.names[index := int(dataset.split["test"][row])],
            "label": dataset.classes[int(labels[row])],
            "guess": dataset.classes[int(guesses[row])],
            "probability": round(float(probability[row, guesses[row]]), 4),
            "jpeg": _thumbnail(dataset, index),
        }
        for row in wrong
    ]


def _thumbnail(dataset: Dataset, index: int) -> str:
    try:
        image = to_rgb(decode(lambda: dataset.load(index), dataset.path_or_name(index)))
    except BadImage:  # gone since it was evaluated: no reason to lose the run
        return ""
    image.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return base64.b64encode(buffer.getvalue()).decode()
