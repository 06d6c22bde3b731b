"""Drawn tables: what luck does to a mean and to the variance that its seeds show, against draws of accuracies."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtr, ndtri
from scipy.stats import spearmanr

from analysis.statistics.comparisons import compare_rows
from analysis.statistics.drawn_tables import simulate
from analysis.statistics.noise import estimate_noise
from analysis.statistics.planning import critical_of_many_seeds
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
        Setting("most rows plainly worse", (3,) * 8, 2000, 2000, gaps=(4.0, *[15.0] * 6)),
    ],
)
def test_no_row_is_marked_whose_interval_holds_0(setting: Setting) -> None:
    generator, marked = np.random.default_rng(3), 0
    for _ in range(60):
        _, rows, found = simulated_sweep(setting, generator)
        named = compare_rows(rows, next(iter(rows)), named=True)
        for row in (*found.by_row.values(), *named.by_row.values()):
            assert row.mark == "reference" or (row.p <= 0.05) == (row.mark in ("worse", "better"))
            if row.mark in ("worse", "better"):
                marked += 1
                assert not row.diff_low <= 0 <= row.diff_high
    assert marked > 5


def test_equal_rows_stay_equal_and_folds_share_their_luck() -> None:
    """Luck that goes with variance has a mean, which is taken off; on the same folds rows' luck counts for more."""
    rows = table(95.0, 1.0)
    drawn = simulate(rows, estimate_noise(rows), None)
    assert np.abs(drawn.test.mean(0)).max() < 1e-6
    shared = np.random.default_rng(4).normal(0, 1.0, 10)
    folds = {
        key: replace(
            row,
            test_percent=95.0 + shared + np.random.default_rng(number).normal(0, 0.2, 10),
            val_percent=95.0 + shared,
            parts=tuple(range(10)),
            overlap=1 / 9,
        )
        for number, (key, row) in enumerate(rows.items())
    }
    noise = estimate_noise(folds)
    drawn = simulate(folds, noise, None)
    assert noise.pairing > 0.9 and abs(lean(folds)) < 0.05
    between = np.corrcoef(drawn.test.T)[np.triu_indices(6, 1)]
    assert between.min() > 0.8 * noise.pairing, "their differences stray no further than their errors say"


def test_more_seeds_make_a_table_no_harder_to_tell_apart() -> None:
    """Spreads that three seeds tell differently are not known to differ by thirty."""
    generator, setting = np.random.default_rng(5), Setting("19 rows", (3,) * 19, 2000, 2000)
    _, rows, found = simulated_sweep(setting, generator)
    criticals = [simulate(rows, found.noise, None, seeds).critical() for seeds in (3, 8, 30, 200)]
    assert criticals == sorted(criticals, reverse=True) and criticals[-1] < found.critical
    assert critical_of_many_seeds(rows, found, found.level) == pytest.approx(criticals[-1])
