"""Sentences whose numbers are known by hand."""

import math
import re

import numpy as np
from report_runs import near

from analysis.model.sentences import ComparedRows, detectable_difference, how_to_resolve_a_tie
from analysis.statistics.comparisons import Comparison, Comparisons, compare_rows
from analysis.statistics.noise import Noise
from analysis.statistics.results import RowResults
from analysis.statistics.spread import PooledSpread


def test_how_much_it_would_take_in_words() -> None:
    """Two rows that differ by 1 point, with a spread of 2 points between seeds and no images to differ on."""
    nothing = np.zeros((2, 1000), dtype=bool)
    results = {
        "first": RowResults(np.array([95.0, 95.0]), np.array([90.0, 92.0]), 1000, nothing),
        "second": RowResults(np.array([94.0, 94.0]), np.array([89.0, 91.0]), 1000, nothing),
    }
    spread = PooledSpread(4.0, df=10**6, rows=1, prior_variance_points2=4.0, prior_df=math.inf)
    marked = {
        "first": Comparison(0, 100, mark="reference"),
        "second": Comparison(0, 100, diff=-1.0, diff_low=-4.92, diff_high=2.92, mark="not separated"),
    }
    comparisons = Comparisons("first", marked, Noise(spread, None, 0.0))
    rows = ComparedRows(results, comparisons, {"first": "A", "second": "B"}, n_val=100)
    said = how_to_resolve_a_tie(rows)
    assert re.search(r"A and B differ by 1\.0 ± 3\.9 points; \d+ more seeds of A and \d+ more seeds of B would", said)
    chance = re.search(r"in about (\d+) % of cases if that is the true difference", said)
    assert chance and 80 <= int(chance[1]) <= 85
    assert said.endswith("(then say --looks 2 --reference first).")


def test_the_difference_that_is_seen_is_that_of_the_test_that_marks() -> None:
    """Spreads of 2 points that are known well, at 50 %, and no images to differ on: 1.96 + 0.84 standard errors."""
    percent = 50 + np.tile([-1.995, 1.995], 100)
    results = {name: RowResults(percent, percent, 10**9) for name in ("first", "second")}
    rows = ComparedRows(results, compare_rows(results, "first"), {"first": "A", "second": "B"}, n_val=100)
    said = [float(word) for word in re.findall(r"(\d+\.\d) with \d+ seeds", detectable_difference(rows))]
    assert said == near([2.8 * math.sqrt(2 * 4 / 5), 2.8 * math.sqrt(2 * 4 / 200)], 0.2)
