"""What frozen features promise: a cross-validated linear probe and LogME, with their spread over folds."""

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # comes with scikit-learn

from analysis.statistics import inference

STRENGTHS = np.logspace(-4, 1, 6)  # sklearn's C, an inverse weight of the penalty
FOLDS = 5
MOST = 5000  # images on which candidates are ranked
SMALL = 20_000_000  # numbers, for which threads cost more than they bring, on a busy machine thirty times more
FLOOR = 1e-6  # least probability that counts in a log loss


@dataclass(frozen=True)
class Promise:
    """Of the images held out, fold by fold [K]: the share in their class, and the log loss; LogME of those that were
    not; all folds' C, and seconds. Folds are the same for all candidates on the same images."""

    accuracy: np.ndarray
    log_loss: np.ndarray
    logme: np.ndarray
    whole_logme: float  # of all images
    strength: float
    images: int  # held out in all folds together
    seconds: float


def promise(features: np.ndarray, labels: np.ndarray) -> Promise:
    """Of `features` float32 [N, D] with int64 `labels` [N]; of a draw of MOST of them where there are more.

    The probe is a multinomial logistic regression on standardized features (Kornblith et al. 2019, arXiv 1805.08974).
    The C that a fold is judged with is the one of least log loss on the other folds.
    """
    started = time.perf_counter()
    features, labels = _few(features.astype(np.float64), labels)
    classes = int(labels.max()) + 1
    parts = _folds(labels)
    right = np.zeros((len(STRENGTHS), len(parts)))
    loss = np.zeros_like(right)
    with threadpool_limits(1 if features.size < SMALL else None):
        for fold, (fitted, held) in enumerate(parts):
            for row, scores in enumerate(_probabilities(features[fitted], labels[fitted], features[held], classes)):
                right[row, fold] = (scores.argmax(1) == labels[held]).mean()
                loss[row, fold] = -np.log(np.maximum(scores[np.arange(len(held)), labels[held]], FLOOR)).mean()
        evidence = np.array([logme(features[fitted], labels[fitted]) for fitted, _ in parts])
        whole = logme(features, labels)
    others = loss.sum(1, keepdims=True) - loss  # [C, K]: a fold has no say in its own
    chosen = others.argmin(0)
    every = np.arange(len(parts))
    strength = float(STRENGTHS[loss.sum(1).argmin()])
    seconds = time.perf_counter() - started
    return Promise(right[chosen, every], loss[chosen, every], evidence, whole, strength, len(labels), seconds)


def _few(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(labels) <= MOST:
        return features, labels
    counts = np.bincount(labels)
    stratify = labels if counts[counts > 0].min() > 1 and len(counts) < MOST // 2 else None
    kept = train_test_split(np.arange(len(labels)), train_size=MOST, stratify=stratify, random_state=0)[0]
    return features[kept], labels[kept]


def _folds(labels: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Indices of the fitted and the held out images. A class with fewer images than folds is not in all of them."""
    most = int(np.bincount(labels).max())
    if most < 2:
        return list(KFold(2, shuffle=True, random_state=0).split(labels))
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        return list(StratifiedKFold(min(FOLDS, most), shuffle=True, random_state=0).split(labels, labels))


def _probabilities(fitted: np.ndarray, labels: np.ndarray, held: np.ndarray, classes: int) -> np.ndarray:
    """float64 [C, held, classes], for each strength."""
    found = np.zeros((len(STRENGTHS), len(held), classes))
    if len(np.unique(labels)) == 1:
        found[:, :, labels[0]] = 1
        return found
    scaler = StandardScaler().fit(fitted)
    fitted, held = scaler.transform(fitted), scaler.transform(held)
    if fitted.shape[1] > len(fitted):  # the solution lies in their span: the same regression in fewer numbers
        basis = np.linalg.svd(fitted, full_matrices=False)[2].T
        fitted, held = fitted @ basis, held @ basis
    model = LogisticRegression(max_iter=300, warm_start=True)
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):  # close is close enough
        for row, strength in enumerate(STRENGTHS):
            model.set_params(C=strength).fit(fitted, labels)
            found[row][:, model.classes_] = model.predict_proba(held)
    return found


def logme(features: np.ndarray, labels: np.ndarray) -> float:
    """Log evidence an image of linear regressions from `features` float64 [N, D] to each class (You et al. 2021, arXiv
    2102.11005; by the fixed point of You et al. 2022, JMLR 23), the means over classes. Higher is better."""
    count, width = features.shape
    if count > width:
        squares, axes = np.linalg.eigh(features.T @ features)
        squares = np.maximum(squares, 0)
        sizes = np.sqrt(squares)
        keep = sizes > sizes.max() * 1e-7
        squares, turned = squares[keep], (features @ axes[:, keep]) / sizes[keep]
    else:
        turned, sizes, _ = np.linalg.svd(features, full_matrices=False)
        keep = sizes > sizes.max() * 1e-7
        squares, turned = sizes[keep] ** 2, turned[:, keep]
    return float(np.mean([_evidence(turned, squares, labels == label) for label in np.unique(labels)]))


def _evidence(turned: np.ndarray, squares: np.ndarray, target: np.ndarray) -> float:
    """Of one class, an image. `turned` [N, R]: orthonormal; `squares` [R]: of the singular values."""
    count, target = len(target), target.astype(np.float64)
    parts = (turned.T @ target) ** 2
    outside = max(float(target @ target - parts.sum()), 0.0)
    ratio, evidence = 1.0, 0.0  # of the precisions of weights and noise
    for _ in range(50):
        effective = (squares / (squares + ratio)).sum()
        weights = (squares * parts / (squares + ratio) ** 2).sum()
        residual = (parts * (ratio / (squares + ratio)) ** 2).sum() + outside
        alpha, beta = effective / (weights + 1e-12), (count - effective) / (residual + 1e-12)
        evidence = (len(squares) * np.log(alpha) + count * np.log(beta) - np.log(alpha + beta * squares).sum()) / 2
        evidence -= (beta * residual + alpha * weights + count * np.log(2 * np.pi)) / 2
        before, ratio = ratio, alpha / beta
        if abs(ratio - before) <= 1e-3 * before:
            break
    return float(evidence) / count


@dataclass(frozen=True)
class Verdict:
    """Share of images put in their class, with a 95 % interval, all three proportions; and p that the best is no
    better."""

    share: float
    low: float
    high: float
    p: float


def judge(promises: Sequence[Promise]) -> list[Verdict]:
    """Each of several candidates by its share of held out images put in their class, against the best of them, whose
    p is 1; corrected over all comparisons (Holm 1979). All were judged on the same images in the same folds."""
    values = [one.accuracy for one in promises]
    best = int(np.argmax([value.mean() for value in values]))
    others = [index for index in range(len(values)) if index != best]
    raw = [_p_equal(values[index] - values[best]) for index in others]
    p = dict(zip(others, inference.holm(raw), strict=True))
    return [
        Verdict(float(one.accuracy.mean()), *_interval(one), p.get(index, 1.0)) for index, one in enumerate(promises)
    ]


def _interval(one: Promise) -> tuple[float, float]:
    """By the spread over folds with Student's t, and no narrower than the number of images allows (Wilson)."""
    mean = float(one.accuracy.mean())
    half = inference.t_quantile(len(one.accuracy) - 1) * _error(one.accuracy)
    low, high = inference.wilson(mean, one.images)
    return max(0.0, min(low, mean - half)), min(1.0, max(high, mean + half))


def _p_equal(differences: np.ndarray) -> float:
    """Two-sided p that the mean of differences by folds [K] is 0: the corrected resampled t test."""
    error = _error(differences)
    if error == 0:
        return 0.0 if differences.any() else 1.0
    return inference.t_test(float(differences.mean()) / error, len(differences) - 1)


def _error(values: np.ndarray) -> float:
    """Standard error of the mean over K folds. Their training images overlap, hence the second summand, the number of
    held out images by that of fitted ones (Nadeau and Bengio 2003, Machine Learning 52)."""
    folds = len(values)
    return float(values.std(ddof=1) * np.sqrt(1 / folds + 1 / (folds - 1)))
