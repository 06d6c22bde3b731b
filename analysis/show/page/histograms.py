"""Weight and gradient histograms by epoch, from the TensorBoard events that a run left."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import HISTOGRAMS, EventAccumulator

BINS, MOST_EPOCHS, MOST_TAGS = 32, 24, 8
TAIL = 0.02  # of the values, at each end, that is not drawn


def histograms(folder: Path) -> dict[str, list[tuple[int, Any]]]:
    """`weights/fc.weight` and the like -> (epoch, TensorBoard's histogram), at most MOST_EPOCHS of them, evenly."""
    events = EventAccumulator(str(folder), size_guidance={HISTOGRAMS: 0})
    try:
        events.Reload()
        tags = events.Tags()[HISTOGRAMS]
    except Exception:  # a file cut off in the middle, of whatever kind: the page does without
        return {}
    found = {}
    for tag in tags:
        steps = {event.step: event.histogram_value for event in events.Histograms(tag)}  # the last of each step
        chosen = sorted(steps)[:: -(-len(steps) // MOST_EPOCHS)]
        found[tag] = [(step, steps[step]) for step in chosen]
    return found


def panels(found: Mapping[str, dict[str, list[tuple[int, Any]]]]) -> dict[str, Any]:
    """What page.js draws, by layer (first and last ones where there are too many): bins that all runs share, and for
    each run the epochs and the proportion of values in each bin. `found`: histograms() by the label of the run."""
    tags = list(dict.fromkeys(tag for of_run in found.values() for tag in of_run))
    half = MOST_TAGS // 2
    drawn: dict[str, Any] = {}
    for tag in tags if len(tags) <= MOST_TAGS else [*tags[:half], *tags[-half:]]:
        series = {label: of_run[tag] for label, of_run in found.items() if tag in of_run}
        low, high = value_range([histogram for one in series.values() for _, histogram in one])
        edges = np.linspace(low, high, BINS + 1)
        runs = {}
        for label, one in series.items():
            proportions = np.array([rebinned(histogram, edges) for _, histogram in one])
            runs[label] = {"x": [epoch for epoch, _ in one], "z": proportions.T.round(3).tolist()}
        drawn[tag] = {"y": [float(f"{middle:.3g}") for middle in (edges[1:] + edges[:-1]) / 2], "runs": runs}
    return drawn


def value_range(found: Sequence[Any]) -> tuple[float, float]:
    """Where nearly all values lie: the middle of all histograms together; what is beyond is left out."""
    limits = np.concatenate([np.asarray(histogram.bucket_limit) for histogram in found])
    counts = np.concatenate([np.asarray(histogram.bucket) for histogram in found])
    order = np.argsort(limits)
    below = np.cumsum(counts[order]) / max(counts.sum(), 1e-12)
    inside = limits[order][(below >= TAIL) & (below <= 1 - TAIL)]
    least, most = min(float(one.min) for one in found), max(float(one.max) for one in found)
    low, high = (max(float(inside[0]), least), min(float(inside[-1]), most)) if len(inside) else (least, most)
    return (low, high) if high > low else (low - 1e-6, low + 1e-6)


def rebinned(histogram: Any, edges: np.ndarray) -> np.ndarray:
    """Proportion of the values in each bin of `edges`, from a histogram with other bins, values even within them."""
    limits = np.clip(np.concatenate([[histogram.min], histogram.bucket_limit]), histogram.min, histogram.max)
    total = np.concatenate([[0.0], np.cumsum(histogram.bucket)])
    total /= max(total[-1], 1e-12)
    limits, first = np.unique(limits, return_index=True)
    last = np.append(first[1:], len(total)) - 1  # of equal limits, all that lies at or below
    proportions: np.ndarray = np.diff(np.interp(edges, limits, total[last], left=0.0, right=1.0))
    return proportions
