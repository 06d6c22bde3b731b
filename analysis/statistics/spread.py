"""How much replicates of one configuration differ: each row's own spread, and one pooled over the rows of a table.

Two or three seeds say little about their own spread, and all rows together say much about a common one. So each row's
variance is shrunken towards the common one by as much as the rows' variances agree (Smyth 2004, Stat. Appl. Genet. Mol.
Biol. 3, the moderated t of the R package limma). A row with one seed has the common one alone: it is borrowed.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtri, gammaln, polygamma, stdtr

from analysis.statistics.inference import LEVEL, Interval

HETEROGENEITY = 0.7  # sd of the logarithm of the rows' variances that is plausible beforehand
OUTLYING_POINTS = 1.0  # from the other seeds, below which no seed is named
LEAST_POINTS2 = 1e-12  # a variance, where no image sets a floor to it
ENOUGH_ROWS = 3  # with replicates, from which on it can be said how far their variances agree


@dataclass(frozen=True)
class Spread:
    """Variance between single runs of one configuration (points squared), and the degrees of freedom behind it."""

    variance_points2: float
    df: float
    source: Literal["own", "borrowed"]


@dataclass(frozen=True)
class PooledSpread:
    """The spread of all replicated rows together. `rows`: how many; `prior_df`: what the common one counts for."""

    variance_points2: float
    df: int
    rows: int
    prior_variance_points2: float
    prior_df: float

    @property
    def sd_points(self) -> float:
        """Standard deviation between runs of one configuration, in points."""
        return math.sqrt(self.variance_points2)

    def sd_interval_points(self) -> Interval:
        """95 % interval of the standard deviation, in points (chi-squared)."""
        tail = (1 - LEVEL) / 2
        low, high = (self.sd_points * math.sqrt(self.df / chdtri(self.df, q)) for q in (tail, 1 - tail))
        return low, high


def pool(percent: Mapping[str, np.ndarray], image_points: float) -> PooledSpread | None:
    """The common spread of rows of accuracies (per cent, [seeds] each); None without any replicate.

    `image_points`: one image, in points. No variance is taken to be below that of rounding to whole images.
    """
    by_seeds: dict[int, list[np.ndarray]] = {}  # a table of thousands of rows has few numbers of seeds
    for values in percent.values():
        by_seeds.setdefault(len(values), []).append(values)
    by_seeds.pop(1, None)
    if not by_seeds:
        return None
    df = np.concatenate([np.full(len(rows), seeds - 1) for seeds, rows in by_seeds.items()])
    variances = np.concatenate([np.stack(rows).var(axis=1, ddof=1) for rows in by_seeds.values()])
    total = float((variances * df).sum() / df.sum())
    rounding = _rounding_variance(image_points)
    prior, prior_df = _prior(np.maximum(variances, rounding), df) if len(df) >= ENOUGH_ROWS else (total, 0.0)
    return PooledSpread(max(total, rounding), int(df.sum()), len(df), prior, prior_df)


def shrunken_spread(variance_points2: float, seeds: int, pooled: PooledSpread, image_points: float) -> Spread:
    """The spread of a row whose seeds have this variance (points squared; anything for one seed), shrunken towards the
    pooled one, but to no less than the lower end of its own one-sided 95 % interval (chi-squared): a few rows that vary
    far more than most are not described by what most have in common (Phipson et al. 2016, Ann. Appl. Stat. 10).
    `image_points`: one test image, in points."""
    row_df = seeds - 1
    if row_df == 0:
        if 0 < pooled.prior_df < math.inf:  # the rows' spreads differ: this one's is a draw from theirs
            return Spread(pooled.prior_variance_points2, min(pooled.df, pooled.prior_df), "borrowed")
        return Spread(pooled.variance_points2, pooled.df, "borrowed")
    if math.isinf(pooled.prior_df):
        return Spread(pooled.variance_points2, pooled.df, "own")
    variance = max(variance_points2, _rounding_variance(image_points))
    df = row_df + pooled.prior_df
    shrunken = (variance * row_df + pooled.prior_variance_points2 * pooled.prior_df) / df
    least = variance * row_df / float(chdtri(row_df, 1 - LEVEL))
    return Spread(max(shrunken, least), min(df, pooled.df), "own")


def outlying(percent: Sequence[np.ndarray]) -> list[list[int]]:
    """For each row of accuracies ([seeds] each, per cent), which of them stand further from the mean of the others in
    the row than seeds do in this table: externally studentized residuals (Cook and Weisberg 1982), 1 % over all runs
    (Bonferroni), and OUTLYING_POINTS at least. Rows with two seeds can't tell which of them it is."""
    df = sum(len(values) - 1 for values in percent)
    total = sum(float(((values - values.mean()) ** 2).sum()) for values in percent)
    count = sum(len(values) for values in percent if len(values) > 2)
    found: list[list[int]] = []
    for values in percent:
        n = len(values)
        residual = values - values.mean()
        left = np.maximum(total - residual**2 * n / max(n - 1, 1), 1e-12) / max(df - 1, 1)
        t = residual / np.sqrt(left * max(n - 1, 1) / n)
        far = np.abs(residual) * n / max(n - 1, 1) >= OUTLYING_POINTS
        p = 2 * stdtr(max(df - 1, 1), -np.abs(t)) * count
        found.append(np.flatnonzero(far & (p < 0.01)).tolist() if n > 2 and df > 2 else [])
    return found


def rms_interval_points(percent: Sequence[np.ndarray], image_points: float) -> Interval:
    """95 % interval of the standard deviation between runs of one configuration, in points: root of the mean of the
    rows' variances as they may be (draw_variances), which unlike chi-squared allows for rows whose spreads differ."""
    rows = [values for values in percent if len(values) > 1]
    df = np.array([len(values) - 1 for values in rows])
    variances = np.array([values.var(ddof=1) for values in rows])
    drawn = draw_variances(variances, df, image_points, 4000, np.random.default_rng(0))
    tail = (1 - LEVEL) / 2
    low, high = np.sqrt(np.quantile((drawn * df).sum(1) / df.sum(), [tail, 1 - tail]))
    return float(low), float(high)


def largest_share(percent: Sequence[np.ndarray]) -> tuple[int, float]:
    """Which row's replicates make up the largest part of the pooled variance, and what part."""
    squares = np.array([((values - values.mean()) ** 2).sum() for values in percent])
    most = int(squares.argmax())
    return most, float(squares[most] / squares.sum()) if squares.sum() else 0.0


def draw_variances(
    variances: np.ndarray, df: np.ndarray, image_points: float, draws: int, generator: np.random.Generator
) -> np.ndarray:
    """What the true variances of rows may be (points squared) [draws, rows], from those that were seen and their
    degrees of freedom (0 for a row with one seed) [rows]: draws from a posterior in which neither the spread that rows
    have in common nor how far theirs differ is taken as known.

    The true variances are scaled inverse chi-squared (as in Smyth 2004), with a flat prior on the logarithm of their
    scale and a half-normal one on the standard deviation of their logarithms, HETEROGENEITY.
    """
    seen = df > 0
    floor = _rounding_variance(image_points)
    posterior = _posterior(np.maximum(variances[seen], floor), df[seen])
    chosen = generator.choice(posterior.weights.size, draws, p=posterior.weights.ravel())
    scale = posterior.scales[chosen % len(posterior.scales)][:, None]
    prior = posterior.prior_df[chosen // len(posterior.scales)][:, None]
    total = np.where(np.isinf(prior), 1.0, df + prior)
    own = np.where(seen, np.maximum(np.nan_to_num(variances), floor), 0.0) * df
    drawn: np.ndarray = (own + np.where(np.isinf(prior), 0.0, prior) * scale) / generator.chisquare(total)
    return np.where(np.isinf(prior), scale, drawn)


@dataclass(frozen=True)
class _Posterior:
    """Of the scaled inverse chi-squared that the true variances of rows come from: `weights` [sds, scales], 1 together,
    of the standard deviations of the logarithm `sds` (whose degrees of freedom are `prior_df`) and of `scales`."""

    weights: np.ndarray
    sds: np.ndarray
    prior_df: np.ndarray
    scales: np.ndarray


def _posterior(variances: np.ndarray, df: np.ndarray) -> _Posterior:
    """From variances that were seen (points squared) and their degrees of freedom [rows]."""
    variances = np.maximum(variances, LEAST_POINTS2)
    scales = float((variances * df).sum() / df.sum()) * np.exp(np.linspace(-4.0, 8.0, 97))
    sds = np.linspace(0.0, 3.0, 31)
    prior_df = _prior_dfs(tuple(sds.tolist()))
    x = variances / scales[:, None]  # [scales, rows]
    likelihood = np.stack([_log_likelihood(x, df, one) for one in prior_df])
    likelihood -= 0.5 * (sds[:, None] / HETEROGENEITY) ** 2
    weights = np.exp(likelihood - likelihood.max())
    return _Posterior(weights / weights.sum(), sds, prior_df, scales)


def _log_likelihood(x: np.ndarray, df: np.ndarray, prior_df: float) -> np.ndarray:
    """Of variances with these degrees of freedom that are `x` times the scale of the true ones, which are inverse
    chi-squared with `prior_df` [scales]; but for what neither changes."""
    if math.isinf(prior_df):
        return np.asarray((0.5 * df * (np.log(x) - x)).sum(1))
    constant = gammaln((df + prior_df) / 2) - gammaln(prior_df / 2) - 0.5 * df * np.log(prior_df / 2)
    tails = (df + prior_df) / 2 * np.log1p(df * x / prior_df)
    return np.asarray((constant + 0.5 * df * np.log(x) - tails).sum(1))


@cache
def _prior_dfs(sds: tuple[float, ...]) -> np.ndarray:
    """Degrees of freedom of an inverse chi-squared whose logarithm has these standard deviations."""
    return np.array([np.inf if sd == 0 else 2 * _inverse_trigamma(sd**2) for sd in sds])


def _inverse_trigamma(value: float) -> float:
    """x with trigamma(x) = value."""
    return float(brentq(lambda x: float(polygamma(1, x)) - value, 1e-4, 1e8)) if value < 1e7 else 1e-4


def _rounding_variance(image_points: float) -> float:
    """Variance of a uniform distribution over the width of one image, points squared."""
    return image_points**2 / 12


def _prior(variances: np.ndarray, df: np.ndarray) -> tuple[float, float]:
    """The scaled inverse chi-squared that the true variances come from, by the posterior means of the logarithm of its
    scale and of the standard deviation of the logarithm that belongs to its degrees of freedom: the scale and these."""
    found = _posterior(variances, df)
    scale = math.exp(float(found.weights.sum(0) @ np.log(found.scales)))
    sd = float(found.weights.sum(1) @ found.sds)
    return scale, 2 * _inverse_trigamma(sd**2) if sd > 1e-3 else math.inf
