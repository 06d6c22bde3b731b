"""Folds and splits of which the truth is known, for benchmarks.truth: real learners on real splits of drawn images.

An "image" of one of two classes is a point: CORE dimensions that all configurations see, and OWN ones that each of them
sees alone. A configuration fits a linear discriminant to its dimensions, with luck of its own in each run. All are
equally good for want of any difference, and the accuracy of a discriminant on all images there are is known exactly.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import ndtr

from analysis.statistics.results import RowResults

CORE, OWN = 8, 4
DISTANCE = 2.6  # of the classes' means, in standard deviations
RIDGE = 0.1
TRUE_RUNS = 4000  # of which the mean is the true accuracy


@dataclass(frozen=True)
class Splits:
    """A kind of sweep. `parts`: of each row. `kind`: folds (of `n_pool` images, and a test set of its own), splits
    (new train and val of `n_pool` images each time, one test set), or drawn (test images are drawn from the same images
    with each split too). `luck`: of a run in its weights, relative to their length."""

    name: str
    rows: int
    parts: int
    kind: str = "folds"
    n_pool: int = 350
    n_test: int = 350
    luck: float = 0.2

    @property
    def n_val(self) -> int:
        """Val images of one run."""
        return self.n_pool // (self.parts if self.kind == "folds" else 5)

    @property
    def n_train(self) -> int:
        """Training images of one run."""
        return self.n_pool - self.n_val


def draw_images(n: int, dims: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points [n, dims] and their classes [n], half of each; any part of them is a random one."""
    labels = generator.permutation(np.arange(n) % 2)
    return generator.standard_normal((n, dims)) + (labels[:, None] - 0.5) * _means(dims), labels


def fit(x: np.ndarray, labels: np.ndarray, luck: float, generator: np.random.Generator) -> tuple[np.ndarray, float]:
    """Weights and threshold of a linear discriminant."""
    means = [x[labels == one].mean(0) for one in (0, 1)]
    covariance = np.cov(x - np.where(labels[:, None] == 1, means[1], means[0]), rowvar=False)
    weights = np.linalg.solve(covariance + RIDGE * np.eye(x.shape[1]), means[1] - means[0])
    weights += luck * np.linalg.norm(weights) / np.sqrt(len(weights)) * generator.standard_normal(len(weights))
    return weights, float(weights @ (means[0] + means[1]) / 2)


def true_accuracy(weights: np.ndarray, threshold: float) -> float:
    """Of a discriminant on all images, in per cent."""
    length, half = np.linalg.norm(weights), weights @ _means(len(weights)) / 2
    return float(50 * (ndtr((half - threshold) / length) + ndtr((half + threshold) / length)))


@cache
def truth(setting: Splits) -> float:
    """The mean accuracy of a configuration over training sets and runs, in per cent."""
    generator = np.random.default_rng(1)
    found = []
    for _ in range(TRUE_RUNS):
        x, labels = draw_images(setting.n_train, CORE + OWN, generator)
        found.append(true_accuracy(*fit(x, labels, setting.luck, generator)))
    return float(np.mean(found))


def rows_of(setting: Splits, generator: np.random.Generator) -> dict[str, RowResults]:
    """One sweep: each row on the same folds or splits."""
    dims = CORE + setting.rows * OWN
    drawn = setting.kind == "drawn"
    pool, pool_labels = draw_images(setting.n_pool + setting.n_test * drawn, dims, generator)
    test, test_labels = (pool, pool_labels) if drawn else draw_images(setting.n_test, dims, generator)
    seen = [[*range(CORE), *range(CORE + OWN * row, CORE + OWN * (row + 1))] for row in range(setting.rows)]
    val_percent, right = np.zeros((2, setting.rows, setting.parts)), {}
    folds = generator.permutation(len(pool)) % setting.parts
    for part in range(setting.parts):
        order = generator.permutation(len(pool))
        if setting.kind == "folds":
            order = np.argsort(folds != part, kind="stable")
        of_val, of_train = order[: setting.n_val], order[setting.n_val : setting.n_val + setting.n_train]
        of_test = order[setting.n_pool :] if drawn else np.arange(setting.n_test)
        for row, columns in enumerate(seen):
            x = pool[:, columns]
            weights, threshold = fit(x[of_train], pool_labels[of_train], setting.luck, generator)
            val_percent[0, row, part] = 100 * np.mean((x[of_val] @ weights > threshold) == pool_labels[of_val])
            right[row, part] = (test[np.ix_(of_test, columns)] @ weights > threshold) == test_labels[of_test]
            val_percent[1, row, part] = 100 * right[row, part].mean()
    overlap = {"folds": 1 / (setting.parts - 1), "drawn": setting.n_test / setting.n_train}
    return {
        str(row): RowResults(
            val_percent[0, row],
            val_percent[1, row],
            setting.n_test,
            None if drawn else np.stack([right[row, part] for part in range(setting.parts)]),
            n_val=setting.n_val,
            parts=tuple(range(setting.parts)),
            own_images=drawn,
            overlap=overlap.get(setting.kind, setting.n_val / setting.n_train),
        )
        for row in range(setting.rows)
    }


@cache
def _means(dims: int) -> np.ndarray:
    """The difference of the classes' means [dims]: as far in each dimension that all see, half as far in the others."""
    found = np.ones(dims)
    found[CORE:] = 0.5
    return DISTANCE * found / np.sqrt(CORE + 0.25 * OWN)
