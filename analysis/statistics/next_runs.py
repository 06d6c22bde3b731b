"""Which further runs would settle which configuration is best, for the least time.

What is believed of the true accuracies theta of R configurations: they are normal with a mean and a spread tau that are
unknown (flat, and half-Cauchy with SCALE), and were seen with the noise of seeds and of the test images that all share
(noise.py). Draws of that posterior give the probability of each to be the best. As in top-two sampling (Russo 2020,
Operations Research 68), a further run is worth most where it tells the leader from a challenger: of all pairs, by how
often the one is best and the other is next, and by how much a run of either lowers the variance of their difference,
for a minute of its time.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.special import ndtr

from analysis.statistics.spread import draw_variances

SCALE = 5.0  # points: of the half-Cauchy prior of how far configurations differ
TAUS = np.geomspace(0.03, 60.0, 16)
SEED = 20240501
MOST_OF_IT = 0.8
OUTCOMES = 80  # of proposed runs that are drawn
SPREADS = 5  # draws of what spreads may be after each
MOST_ROWS = 60  # that can still be best; further ones are too far behind


@dataclass(frozen=True)
class Runs:
    """What was seen of R configurations: mean test accuracy in per cent, number of seeds, variance between them in
    points squared (nan for one seed) [R]; what the test images do to the means, points squared [R, R]; one image in
    points; minutes a run [R]."""

    percent: np.ndarray
    seeds: np.ndarray
    variances: np.ndarray
    images: np.ndarray
    image_points: float
    minutes: np.ndarray

    @cached_property
    def image_factor(self) -> np.ndarray:
        """A square root of `images`."""
        values, vectors = np.linalg.eigh(self.images)
        found: np.ndarray = vectors * np.sqrt(np.maximum(values, 0.0))
        return found


@dataclass(frozen=True)
class Beliefs:
    """Draws from the posterior [draws, R], in points: `theta`, the true accuracies; `here`, those on these test images
    with any number of seeds; `variances` between seeds."""

    theta: np.ndarray
    here: np.ndarray
    variances: np.ndarray

    @cached_property
    def p_best(self) -> np.ndarray:
        """The probability of each configuration to be the best [R]."""
        counts = np.bincount(self.theta.argmax(1), minlength=self.theta.shape[1])
        return counts / len(self.theta)

    @property
    def certainty(self) -> float:
        """The probability that the one that most likely is the best is it."""
        return float(self.p_best.max())


def believe(
    runs: Runs, draws: int = 40, each: int = 50, seed: int = SEED, seen_seeds: np.ndarray | None = None
) -> Beliefs:
    """The posterior: `draws` of the variances between seeds, and `each` of the accuracies with each of these.
    `seen_seeds`: of how many seeds the variances are [R], where some of runs.seeds are still to come."""
    generator = np.random.default_rng(seed)
    seen = runs.seeds if seen_seeds is None else seen_seeds
    df = np.where(np.isnan(runs.variances), 0.0, seen - 1)
    variances = draw_variances(runs.variances, df, runs.image_points, draws, generator)
    return _given(runs, variances, each, generator)


def _given(runs: Runs, variances: np.ndarray, each: int, generator: np.random.Generator) -> Beliefs:
    """The posterior, `each` draws for each of the `variances` between seeds [K, R]."""
    count, rows = variances.shape
    noise = variances[:, :, None] / runs.seeds[:, None] * np.eye(rows) + runs.images  # [K, R, R]
    values, vectors = np.linalg.eigh(noise)  # in whose directions all is independent, whatever tau is
    total = np.maximum(values, 1e-12)[:, None] + (TAUS**2)[:, None]  # [K, T, R]
    ones, seen = vectors.sum(1)[:, None], np.einsum("kri,r->ki", vectors, runs.percent)[:, None]
    weight = (ones**2 / total).sum(-1)
    middle = (ones * seen / total).sum(-1) / weight  # [K, T]
    log = -0.5 * (np.log(total).sum(-1) + np.log(weight) + ((seen - middle[..., None] * ones) ** 2 / total).sum(-1))
    log += np.log(TAUS) - np.log1p((TAUS / SCALE) ** 2)  # the grid is even in log(tau)
    p = np.exp(log - log.max(1, keepdims=True))
    cumulated = (p / p.sum(1, keepdims=True)).cumsum(1)
    chosen = (generator.random((count, each, 1)) > cumulated[:, None]).sum(-1).clip(0, len(TAUS) - 1)  # [K, each]
    k = np.arange(count)[:, None]
    tau, around = TAUS[chosen][..., None], 1 / np.sqrt(weight[k, chosen])
    mean = middle[k, chosen] + around * generator.standard_normal((count, each))
    # draws of everything before the runs were seen, put right by what they differ from what was seen (Matheron's rule)
    apart = tau * generator.standard_normal((count, each, rows))
    by_images = generator.standard_normal((count, each, rows)) @ runs.image_factor.T
    by_seeds = np.sqrt(variances / runs.seeds)[:, None] * generator.standard_normal((count, each, rows))
    rest = runs.percent - mean[..., None] - apart - by_images - by_seeds
    put_right = ((rest @ vectors) / total[k, chosen]) @ vectors.transpose(0, 2, 1)
    theta = mean[..., None] + apart + tau**2 * put_right
    here = theta + by_images + put_right @ runs.images
    flat = (count * each, rows)
    return Beliefs(theta.reshape(flat), here.reshape(flat), np.repeat(variances, each, axis=0))


def worth_of_a_run(runs: Runs, beliefs: Beliefs) -> np.ndarray:
    """What one further run of each configuration is worth, for a minute [R]."""
    doubt = beliefs.p_best.copy()
    leader = int(doubt.argmax())
    doubt[leader] = 0
    if not doubt.any():  # in none of the draws is another the best: how far that is from it
        behind = beliefs.theta[:, [leader]] - beliefs.theta
        doubt = ndtr(-behind.mean(0) / np.maximum(behind.std(0), 1e-9))
        doubt[leader] = 0
    variance = np.exp(np.log(beliefs.variances).mean(0))  # a mean would be that of the largest draws alone
    lower = variance / (runs.seeds * (runs.seeds + 1.0))
    gaps = variance / runs.seeds + variance[leader] / runs.seeds[leader] + _images_of(runs, leader)
    of_pairs = doubt / np.maximum(gaps, 1e-9)
    value = of_pairs * lower
    value[leader] = float(of_pairs.sum()) * lower[leader]
    found: np.ndarray = value / runs.minutes
    return found


def _images_of(runs: Runs, leader: int) -> np.ndarray:
    """What the test images leave in each difference from `leader`, points squared [R]."""
    diagonal = np.diag(runs.images)
    found: np.ndarray = np.maximum(diagonal + diagonal[leader] - 2 * runs.images[leader], 0.0)
    return found


@dataclass(frozen=True)
class Plan:
    """Further runs of each configuration [R], how likely the leading one is the best now, what that is expected to be
    after them, and what it would be with any number of seeds on these test images."""

    more: np.ndarray
    now: float
    after: float
    limit: float

    def minutes(self, runs: Runs) -> float:
        """Of all its runs together."""
        return float((self.more * runs.minutes).sum())


def plan(runs: Runs, wanted: float, most_runs: int, budget_minutes: float = math.inf) -> Plan:
    """As few runs as bring the certainty to `wanted` on average, or to MOST_OF_IT of what seeds can bring
    where that is less; none where test images are what is missing. With a budget, as many as fit."""
    beliefs = believe(runs)
    now, limit = beliefs.certainty, foreseen(runs, beliefs, np.full(len(runs.seeds), np.inf))
    more = np.zeros(len(runs.seeds), dtype=np.int64)
    after, step = now, 1
    with_budget = math.isfinite(budget_minutes)
    aim = wanted if limit >= wanted else now + MOST_OF_IT * (limit - now)
    if not with_budget and (now >= wanted or seeds_do_little(now, limit, wanted)):
        return Plan(more, now, now, limit)
    while more.sum() < most_runs and (with_budget or after < aim):
        for _ in range(step):
            virtual = replace(runs, seeds=runs.seeds + more)
            worth = worth_of_a_run(virtual, believe(virtual, 12, 60, SEED + int(more.sum()), runs.seeds))
            fits = runs.minutes <= budget_minutes - (more * runs.minutes).sum()
            if not (fits & (worth > 0)).any():
                return Plan(more, now, foreseen(runs, beliefs, more) if more.any() else now, limit)
            more[np.where(fits, worth, -1.0).argmax()] += 1
        if not with_budget:
            after = foreseen(runs, beliefs, more)
            step = min(max(1, int(more.sum()) // 5), most_runs - int(more.sum()))
    return Plan(more, now, foreseen(runs, beliefs, more) if more.any() else now, limit)


def seeds_do_little(now: float, limit: float, wanted: float) -> bool:
    """Whether any number of seeds goes less than half of the way."""
    return limit - now < (wanted - now) / 2


def foreseen(runs: Runs, beliefs: Beliefs, more: np.ndarray, outcomes: int = OUTCOMES) -> float:
    """The certainty after `more` runs of each configuration [R] (inf: any number), on average over what may come of
    them. Spreads are known then as well as so many runs tell them: fully where there is no end of them."""
    generator = np.random.default_rng(SEED)
    endless = np.isinf(more)
    extra = np.where(endless, 1.0, more)
    found = []
    for draw in generator.choice(len(beliefs.theta), outcomes):
        variance = beliefs.variances[draw]
        new = beliefs.here[draw] + np.sqrt(variance / np.maximum(extra, 1)) * generator.standard_normal(len(more))
        mean = (runs.seeds * runs.percent + extra * new) / (runs.seeds + extra)
        mean = np.where(endless, beliefs.here[draw], np.where(more > 0, mean, runs.percent))
        then = replace(runs, percent=mean, seeds=np.where(endless, 1e9, runs.seeds + more))
        variances = variance[None]
        if not endless.any():
            df = runs.seeds + more - 1.0
            squares = variance * generator.chisquare(np.maximum(extra - 1, 1e-9))  # of the new runs about their mean
            squares = np.where(more > 1, squares, 0.0) + np.nan_to_num(runs.variances) * (runs.seeds - 1)
            squares += runs.seeds * extra / (runs.seeds + extra) * (new - runs.percent) ** 2 * (more > 0)
            seen = squares / np.maximum(df, 1)
            variances = draw_variances(seen, df, runs.image_points, SPREADS, generator)
        found.append(_given(then, variances, 200 // len(variances), generator).certainty)
    return float(np.mean(found))


def foreseen_with_images(runs: Runs, beliefs: Beliefs, factor: float, outcomes: int = OUTCOMES) -> float:
    """The certainty with any number of seeds and `factor` times as many test images, on average."""
    generator = np.random.default_rng(SEED)
    found = []
    for draw in generator.choice(len(beliefs.theta), outcomes):
        noise = generator.standard_normal(len(runs.seeds)) @ runs.image_factor.T / math.sqrt(factor)
        endless = np.full(len(runs.seeds), 1e9)
        then = replace(runs, percent=beliefs.theta[draw] + noise, seeds=endless, images=runs.images / factor)
        found.append(_given(then, beliefs.variances[draw][None], 200, generator).certainty)
    return float(np.mean(found))


def keep(runs: Runs, kept: Sequence[int]) -> Runs:
    """Of these configurations alone."""
    index = np.asarray(kept)
    return Runs(
        runs.percent[index],
        runs.seeds[index],
        runs.variances[index],
        runs.images[np.ix_(index, index)],
        runs.image_points,
        runs.minutes[index],
    )
