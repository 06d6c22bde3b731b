"""Comparisons of rows, against calculations by hand."""

import math

import numpy as np
import pytest

from analysis.statistics import inference
from analysis.statistics.comparisons import Criteria, compare_rows
from analysis.statistics.differences import independent_difference
from analysis.statistics.noise import Noise
from analysis.statistics.results import RowResults
from benchmarks import truth_units
from benchmarks.simulated_sweeps import Setting


def row(val_percent: float, test_percent: float, test_set_id: str = "", seeds: int = 1) -> RowResults:
    return RowResults(np.full(seeds, val_percent), np.full(seeds, test_percent), 100, None, test_set_id)


def test_the_reference_is_the_best_by_val_and_on_a_tie_the_one_with_more_seeds() -> None:
    rows = {"a": row(97.0, 99.0), "b": row(98.0, 90.0), "c": row(98.0, 50.0, seeds=2), "other": row(1.0, 1.0, "images")}
    comparisons = compare_rows(rows)
    assert (comparisons.reference, comparisons.claim) == ("c", "configuration")
    assert {key: one.mark for key, one in comparisons.by_row.items()} == {
        "a": "better",
        "b": "better",
        "c": "reference",
        "other": "",
    }
    assert math.isnan(comparisons.by_row["other"].diff) and comparisons.by_row["a"].diff == pytest.approx(49.0)
    named = compare_rows({key: rows[key] for key in "ab"}, "a")
    assert (named.reference, named.claim, named.by_row["b"].spread) == ("a", "model", "")
    assert compare_rows({}).reference is None


def test_rows_of_two_tables_differ_by_both_intervals() -> None:
    unrepeated = Noise(None, None, math.nan)
    found = independent_difference(row(90.0, 80.0), unrepeated, row(90.0, 70.0), unrepeated)
    (low, high), (other_low, other_high) = inference.wilson(0.8, 100), inference.wilson(0.7, 100)
    assert found.points == pytest.approx(10.0)
    # Newcombe's interval is the same rule with Wilson's intervals
    assert (found.low / 100, found.high / 100) == pytest.approx(inference.unpaired_difference([80, 70], [100, 100]))
    assert found.low == pytest.approx(10 - 100 * math.hypot(0.8 - low, other_high - 0.7))
    assert found.high == pytest.approx(10 + 100 * math.hypot(high - 0.8, 0.7 - other_low))


def test_intervals_cover_where_two_seeds_tell_the_spread() -> None:
    """Of rows and of differences from a reference that was named, in 400 sweeps."""
    setting = Setting("five rows with two seeds", (2,) * 5, 2000, 2000)
    found = truth_units.measure("named", setting, 0, 400)
    for kind in ("rows", "differences"):
        assert 0.935 < found[f"{kind} covered"] / found[kind] < 0.985


def test_a_reference_that_is_named_at_a_later_look_may_have_been_picked_before() -> None:
    """Then intervals and marks allow for that, as if val had picked it at this look."""
    generator = np.random.default_rng(0)
    drawn = generator.normal(90, 1, (4, 3))
    rows = {name: RowResults(values, values, 2000) for name, values in zip("abcd", drawn, strict=True)}
    first, later = compare_rows(rows, "a"), compare_rows(rows, "a", criteria=Criteria(looks=2))
    assert first.named and not later.named and later.given and later.reference == "a"
    assert compare_rows(rows, "a", criteria=Criteria(looks=2), named=True).critical < later.critical
