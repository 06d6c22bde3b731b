"""How well frozen features tell the classes: a linear probe and nearest neighbours, judged on val."""

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler, normalize
from threadpoolctl import threadpool_limits  # comes with scikit-learn

from analysis.statistics import inference

STRENGTHS = np.logspace(-4, 1, 6)  # sklearn's C, an inverse weight of the penalty
FOLDS = 3
PARTS = 5  # of out-of-fold predictions
MOST_FOR_CHOICE = 5000  # train images on which C is chosen
SMALL = 20_000_000  # numbers, for which threads cost more than they bring, on a busy machine thirty times more
NEIGHBOURS = 20  # as in DINO (Caron et al. 2021, arXiv 2104.14294), but no more than the smallest class has


@dataclass(frozen=True)
class Probed:
    """Which val images were put in their class, bool [N], by either; what was chosen, and how long it took."""

    linear: np.ndarray
    knn: np.ndarray
    strength: float
    neighbours: int
    seconds: float


def probe(train: np.ndarray, labels: np.ndarray, val: np.ndarray, val_labels: np.ndarray) -> Probed:
    """Fit both on the `train` features float32 [N, D] with int64 `labels` [N] alone, and look at val once.

    The linear probe is a multinomial logistic regression on standardized features, as in Kornblith et al. 2019 (arXiv
    1805.08974), its C chosen by cross-validation on train images. Nearest neighbours go by cosine, nearer ones count
    more.
    """
    started = time.perf_counter()
    rarest = int(np.bincount(labels).min())
    neighbours = max(1, min(NEIGHBOURS, rarest))
    with (
        threadpool_limits(1 if train.size < SMALL else None),
        warnings.catch_warnings(action="ignore", category=ConvergenceWarning),  # close is close enough
    ):
        strength = _strength(train, labels, rarest)
        linear = _regression(strength).fit(train, labels).predict(val) == val_labels
        voters = KNeighborsClassifier(neighbours, weights="distance", metric="cosine", algorithm="brute")
        knn = voters.fit(normalize(train), labels).predict(normalize(val)) == val_labels
    return Probed(linear, knn, strength, neighbours, time.perf_counter() - started)


def out_of_fold(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The chance of each class, float64 [N, classes], for images of `features` float32 [N, D] by the linear probes that
    were fitted without them, on the other folds. Raises ValueError where a class has fewer than 2 images."""
    rarest = int(np.bincount(labels).min())
    with (
        threadpool_limits(1 if features.size < SMALL else None),
        warnings.catch_warnings(action="ignore", category=ConvergenceWarning),
    ):
        folds = StratifiedKFold(min(PARTS, rarest), shuffle=True, random_state=0)
        regression = _regression(_strength(features, labels, rarest))
        chances: np.ndarray = cross_val_predict(regression, features, labels, cv=folds, method="predict_proba")
    return chances


def _regression(strength: float) -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=300))


def _strength(features: np.ndarray, labels: np.ndarray, rarest: int) -> float:
    """C by the least log loss in cross-validation; where a class has a single image, the middle of the range."""
    if rarest < 2:
        return float(STRENGTHS[len(STRENGTHS) // 2 - 1])
    if len(labels) > MOST_FOR_CHOICE and FOLDS * (labels.max() + 1) <= MOST_FOR_CHOICE:
        every = np.arange(len(labels))
        subset = train_test_split(every, train_size=MOST_FOR_CHOICE, stratify=labels, random_state=0)[0]
        fewest = int(np.bincount(labels[subset], minlength=labels.max() + 1).min())
        if fewest >= 2:
            features, labels, rarest = features[subset], labels[subset], fewest
    folds = StratifiedKFold(min(FOLDS, rarest), shuffle=True, random_state=0)
    choices = {"logisticregression__C": STRENGTHS}
    search = GridSearchCV(_regression(1.0), choices, scoring="neg_log_loss", cv=folds, refit=False)
    return float(search.fit(features, labels).best_params_["logisticregression__C"])


@dataclass(frozen=True)
class Verdict:
    """Share of val images put in their class, with a 95 % interval (Wilson 1927, JASA 22), all three proportions; and p
    that the best is no better."""

    share: float
    low: float
    high: float
    p: float


def judge(correct: Sequence[np.ndarray]) -> list[Verdict]:
    """Each of several classifiers, bool [N] on the same images, against the best of them: exact McNemar (1947,
    Psychometrika 12), corrected over all comparisons (Holm 1979). The best itself has p = 1."""
    best = int(np.argmax([right.sum() for right in correct]))
    others = [index for index in range(len(correct)) if index != best]
    raw = [inference.mcnemar(*_alone(correct[best], correct[index])) for index in others]
    p = dict(zip(others, inference.holm(raw), strict=True))
    verdicts = []
    for index, right in enumerate(correct):
        share = float(right.mean())
        low, high = inference.wilson(share, len(right))
        verdicts.append(Verdict(share, low, high, p.get(index, 1.0)))
    return verdicts


def _alone(one: np.ndarray, other: np.ndarray) -> tuple[int, int]:
    """On how many images each alone is right."""
    return int((one & ~other).sum()), int((other & ~one).sum())
