"""The luck of the best against simulated luck."""

import math

import numpy as np
from report_runs import near

from analysis.statistics.selection import selection_bias_points
from analysis.statistics.spread import pool


def test_luck_of_the_best() -> None:
    generator = np.random.default_rng(0)
    luck, estimated = [], []
    for _ in range(400):  # true accuracies differ by a standard deviation of 1, and noise is as large
        truth = generator.normal(90, 1, 20)
        seen = truth + generator.normal(0, 1, 20)
        rows = [np.array([value]) for value in seen]
        pooled = pool({"a": np.array([90.0, 90.0 + math.sqrt(2)])}, 0.01)  # a spread of 1
        estimated.append(selection_bias_points(rows, 300, pooled))
        luck.append(seen.max() - truth[seen.argmax()])
    assert np.mean(estimated) == near(float(np.mean(luck)), 0.12)
