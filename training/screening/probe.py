"""How well frozen features tell the classes of val: a linear probe and nearest neighbours, fitted on train alone. And
what linear probes say of the images that they were fitted without."""

import time
import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler, normalize
from threadpoolctl import threadpool_limits  # comes with scikit-learn

from training.screening.ranking import SMALL, promise

PARTS = 5  # of out-of-fold predictions
NEIGHBOURS = 20  # as in DINO (Caron et al. 2021, arXiv 2104.14294), but no more than the smallest class has


@dataclass(frozen=True)
class Probed:
    """Which val images were put in their class, bool [N], by either; how many neighbours, and how long it took."""

    linear: np.ndarray
    knn: np.ndarray
    neighbours: int
    seconds: float


def probe(train: np.ndarray, labels: np.ndarray, val: np.ndarray, val_labels: np.ndarray, strength: float) -> Probed:
    """Fit both on the `train` features float32 [N, D] with int64 `labels` [N], and look at val once.

    The linear probe is a multinomial logistic regression on standardized features, as in Kornblith et al. 2019 (arXiv
    1805.08974), `strength` its C. Nearest neighbours go by cosine, nearer ones count more.
    """
    started = time.perf_counter()
    neighbours = max(1, min(NEIGHBOURS, int(np.bincount(labels).min())))
    with (
        threadpool_limits(1 if train.size < SMALL else None),
        warnings.catch_warnings(action="ignore", category=ConvergenceWarning),  # close is close enough
    ):
        linear = _regression(strength).fit(train, labels).predict(val) == val_labels
        voters = KNeighborsClassifier(neighbours, weights="distance", metric="cosine", algorithm="brute")
        knn = voters.fit(normalize(train), labels).predict(normalize(val)) == val_labels
    return Probed(linear, knn, neighbours, time.perf_counter() - started)


def out_of_fold(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The chance of each class, float64 [N, classes], for images of `features` float32 [N, D] by the linear probes that
    were fitted without them, on the other folds. Raises ValueError where a class has fewer than 2 images."""
    folds = StratifiedKFold(min(PARTS, int(np.bincount(labels).min())), shuffle=True, random_state=0)
    regression = _regression(promise(features, labels).strength)
    with (
        threadpool_limits(1 if features.size < SMALL else None),
        warnings.catch_warnings(action="ignore", category=ConvergenceWarning),
    ):
        chances: np.ndarray = cross_val_predict(regression, features, labels, cv=folds, method="predict_proba")
    return chances


def _regression(strength: float) -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=300))
