"""What choosing the best of several brings, and how much of it is luck."""

from collections.abc import Sequence

import numpy as np

from analysis.statistics.spread import PooledSpread

DRAWS, SEED = 2000, 20240501


def selection_bias_points(val_percent: Sequence[np.ndarray], n_val: int, pooled: PooledSpread | None) -> float:
    """Expected luck of the best of these rows on val, in points; `val_percent`: accuracies of each row's seeds.

    Rows are drawn again and again: true accuracies with the variance that is left of the rows' when noise is taken off,
    and noise upon them. What the best of them owes to noise, on average, is the answer. Noise is the spread between
    replicates, or where there are none, what the size of the val set explains.
    """
    means = np.array([row.mean() for row in val_percent])
    p = np.clip(means.mean() / 100, 0.5 / n_val, 1 - 0.5 / n_val)
    one_run = pooled.variance_points2 if pooled is not None else 1e4 * p * (1 - p) / n_val
    noise = one_run / np.array([len(row) for row in val_percent])
    true = max(float(means.var(ddof=1)) - float(noise.mean()), 0.0)
    generator = np.random.default_rng(SEED)
    luck = generator.standard_normal((DRAWS, len(means))) * np.sqrt(noise)
    best = np.argmax(generator.standard_normal((DRAWS, len(means))) * np.sqrt(true) + luck, axis=1)
    return float(luck[np.arange(DRAWS), best].mean())


def expected_best(values: Sequence[float], trials: int) -> float:
    """The best of `trials` random trials on average, estimated from the `values` of some of them (Dodge et al. 2019,
    "Show Your Work", EMNLP, equation 1): the mean of the maximum of `trials` draws with replacement."""
    ordered = np.sort(np.asarray(values, dtype=float))
    proportion_below = np.arange(len(ordered) + 1) / len(ordered)
    return float(np.sum(ordered * np.diff(proportion_below**trials)))
