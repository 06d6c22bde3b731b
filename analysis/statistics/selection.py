"""What choosing the best of several brings, and how much of it is luck."""

from collections.abc import Sequence

import numpy as np

from analysis.statistics.drawn_tables import correlated
from analysis.statistics.noise import ImageCovariance, Noise, image_covariance, val_images, val_spread
from analysis.statistics.results import RowResults

DRAWS, SEED = 2000, 20240501


def selection_bias_points(rows: Sequence[RowResults], noise: Noise) -> float:
    """Expected luck of the best of these rows on val, in points.

    Rows are drawn again and again: true accuracies with the variance that is left of the rows' when noise is taken off,
    and noise upon them, that of seeds and of val images (val_covariance). What the best of them owes to noise, on
    average, is the answer.
    """
    seen = np.array([row.mean_val_percent / 100 for row in rows])
    covariance = val_covariance(rows, noise)
    centred = covariance - covariance.mean(0)
    true = max(float(seen.var(ddof=1)) - float(np.trace(centred)) / (len(rows) - 1), 0.0)
    generator = np.random.default_rng(SEED)
    luck = correlated(covariance, generator.standard_normal((DRAWS, len(rows))))
    luck -= luck.mean(1, keepdims=True)  # what all rows share chooses none of them, and is 0 on average
    best = np.argmax(generator.standard_normal((DRAWS, len(rows))) * np.sqrt(true) + luck, axis=1)
    return 100 * float(luck[np.arange(DRAWS), best].mean())


def val_covariance(rows: Sequence[RowResults], noise: Noise) -> np.ndarray:
    """Covariance of the rows' val accuracies about what they would be on ever more images, with ever more seeds where
    some row has several (proportions squared [rows, rows]). Rows share the luck of val images as far as they get the
    same test images right; without predictions each counts as if it had images of its own."""
    alike = len({(row.test_set_id, row.n_test) for row in rows}) == 1
    one_run = np.array([val_spread(row, noise) for row in rows])
    of_seeds = np.diag(one_run / np.array([row.seeds for row in rows]))
    if not alike or any(row.correct is None for row in rows):
        p = np.array([min(max(row.mean_val_percent / 100, 0.0), 1.0) for row in rows])
        n = np.array([row.n_val or np.inf for row in rows])
        return np.asarray(of_seeds + np.diag(np.maximum(p * (1 - p) / n - one_run, 0.0)))
    if noise.test is not None:
        return np.asarray(of_seeds + val_images(rows, noise, image_covariance(rows, noise)))
    raw = np.atleast_2d(np.cov(np.stack([row.proportion_correct for row in rows]), dtype=np.float64)) / rows[0].n_test
    nothing = np.zeros(len(rows))
    return val_images(rows, noise, ImageCovariance(raw, nothing, np.diag(raw), np.zeros_like(raw)))


def expected_best(values: Sequence[float], trials: int) -> float:
    """The best of `trials` random trials on average, estimated from the `values` of some of them (Dodge et al. 2019,
    "Show Your Work", EMNLP, equation 1): the mean of the maximum of `trials` draws with replacement."""
    ordered = np.sort(np.asarray(values, dtype=float))
    proportion_below = np.arange(len(ordered) + 1) / len(ordered)
    return float(np.sum(ordered * np.diff(proportion_below**trials)))
