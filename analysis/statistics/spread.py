"""How much replicates of one configuration differ: own, and shared among the rows of a table.

Two or three seeds say little about their own spread, and all rows together say much about a common one. So each row's
variance is drawn towards the common one by as much as the rows' variances agree (Smyth 2004, Stat. Appl. Genet. Mol.
Biol. 3, the moderated t of the R package limma). A row with one seed has the common one alone: it is borrowed.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import digamma, polygamma

ENOUGH = 3  # rows with replicates, from which on it can be said how far their variances agree


@dataclass(frozen=True)
class Spread:
    """Variance between single runs of one configuration (points squared), and the degrees of freedom behind it."""

    variance: float
    df: float
    source: Literal["own", "borrowed"]


@dataclass(frozen=True)
class Pooled:
    """The spread of all replicated rows together. `rows`: how many; `prior_df`: what the common one counts for."""

    variance: float
    df: int
    rows: int
    prior_variance: float
    prior_df: float

    @property
    def sd(self) -> float:
        """Points."""
        return math.sqrt(self.variance)


def pool(accuracies: Mapping[str, np.ndarray], step: float) -> Pooled | None:
    """The common spread of rows of accuracies (per cent); None without any replicate. `step`: one image, in points,
    below whose rounding no variance is believed."""
    by_seeds: dict[int, list[np.ndarray]] = {}  # a table of thousands of rows has few numbers of seeds
    for values in accuracies.values():
        by_seeds.setdefault(len(values), []).append(values)
    by_seeds.pop(1, None)
    if not by_seeds:
        return None
    df = np.concatenate([np.full(len(rows), seeds - 1) for seeds, rows in by_seeds.items()])
    variances = np.concatenate([np.stack(rows).var(axis=1, ddof=1) for rows in by_seeds.values()])
    total = float((variances * df).sum() / df.sum())
    floor = step**2 / 12
    prior, prior_df = _prior(np.maximum(variances, floor), df) if len(df) >= ENOUGH else (total, 0.0)
    return Pooled(max(total, floor), int(df.sum()), len(df), prior, prior_df)


def spread(variance: float, seeds: int, pooled: Pooled, step: float) -> Spread:
    """The spread that is believed of a row whose seeds have this variance (points squared; of one seed, anything)."""
    own_df = seeds - 1
    if own_df == 0:
        return Spread(pooled.variance, pooled.df, "borrowed")
    own = max(variance, step**2 / 12)
    if math.isinf(pooled.prior_df):
        return Spread(pooled.variance, pooled.df, "own")
    df = own_df + pooled.prior_df
    return Spread((own * own_df + pooled.prior_variance * pooled.prior_df) / df, min(df, pooled.df), "own")


def _prior(variances: np.ndarray, df: np.ndarray) -> tuple[float, float]:
    """The scaled inverse chi-squared that the true variances come from, by the moments of their logarithms (Smyth 2004,
    section 6.2): its scale, and its degrees of freedom, infinite where the rows differ no more than chance has it."""
    centred = np.log(variances) - digamma(df / 2) + np.log(df / 2)
    excess = float(centred.var(ddof=1) - np.mean(polygamma(1, df / 2)))
    if excess <= 0:
        return float(np.exp(centred.mean())), math.inf
    half = brentq(lambda value: float(polygamma(1, value)) - excess, 1e-4, 1e8) if excess < 1e7 else 1e-4
    return float(np.exp(centred.mean() + digamma(half) - np.log(half))), 2 * float(half)
