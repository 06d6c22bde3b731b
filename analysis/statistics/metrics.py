"""What rows can be judged by, as a value an image, so that seeds and images are crossed for all of them as they are for
accuracy (noise.py).

Accuracy, class-weighted accuracy, log-loss and the Brier score are means over images. Balanced accuracy and macro-F1
are not; their error comes from a bootstrap that draws images anew within each class, the same for all rows and seeds.
A drawn set stands in for an image there: its deviation is scaled up so that the variance of the mean comes out right.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.special import log_softmax, softmax

from analysis.statistics.comparisons import Comparison, Comparisons
from analysis.statistics.metric_names import Metric
from analysis.statistics.results import MeasuredResults, RowResults

DRAWS, LEAST_DRAWS, MOST_CELLS = 1000, 200, 20_000_000  # bootstrap samples, fewer of them of many images
SEED = 20240501  # the same runs have the same report


@dataclass(frozen=True)
class RunScores:
    """Of one run on one set of images: `labels` [N] int, `logits` [N, classes]; `weights`: of each class [classes]."""

    labels: np.ndarray
    logits: np.ndarray
    weights: np.ndarray | None = None

    @cached_property
    def guesses(self) -> np.ndarray:
        """The class with the highest score of each image [N]."""
        guesses: np.ndarray = self.logits.argmax(1)
        return guesses

    @property
    def classes(self) -> int:
        """How many there are to choose from."""
        return int(self.logits.shape[1])


def _weighted(scores: RunScores) -> np.ndarray:
    """Images of each class count by its weight, by default so that all classes count the same. The mean over images is
    the weighted accuracy; that the total of the weights is a draw too is allowed for (linearized ratio)."""
    right = scores.guesses == scores.labels
    counts = np.bincount(scores.labels, minlength=scores.classes)
    weights = 1 / np.maximum(counts, 1) if scores.weights is None else scores.weights
    each = weights[scores.labels]
    if each.sum() <= 0:
        return np.full(len(right), math.nan)
    accuracy = float((each * right).sum() / each.sum())
    found: np.ndarray = accuracy + each / each.mean() * (right - accuracy)
    return found


def _log_loss(scores: RunScores) -> np.ndarray:
    chosen = log_softmax(scores.logits.astype(np.float64), axis=1)[np.arange(len(scores.labels)), scores.labels]
    found: np.ndarray = -chosen
    return found


def _brier(scores: RunScores) -> np.ndarray:
    """The squared distance of the probabilities from the truth, 0 to 2 (Brier 1950, over all classes)."""
    p = softmax(scores.logits.astype(np.float64), axis=1)
    p[np.arange(len(scores.labels)), scores.labels] -= 1
    found: np.ndarray = (p**2).sum(1)
    return found


BY_IMAGE: dict[str, Callable[[RunScores], np.ndarray]] = {
    "accuracy": lambda scores: (scores.guesses == scores.labels).astype(np.float64),
    "weighted-accuracy": _weighted,
    "log-loss": _log_loss,
    "brier": _brier,
}


def value_of(metric: Metric, scores: RunScores) -> float:
    """The metric of one run as a proportion (log-loss and Brier as they are)."""
    if metric.by_image:
        return float(BY_IMAGE[metric.name](scores).mean())
    return float(_of_counts(metric, scores, np.ones((1, len(scores.labels))))[0])


def values_of(metric: Metric, scores: RunScores, drawn: np.ndarray | None) -> np.ndarray:
    """A value an image [N], or a drawn set [draws]: their mean is the metric, and their variance divided by N the one
    that the choice of images leaves in it. `drawn`: how often each set holds each image [draws, N]."""
    if drawn is None or metric.by_image:
        return BY_IMAGE[metric.name](scores)
    found = _of_counts(metric, scores, drawn)
    values: np.ndarray = value_of(metric, scores) + (found - found.mean()) * math.sqrt(len(scores.labels))
    return values


def draw_images(labels: np.ndarray) -> np.ndarray:
    """Sets of as many images of each class as there are, drawn with replacement: how often each holds each image
    [draws, N]. Images have to come in the same order for all runs."""
    draws = max(min(DRAWS, MOST_CELLS // len(labels)), LEAST_DRAWS)
    generator = np.random.default_rng(SEED)
    drawn = np.zeros((draws, len(labels)), dtype=np.float32)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        p = np.full(len(members), 1 / len(members))
        # n images drawn of n: a variance short by (n-1)/n, which the factor puts right; one image alone tells none
        stretch = math.sqrt(len(members) / max(len(members) - 1, 1))
        drawn[:, members] = 1 + stretch * (generator.multinomial(len(members), p, size=draws) - 1)
    return drawn


def _of_counts(metric: Metric, scores: RunScores, times: np.ndarray) -> np.ndarray:
    """The metric where each image counts so many `times` [draws, N]: [draws]."""
    every = np.arange(scores.classes)
    guessed = (scores.guesses[:, None] == every).astype(np.float32)
    right = guessed * (scores.guesses == scores.labels)[:, None]
    in_class = (scores.labels[:, None] == every).astype(np.float32)
    hits, there = times @ right, times @ in_class  # [draws, classes]
    if metric.name == "balanced-accuracy":
        found: np.ndarray = (hits / np.maximum(there, 1e-9)).mean(1)
        return found
    total = there + times @ guessed
    f1: np.ndarray = np.where(total > 1e-6, 2 * hits / np.maximum(total, 1e-6), 0.0)
    mean: np.ndarray = f1.mean(1)
    return mean


@dataclass(frozen=True)
class RunValues:
    """Of one run: the metric on val and on test, values_of() the test images, and which fold or split of the data it
    is."""

    val: float
    test: float
    values: np.ndarray
    part: int | None = None


def run_values(
    metric: Metric, val: RunScores, test: RunScores, drawn: np.ndarray | None, part: int | None = None
) -> RunValues:
    """Of one run. `drawn`: draw_images() of its test labels, for a metric that is no mean over images."""
    return RunValues(value_of(metric, val), value_of(metric, test), values_of(metric, test, drawn), part)


def results_by(metric: Metric, seeds: Sequence[RunValues], like: RowResults) -> MeasuredResults:
    """The results of a row by `metric`, so that higher is better. `like`: the same by accuracy. Runs on folds or splits
    of the data come in the order of these, so that rows on the same ones are compared part by part."""
    parts = [seed.part for seed in seeds if seed.part is not None]
    if len(parts) == len(seeds):
        seeds = sorted(seeds, key=lambda seed: seed.part or 0)
    of_parts = tuple(sorted(parts)) if len(set(parts)) == len(seeds) and like.parts else ()
    cells = min(len(seed.values) for seed in seeds)  # runs on images of their own may have one more or less
    val, test = (100 * metric.sign * np.array([getattr(seed, name) for seed in seeds]) for name in ("val", "test"))
    values = metric.sign * np.stack([seed.values[:cells] for seed in seeds])
    same = {name: getattr(like, name) for name in ("test_set_id", "n_val", "diverged", "own_images", "overlap")}
    return MeasuredResults(val, test, like.n_test, values, bounded=metric.bounded, parts=of_parts, **same)


def in_units(comparisons: Comparisons, metric: Metric) -> Comparisons:
    """`comparisons` of results_by() as the metric is shown: log-loss and Brier as they are, with lower the better."""
    factor = metric.sign * metric.scale / 100

    def shown(one: Comparison) -> Comparison:
        test = sorted((factor * one.test_low, factor * one.test_high))
        diff = sorted((factor * one.diff_low, factor * one.diff_high))
        low = max(test[0], 0.0)
        return replace(
            one, test_low=low, test_high=test[1], diff=factor * one.diff, diff_low=diff[0], diff_high=diff[1]
        )

    by_row: Mapping[str, Comparison] = {key: shown(one) for key, one in comparisons.by_row.items()}
    return replace(comparisons, by_row=by_row)
