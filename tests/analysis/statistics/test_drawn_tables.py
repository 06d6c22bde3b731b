"""Drawn tables: what luck does to a mean and to the variance that its seeds show, against draws of accuracies."""

import math

import numpy as np
import pytest
from scipy.special import ndtr, ndtri
from scipy.stats import spearmanr

from analysis.statistics.comparisons import compare_rows
from analysis.statistics.drawn_tables import simulate
from analysis.statistics.noise import estimate_noise
from analysis.statistics.results import MeasuredResults, RowResults
from benchmarks.simulated_sweeps import Setting
from benchmarks.truth_units import GAPS
from benchmarks.truth_units import simulate as simulated_sweep


def table(accuracy: float, sd: float, kind: type[RowResults] = RowResults) -> dict[str, RowResults]:
    """Six rows of three seeds that differ by just this, on so many images that only seeds matter."""
    values = accuracy + sd * np.array([-1.0, 0.0, 1.0])
    return {f"row{number}": kind(values, values, 10**9) for number in range(6)}


def lean(rows: dict[str, RowResults]) -> float:
    """How far a row's luck goes with its true variance, in ranks, mean over the rows."""
    drawn = simulate(rows, estimate_noise(rows), None)
    pairs = zip(drawn.test.T, drawn.true_seeds.T, strict=True)
    return float(np.mean([spearmanr(test, true).statistic for test, true in pairs]))


@pytest.mark.parametrize(("accuracy", "sd"), [(89.0, 2.0), (95.0, 1.0), (89.0, 0.5)])
def test_a_row_that_was_lucky_varies_more_than_it_shows(accuracy: float, sd: float) -> None:
    """As mean and variance of three seeds correlate whose luck is normal on a probit scale."""
    z = float(ndtri(accuracy / 100))
    slope = 100 * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    seeds = 100 * ndtr(z + sd / slope * np.random.default_rng(0).standard_normal((400_000, 3)))
    true = -float(np.corrcoef(seeds.mean(1), seeds.var(1, ddof=1))[0, 1])
    assert true > 0.03 and lean(table(accuracy, sd)) == pytest.approx(true, rel=0.3, abs=0.03)


def test_luck_is_symmetric_at_50_percent_and_by_other_metrics() -> None:
    assert abs(lean(table(50.0, 2.0))) < 0.03
    assert lean(table(11.0, 2.0)) < -0.1, "below 50 % seeds stray further up"
    scores = np.random.default_rng(1).normal(0.5, 0.1, (3, 400))
    measured = {
        f"row{number}": MeasuredResults(scores.mean(1) * 100, scores.mean(1) * 100, 400, scores + number / 100)
        for number in range(6)
    }
    assert abs(lean(measured)) < 0.03


@pytest.mark.parametrize(
    "setting",
    [
        Setting("two rows", (3,) * 2, 2000, 2000, gaps=GAPS[1:2]),
        Setting("two seeds and one", (2, 1, 1), 350, 350, gaps=GAPS[1:]),
        Setting("unequal spreads", (2,) * 8, 2000, 2000, spreads="lognormal", gaps=GAPS),
    ],
)
def test_no_row_is_marked_whose_interval_holds_0(setting: Setting) -> None:
    generator, marked = np.random.default_rng(3), 0
    for _ in range(60):
        _, rows, found = simulated_sweep(setting, generator)
        named = compare_rows(rows, next(iter(rows)), named=True)
        for row in (*found.by_row.values(), *named.by_row.values()):
            if row.mark in ("worse", "better"):
                marked += 1
                assert row.p <= 0.05 and not row.diff_low <= 0 <= row.diff_high
    assert marked > 5
