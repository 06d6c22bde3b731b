"""python -m benchmarks.cluster: that each of its tables can be had, with as little as will do."""

import json
from pathlib import Path

import pytest
from conftest import Door

from benchmarks.cluster.idle import idle_of


def rows(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_idle_time_is_what_is_not_slept_while_runs_wait() -> None:
    """Two slots; the second pair begins half a second after the first one's ends."""
    spans = [[0.0, 2.0], [0.0, 2.0], [2.5, 4.5], [2.5, 4.5]]
    found = idle_of(spans, slots=2)
    assert (found.percent, found.a_run_s, found.runs) == (20.0, 0.5, 2)


@pytest.mark.bench
def test_the_controllers_memory(shell: Door, tmp_path: Path) -> None:
    result = shell("-m", "benchmarks.cluster", "memory", "--trials", "200", "--out", str(tmp_path / "out"))
    assert result.code == 0, result.err
    (row,) = rows(tmp_path / "out")
    assert row["what"] == "memory" and isinstance(row["mb_a_trial"], float) and row["mb_a_trial"] < 0.05
    assert "MB a trial (bar: 0.05)" in result.out


@pytest.mark.bench
def test_storages(shell: Door, tmp_path: Path) -> None:
    command = ["storages", "--controllers", "1", "2", "--kinds", "journal", "sqlite", "--seconds", "0.5"]
    result = shell("-m", "benchmarks.cluster", *command, "--out", str(tmp_path / "out"))
    assert result.code == 0, result.err
    found = [(row["storage"], row["controllers"], row["gave_up"]) for row in rows(tmp_path / "out")]
    assert found == [("journal", 1, 0), ("journal", 2, 0), ("sqlite", 1, 0), ("sqlite", 2, 0)]


@pytest.mark.bench
def test_idle_slots(shell: Door, tmp_path: Path) -> None:
    command = ["idle", "--slots", "2", "--engines", "local", "folder_workers", "ray_workers"]
    result = shell("-m", "benchmarks.cluster", *command, "--out", str(tmp_path / "out"))
    assert result.code == 0, result.err
    assert [row["engine"] for row in rows(tmp_path / "out")][:2] == ["local", "folder_workers"]


@pytest.mark.bench
def test_listing(shell: Door, tmp_path: Path) -> None:
    result = shell("-m", "benchmarks.cluster", "listing", "--runs", "3", "--out", str(tmp_path / "out"))
    assert result.code == 0, result.err
    (row,) = rows(tmp_path / "out")
    assert {"python -m sweeps.status", "train.py -m ... sweep.plan=true"} <= set(row)
