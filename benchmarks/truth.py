"""Whether the report's intervals and marks are true: sweeps are simulated of which the truth is known.

python -m benchmarks.truth [--sweeps 1000]

19 configurations on the same 350 test (165 val) images, with predictions. Whether a run puts an image in its class is
a probit of the image's difficulty, the configuration's own view of the image, the run's luck (the same on val and
test) and chance; sizes are such that accuracies and the spread of replicates are those of tests/data/published_lab2.csv
(89.2 and 98.2 %; 1.96 points between replicates). All equal: how often intervals cover the truth (all rows, and all
differences from the reference, each bar 93.6 %), and in how many sweeps any row gets a mark (bar 6.4 %). Nine of them
worse by 2, 4 or 8 points: what proportion of those is marked worse.
"""

import argparse
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from analysis.statistics.comparisons import compare_rows
from analysis.statistics.results import RowResults
from benchmarks.measure import show

ROWS, WORSE, N_TEST, N_VAL = 19, 9, 350, 165
TEST, VAL, REPLICATE_SD = 89.2, 98.2, 1.96
IMAGE, VIEW, CHANCE = 1.0, 0.25, 0.5  # variances of the latent effects
DESIGNS = {
    "1 (8 of 19 rows: 2)": [2] * 8 + [1] * 11,
    "3": [3] * ROWS,
    "5": [5] * ROWS,
}


@dataclass
class Score:
    """Sums over sweeps."""

    rows: int = 0
    rows_covered: int = 0
    differences: int = 0
    differences_covered: int = 0
    sweeps: int = 0
    sweeps_marked: int = 0
    worse: int = 0
    worse_seen: int = 0


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=1000)
    sweeps = parser.parse_args().sweeps
    luck = luck_variance()
    table = []
    for name, seeds in DESIGNS.items():
        generator = np.random.default_rng(0)
        equal = Score()
        for _ in range(sweeps):
            simulate(generator, seeds, luck, 0.0, equal)
        power = []
        for gap in (2.0, 4.0, 8.0):
            score = Score()
            for _ in range(max(sweeps // 5, 1)):
                simulate(generator, seeds, luck, gap, score)
            power.append(f"{100 * score.worse_seen / score.worse:.1f}")
        proportions = (
            equal.rows_covered / equal.rows,
            equal.differences_covered / equal.differences,
            equal.sweeps_marked / equal.sweeps,
        )
        table.append([name, *(f"{100 * proportion:.1f}" for proportion in proportions), *power])
    headings = ["seeds a row", "rows covered %", "differences covered %", "any mark %"]
    headings += [f"power at {gap} points %" for gap in (2, 4, 8)]
    show(f"{sweeps} simulated sweeps, 19 rows, 350 test images; 95 % intervals, marks after Holm", headings, table)


def luck_variance() -> float:
    """Variance of a run's latent luck for which replicates on the same images differ by REPLICATE_SD, on average over
    sets of images."""
    generator = np.random.default_rng(1)
    images = generator.normal(0, np.sqrt(IMAGE + VIEW), (1000, N_TEST))
    runs = generator.normal(0, 1, (1000, 8, 1))

    def excess(variance: float) -> float:
        right = ndtr((level(TEST, variance) + images[:, None, :] + np.sqrt(variance) * runs) / np.sqrt(CHANCE))
        between = right.mean(2).var(axis=1, ddof=1).mean()
        chance = (right * (1 - right)).mean() / N_TEST
        return float(between + chance) - (REPLICATE_SD / 100) ** 2

    return float(brentq(excess, 1e-6, 1.0))


def level(accuracy: float, luck: float) -> float:
    """The latent mean at which a configuration is right in `accuracy` per cent, over all images and runs."""
    return float(ndtri(accuracy / 100) * np.sqrt(IMAGE + VIEW + CHANCE + luck))


def simulate(generator: np.random.Generator, seeds: list[int], luck: float, gap: float, score: Score) -> None:
    """One sweep, compared, and added to the score."""
    truth = np.full(ROWS, TEST)
    truth[generator.permutation(ROWS)[:WORSE]] -= gap
    difficulty = {n: generator.normal(0, np.sqrt(IMAGE), n) for n in (N_VAL, N_TEST)}
    rows = {}
    for number, count in enumerate(seeds):
        lucks = generator.normal(0, np.sqrt(luck), (count, 1))
        drawn = {}
        for n, accuracy in (
            (N_VAL, VAL - (TEST - truth[number]) * (100 - VAL) / (100 - TEST)),
            (N_TEST, truth[number]),
        ):
            view = generator.normal(0, np.sqrt(VIEW), n)
            chance = generator.normal(0, np.sqrt(CHANCE), (count, n))
            drawn[n] = level(accuracy, luck) + difficulty[n] + view + lucks + chance > 0
        val, test = (100 * drawn[n].mean(1) for n in (N_VAL, N_TEST))
        rows[str(number)] = RowResults(val, test, N_TEST, drawn[N_TEST])
    comparisons = compare_rows(rows, val_image_points=100 / N_VAL)
    reference = truth[int(comparisons.reference or 0)]
    for key, row in comparisons.by_row.items():
        true = truth[int(key)]
        score.rows += 1
        score.rows_covered += row.test_low <= true <= row.test_high
        if key != comparisons.reference:
            score.differences += 1
            score.differences_covered += row.diff_low <= true - reference <= row.diff_high
            if true < reference:
                score.worse += 1
                score.worse_seen += row.mark == "worse"
    score.sweeps += 1
    score.sweeps_marked += any(row.mark in ("worse", "better") for row in comparisons.by_row.values())


if __name__ == "__main__":
    main()
