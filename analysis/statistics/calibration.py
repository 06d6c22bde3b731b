"""Whether predicted probabilities are true: expected calibration error with what chance makes of it, and temperature.

The error of a perfectly calibrated network is not 0 on a finite number of images. So labels are drawn from the
predicted probabilities again and again, and the error that comes of these is beside the one that was found.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

BINS = 15  # of equal width (Guo et al. 2017, arXiv 1706.04599)
DRAWS, SEED = 1000, 20240501
RANGE = 20.0  # temperatures from 1/20 to 20


@dataclass(frozen=True)
class Calibration:
    """Of one run on its test images, and `by_chance`: the mean and the 95 % quantile of the error of a network whose
    probabilities are true. `ece_scaled`: after the `temperature` that val asks for; nan without val."""

    ece: float
    by_chance: float
    by_chance_95: float
    temperature: float
    ece_scaled: float
    brier: float
    log_loss: float


@dataclass(frozen=True)
class Reliability:
    """Of each bin that has images: mean confidence, proportion right, images [bins], and the middle 95 % of the
    proportions that true probabilities would give, `low` and `high`."""

    confidence: np.ndarray
    right: np.ndarray
    images: np.ndarray
    low: np.ndarray
    high: np.ndarray


def calibration(
    labels: np.ndarray, logits: np.ndarray, val_labels: np.ndarray | None = None, val_logits: np.ndarray | None = None
) -> Calibration:
    """Of `labels` [N] and `logits` [N, classes] of the test images, and of the val images."""
    p = softmax(logits.astype(np.float64), axis=1)
    confidence, right = p.max(1), p.argmax(1) == labels
    drawn = _drawn_errors(confidence)
    temperature = scaled = np.nan
    if val_labels is not None and val_logits is not None:
        temperature = fit_temperature(val_labels, val_logits)
        after = softmax(logits.astype(np.float64) / temperature, axis=1).max(1)
        scaled = expected_error(after, right)
    truth = np.eye(p.shape[1])[labels]
    each = np.maximum(p[np.arange(len(labels)), labels], 1e-300)
    brier, loss = float(((p - truth) ** 2).sum(1).mean()), float(-np.log(each).mean())
    chance = float(drawn.mean()), float(np.quantile(drawn, 0.95))
    return Calibration(expected_error(confidence, right), *chance, temperature, scaled, brier, loss)


def expected_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error: mean distance of confidence and accuracy over bins, by their images [N]."""
    gaps = np.bincount(_bins(confidence), weights=right - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def fit_temperature(labels: np.ndarray, logits: np.ndarray) -> float:
    """What logits [N, classes] have to be divided by for the least log-loss; at the end of RANGE where nothing inside
    is better, as where all images are right."""

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(logits.astype(np.float64) / np.exp(log_temperature), axis=1)
        return float(-scaled[np.arange(len(labels)), labels].mean())

    end = float(np.log(RANGE))
    return float(np.exp(minimize_scalar(loss, bounds=(-end, end), method="bounded").x))


def reliability(confidence: np.ndarray, right: np.ndarray, runs: int = 1) -> Reliability:
    """The reliability diagram of images with this confidence, of which these are right [N]. `runs`: how many runs on
    the same images they are of, one after the other; what one run gets right by chance, the others do too then, so that
    three runs on 100 images are no 300 images."""
    bins = _bins(confidence)
    images = np.bincount(bins, minlength=BINS)
    there = images > 0
    of_bins = [np.bincount(bins, weights=one, minlength=BINS)[there] / images[there] for one in (confidence, right)]
    drawn = _draw(confidence, bins, runs)[:, there] / images[there]
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return Reliability(of_bins[0], of_bins[1], images[there], low, high)


def _bins(confidence: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    return found


def _drawn_errors(confidence: np.ndarray) -> np.ndarray:
    """The error of DRAWS sets of labels that were drawn from true probabilities [DRAWS]."""
    bins = _bins(confidence)
    expected = np.bincount(bins, weights=confidence, minlength=BINS)
    found: np.ndarray = np.abs(_draw(confidence, bins) - expected).sum(1) / len(confidence)
    return found


def _draw(confidence: np.ndarray, bins: np.ndarray, runs: int = 1) -> np.ndarray:
    """How many images of each bin are right where each is so with its confidence [DRAWS, BINS]."""
    generator = np.random.default_rng(SEED)
    found = np.empty((DRAWS, BINS))
    for draw in range(DRAWS):
        right = np.tile(generator.random(len(confidence) // runs), runs) < confidence
        found[draw] = np.bincount(bins, weights=right, minlength=BINS)
    return found
