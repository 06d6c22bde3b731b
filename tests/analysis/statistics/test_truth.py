"""benchmarks.truth, which says whether intervals and marks are true: that it measures and goes on."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import simulated_splits, truth, truth_claims, truth_tables, truth_units
from benchmarks.simulated_splits import Splits
from benchmarks.simulated_sweeps import Setting


def test_it_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "truth.jsonl"
    command = ["truth", "--out", str(file), "--settings", "2 rows x 3", "3 pairs x 2", "--sweeps"]
    monkeypatch.setattr(sys, "argv", [*command, "25"])
    truth.main()
    first = file.read_text().splitlines()
    monkeypatch.setattr(sys, "argv", [*command, "50"])
    truth.main()
    lines = file.read_text().splitlines()
    assert lines[: len(first)] == first and len(lines) > len(first)
    pieces = [(line["kind"], line["setting"], line["chunk"]) for line in map(json.loads, lines)]
    assert len(set(pieces)) == len(pieces)
    out = capsys.readouterr().out
    assert "figures pass their bars" in out and "2 rows x 3" in " ".join(out.split())


def test_a_piece_comes_out_the_same_wherever_it_is_done() -> None:
    setting = Setting("three", (2,) * 3, 50, 50)
    assert truth_units.measure("equal", setting, 1, 3) == truth_units.measure("equal", setting, 1, 3)
    assert truth_units.measure("equal", setting, 1, 3) != truth_units.measure("equal", setting, 2, 3)


def test_looks_that_are_told_mark_less() -> None:
    """Equal rows, looked at again after each of four more seeds."""
    setting = Setting("looked at", (2,) * 3, 500, 500, looks=5)
    found = truth_units.measure("looks", setting, 0, 20)
    assert found["any look"] <= found["any look, untold"] and found["any look"] <= 4


def test_a_first_look_at_one_seed_a_row_is_about_the_models() -> None:
    """Its marks are false where the models are not as they say: less often than the configurations are equal."""
    setting = Setting("from one seed on", (1,) * 3, 2000, 2000, seed_sd=2.0, looks=3)
    found = truth_units.measure("looks", setting, 0, 20)
    assert found["any look"] <= 4 < found["any look, read as configurations"]


def test_a_share_of_all_or_none_has_an_interval_too() -> None:
    bars = truth_tables.Bars()
    assert bars.share({"in": 400, "sweeps": 400}, "in", "sweeps", (0.935, 1), "all") == "100.0 (97.8 to 100.0)"
    assert bars.share({"sweeps": 400}, "in", "sweeps", (0, 0.06), "none") == "0.0 (0.0 to 2.2)"
    assert "FAIL" in bars.share({"in": 40, "sweeps": 400}, "in", "sweeps", (0, 0.01), "too many")
    assert bars.checked == 3 and len(bars.failed) == 1


def test_power_of_the_other_method_is_not_printed_where_there_is_none() -> None:
    worse = {"sweeps": 100, "all 4": 100, "marked 4": 60, "plain 4": [0.001] * 50 + [0.5] * 50}
    bars = truth_tables.Bars()
    assert truth_tables.power_cell("some", 4.0, worse, 0.0, bars) == "60 (-)"
    assert truth_tables.power_cell("some", 4.0, worse, 0.01, bars) == "60 (50)"


@pytest.mark.parametrize("kind", list(truth_claims.CLAIMS))
def test_every_claim_is_counted_and_shown(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    setting = truth_claims.CLAIMS[kind][0][0]
    found = truth.added([truth_units.measure(kind, setting, chunk, 2) for chunk in range(2)])
    assert found["sweeps"] == 4
    columns = truth_tables.CLAIM_TABLES[kind][1]
    assert all(found[whole] > 0 and found.get(part, 0) <= found[whole] for _, part, whole, _ in columns)
    truth_tables.show_tables({(kind, setting.name): found})
    assert "figures pass their bars" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["folds", "splits", "drawn"])
def test_learners_on_splits_are_as_good_as_is_said(kind: str) -> None:
    """The true accuracy of discriminants, by formula, against many test images; and no image on both sides."""
    setting = Splits(f"some {kind}", 4, 4, kind, n_pool=320, n_test=320)
    generator = np.random.default_rng(0)
    rows = [row for _ in range(12) for row in simulated_splits.rows_of(setting, generator).values()]
    means = np.array([row.test_percent.mean() for row in rows]).reshape(12, 4).mean(1)
    assert abs(means.mean() - simulated_splits.truth(setting)) < 3.5 * means.std(ddof=1) / np.sqrt(12)
    assert all(row.parts == (0, 1, 2, 3) and row.own_images == (kind == "drawn") for row in rows)
    assert {row.overlap for row in rows} == {{"folds": 1 / 3, "splits": 64 / 256, "drawn": 320 / 256}[kind]}
