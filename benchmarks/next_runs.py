"""Whether analysis.next saves runs, and whether its certainty is true: sweeps are simulated of which the best is known.

python -m benchmarks.next_runs [--sweeps 300] [--rows 10] [--most 160] [--first 1]

Ten configurations with true accuracies 0, 0.5, ... 4.5 points below the best, in random order; runs of each differ by a
standard deviation of 1 point between seeds; all start with one seed. Further runs are given out two at a time: to all
in turn, or as analysis.next has it (at first, while nothing was run twice, to the best two). After each step the
configuration that most likely is the best is named. Printed: after how many runs it is the true one in 90 % of the
sweeps, and in no fewer later on; after how many the certainty is 90 % for the first time; and how often the one that is
named then is the true one (bar: 90 %). Bar: 60 % of the runs of equal allocation.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.statistics.next_runs import Runs, believe, worth_of_a_run
from benchmarks.measure import show

WANTED, STEP = 0.9, 2
Policy = Callable[[Runs, int], int]


@dataclass(frozen=True)
class Outcome:
    """Of one simulated sweep. `right`: whether the true best was named after each step [steps]; `runs`: when the
    certainty was WANTED first (the most, where never); `right_then`; `reached`."""

    right: np.ndarray
    runs: int
    right_then: bool
    reached: bool


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=300)
    parser.add_argument("--rows", type=int, default=10)
    parser.add_argument("--most", type=int, default=160, help="runs")
    parser.add_argument("--first", type=int, default=1, help="seeds of each to begin with")
    args = parser.parse_args()
    gaps = 0.5 * np.arange(args.rows)
    table, needed = [], {}
    for name, policy in (("equal", equal), ("analysis.next", advised)):
        found = [simulate(gaps, policy, args.first, args.most, sweep) for sweep in range(args.sweeps)]
        share = np.stack([one.right for one in found]).mean(0)
        enough = np.flatnonzero([share[step:].min() >= WANTED for step in range(len(share))])
        settled = args.rows * args.first + STEP * int(enough[0]) if len(enough) else None
        runs = np.array([one.runs for one in found])
        needed[name] = (settled, float(np.median(runs)), float(runs.mean()))
        certain = np.array([one.right_then for one in found if one.reached])
        error = 196 * np.sqrt(certain.mean() * (1 - certain.mean()) / len(certain))
        low, middle, high = np.quantile(runs, [0.25, 0.5, 0.75])
        table.append(
            [
                name,
                str(settled),
                f"{middle:.0f} ({low:.0f} to {high:.0f})",
                f"{runs.mean():.0f}",
                f"{100 * certain.mean():.1f} ± {error:.1f}",
                str(len(found) - len(certain)),
            ]
        )
    first, second = needed["equal"], needed["analysis.next"]
    ratios = [f"{100 * b / a:.0f} %" if a and b else "-" for a, b in zip(first, second, strict=True)]
    table.append(["of equal allocation", *ratios, "", ""])
    headings = ["allocation", "runs until 90 % are right", "runs until certain: median (quartiles)", "mean"]
    headings += ["right when certain %", "never certain"]
    show(
        f"{args.sweeps} simulated sweeps, {args.rows} configurations, seeds each to begin with: {args.first}",
        headings,
        table,
    )


def equal(runs: Runs, _: int) -> int:
    """The one with the fewest runs."""
    return int(runs.seeds.argmin())


def advised(runs: Runs, seed: int) -> int:
    """As analysis.next has it."""
    if runs.seeds.max() == 1 or (runs.seeds > 1).sum() < 2:
        return int(np.where(runs.seeds == 1, runs.percent, -np.inf).argmax())
    return int(worth_of_a_run(runs, believe(runs, 12, 60, seed)).argmax())


def simulate(gaps: np.ndarray, policy: Policy, first_seeds: int, most: int, seed: int) -> Outcome:
    """One sweep, with runs that are the same for all policies."""
    generator = np.random.default_rng(seed)
    truth = 90.0 - generator.permutation(gaps)
    every = truth[:, None] + generator.standard_normal((len(gaps), most))
    seeds = np.full(len(gaps), first_seeds)
    right, first = [], None
    while True:
        runs = state(every, seeds)
        repeated = bool((seeds > 1).any())
        p = believe(runs, 24, 60, int(seeds.sum())).p_best if repeated else np.zeros(len(gaps))
        named = int(p.argmax()) if repeated else int(runs.percent.argmax())
        right.append(truth[named] == truth.max())
        if first is None and p[named] >= WANTED:
            first = (int(seeds.sum()), bool(right[-1]))
        if seeds.sum() + STEP > most:
            break
        for _ in range(STEP):
            seeds[policy(state(every, seeds), int(seeds.sum()))] += 1
    there = first if first is not None else (most, bool(right[-1]))
    return Outcome(np.array(right), *there, first is not None)


def state(every: np.ndarray, seeds: np.ndarray) -> Runs:
    """What is seen after so many seeds of each configuration."""
    seen = [values[:count] for values, count in zip(every, seeds, strict=True)]
    means = np.array([one.mean() for one in seen])
    variances = np.array([one.var(ddof=1) if len(one) > 1 else np.nan for one in seen])
    rows = len(seeds)
    return Runs(means, seeds.copy(), variances, np.zeros((rows, rows)), 0.01, np.ones(rows))


if __name__ == "__main__":
    main()
