"""The luck of the best against simulated luck."""

import numpy as np
import pytest
from report_runs import near

from analysis.statistics.noise import estimate_noise
from analysis.statistics.results import RowResults
from analysis.statistics.selection import selection_bias_points
from benchmarks import truth_units
from benchmarks.simulated_sweeps import Setting


def test_luck_of_the_best() -> None:
    generator = np.random.default_rng(0)
    luck, estimated = [], []
    for _ in range(200):  # true accuracies differ by a standard deviation of 1, and the noise of two seeds is as large
        truth = generator.normal(80, 1, 20)
        seen = truth[:, None] + generator.normal(0, np.sqrt(2), (20, 2))
        rows = [RowResults(values, values, 10**9) for values in seen]  # no images' luck
        estimated.append(selection_bias_points(rows, estimate_noise({str(n): row for n, row in enumerate(rows)})))
        best = seen.mean(1).argmax()
        luck.append(seen[best].mean() - truth[best])
    assert np.mean(estimated) == near(float(np.mean(luck)), 0.2)


@pytest.mark.parametrize("seeds", [1, 3])
def test_few_val_images_flatter_the_best_row_too(seeds: int) -> None:
    """The spread between seeds alone, on the same val images, doesn't show their luck."""
    found = truth_units.measure("selection", Setting("50 val images", (seeds,) * 20, 50, 350), 0, 60)
    true, said = float(np.mean(found["lucks"])), found["said"] / found["sweeps"]
    error = float(np.std(found["lucks"])) / 60**0.5
    assert abs(said - true) < 0.15 * true + 3 * error
