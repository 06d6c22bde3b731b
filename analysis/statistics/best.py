"""What choosing costs: how likely each row of a table is the best, and how much is lost by taking it.

Rows' true accuracies are taken as draws from a normal distribution whose mean and spread are not known (flat priors),
and what was seen of them as these with the noise of seeds and images, which rows share (noise.py, max_t.py). The
posterior is drawn from by conditioning: a prior draw is moved by what it, with a draw of the noise, misses of what was
seen (Hoffman and Ribak 1991, Astrophysical Journal 380). Since the noise's draws do not take the spread between seeds
as known, neither do these.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.statistics.drawn_tables import SEED
from analysis.statistics.inference import LEVEL
from analysis.statistics.max_t import Simulated
from analysis.statistics.results import RowResults

GRID = 24  # spreads of the true accuracies that are tried
LEAST_SEEDS = 5  # from which on seeds have quartiles
MOST_ROWS = 300  # the best of which are looked at


@dataclass(frozen=True)
class Chance:
    """Of one row: the probability that it is the best; that it is within the points that matter of the best (nan where
    nobody said what matters); and by how many points it is expected to be worse than the best."""

    best: float
    near: float
    regret_points: float


def chances(rows: Mapping[str, RowResults], simulated: Simulated, matters: float | None = None) -> dict[str, Chance]:
    """The chances of the rows that were simulated together, by key."""
    order = np.argsort([-rows[key].test_proportion for key in simulated.keys], kind="stable")[:MOST_ROWS]
    seen = np.array([rows[simulated.keys[index]].test_proportion for index in order])
    truth = 100 * _posterior(seen, simulated.test[:, order])
    lost = truth.max(axis=1, keepdims=True) - truth
    best = np.bincount(truth.argmax(axis=1), minlength=len(order)) / len(truth)
    near = np.full(len(order), np.nan) if matters is None else (lost <= matters).mean(0)
    regret = lost.mean(0)
    return {
        simulated.keys[index]: Chance(float(best[place]), float(near[place]), float(regret[place]))
        for place, index in enumerate(order)
    }


def still_best(found: Mapping[str, Chance]) -> list[str]:
    """The fewest rows of which one is the best with a probability of 95 %, the likeliest first."""
    ordered = sorted(found, key=lambda key: (-found[key].best, found[key].regret_points))
    reached = np.cumsum([found[key].best for key in ordered])
    return ordered[: int(np.searchsorted(reached, LEVEL - 1e-9)) + 1]


def interquartile_mean(values: np.ndarray) -> float:
    """Mean of the middle half of one row's seeds (Agarwal et al. 2021, NeurIPS, arXiv 2108.13264); nan below
    LEAST_SEEDS."""
    from scipy.stats import trim_mean

    return float(trim_mean(values, 0.25)) if len(values) >= LEAST_SEEDS else np.nan


def probability_of_improvement(values: np.ndarray, others: np.ndarray) -> float:
    """How often a run of one row is better than a run of another, ties by half (ibid.); nan below LEAST_SEEDS."""
    if min(len(values), len(others)) < LEAST_SEEDS:
        return np.nan
    difference = values[:, None] - others
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


def _posterior(seen: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Draws of the true accuracies [draws, rows], from those that were seen [rows] and draws of their noise."""
    draws, count = noise.shape
    generator = np.random.default_rng(SEED)
    covariance = np.atleast_2d(np.cov(noise, rowvar=False)) + 1e-12 * np.eye(count)
    spreads = np.linspace(0, 3, GRID) * max(float(seen.std()), 1e-6)
    inverses = [np.linalg.inv(spread**2 * np.eye(count) + covariance) for spread in spreads]
    likelihood = np.array([_log_likelihood(seen, inverse) for inverse in inverses])
    weights = np.exp(likelihood - likelihood.max())
    chosen = generator.choice(GRID, draws, p=weights / weights.sum())
    truth = np.empty((draws, count))
    for number, (spread, inverse) in enumerate(zip(spreads, inverses, strict=True)):
        here = np.flatnonzero(chosen == number)
        precision = inverse.sum()
        mean = float((inverse @ seen).sum() / precision)
        prior = mean + generator.standard_normal((len(here), 1)) / np.sqrt(precision)
        prior = prior + spread * generator.standard_normal((len(here), count))
        truth[here] = prior + (seen - prior - noise[here]) @ (spread**2 * inverse)
    ties = 1e-9 * generator.standard_normal((draws, count))  # rows that are all alike are the best equally often
    return truth + ties


def _log_likelihood(seen: np.ndarray, inverse: np.ndarray) -> float:
    """Of rows with this inverse covariance and a mean that may be anything."""
    precision = float(inverse.sum())
    left = seen - float((inverse @ seen).sum()) / precision
    return float(0.5 * np.linalg.slogdet(inverse)[1] - 0.5 * np.log(precision) - 0.5 * left @ inverse @ left)
