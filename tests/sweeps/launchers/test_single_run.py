"""Runs without -m beside others on one machine: they start at once, with the cores that are left."""

import os
from pathlib import Path

import pytest
from conftest import Door, run_folders
from outcome import record_of
from sweeping import Running, Starter, small, start, trouble, without

from sweeps.launchers.claims import Claims, Need

__all__ = ["start"]
CORES = tuple(sorted(os.sched_getaffinity(0)))


@pytest.fixture(autouse=True)
def nobody_says_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def single(tmp_path: Path, seed: int, *more: str) -> list[str]:
    """Of a network that takes no time, on all cores that there are for it."""
    arguments = without(small(tmp_path), "-m", "hydra.launcher.slots", "trainer.threads")
    return [*arguments, f"seed={seed}", "trainer.threads=auto", *more]


def threads(tmp_path: Path) -> dict[int, int]:
    """By seed, of the runs that are done."""
    records = [record_of(folder) for folder in run_folders(tmp_path / "outputs") if (folder / "record.json").exists()]
    return {record["seed"]: record["threads"] for record in records if record["status"] == "done"}


def until_it_trains(run: Running, folder: Path) -> None:
    run.until("epoch 1/")
    assert len(list(folder.glob("single-*"))) == 1


def test_the_second_of_two_runs_takes_what_the_first_leaves(
    tmp_path: Path, train: Door, start: Starter, runtime_folder: Path
) -> None:
    trouble(tmp_path, {"1": "hold 2"})
    first = start(*single(tmp_path, 1), FINEGRID_RUNTIME=str(runtime_folder))
    until_it_trains(first, runtime_folder)
    second = train(*single(tmp_path, 2))
    assert second.code == 0, second.err
    words = f"1 of {len(CORES)} CPU threads, as others train on this machine: process {first.process.pid} (run "
    assert (words in second.out + second.err) == (len(CORES) > 1)
    assert train(*single(tmp_path, 3, "trainer.threads=2")).code == 0, "who says a number gets it"
    trouble(tmp_path, {})
    assert first.end() == 0
    assert train(*single(tmp_path, 4)).code == 0
    assert threads(tmp_path) == {1: len(CORES), 2: 1, 3: 2, 4: len(CORES)}
    assert {file.name for file in runtime_folder.iterdir()} == {"mutex"}, "nothing is left behind"
    assert "OMP_NUM_THREADS" not in os.environ


def test_a_killed_run_leaves_all_cores(tmp_path: Path, train: Door, start: Starter, runtime_folder: Path) -> None:
    trouble(tmp_path, {"1": "kill 2"})
    killed = start(*single(tmp_path, 1), FINEGRID_RUNTIME=str(runtime_folder))
    assert killed.end() != 0
    assert len(list(runtime_folder.glob("single-*"))) == 1, "its file is there still"
    assert train(*single(tmp_path, 2)).code == 0
    assert threads(tmp_path) == {2: len(CORES)}


def test_a_run_that_goes_on_keeps_its_threads_and_says_nothing(
    tmp_path: Path, train: Door, start: Starter, runtime_folder: Path
) -> None:
    trouble(tmp_path, {"1": "kill 2"})
    assert start(*single(tmp_path, 1), FINEGRID_RUNTIME=str(runtime_folder)).end() != 0
    trouble(tmp_path, {})
    sweep = Claims("other", {0: Need("cpu", len(CORES), CORES)})
    assert sweep.take([0]) == 0
    again = train(*single(tmp_path, 1))
    sweep.close()
    assert again.code == 0 and "as others train" not in again.out + again.err
    assert threads(tmp_path) == {1: len(CORES)}


def test_what_sweeps_claim_is_left_to_them(tmp_path: Path, train: Door, runtime_folder: Path) -> None:
    sweep = Claims("other", {0: Need("cpu", 1, CORES), 1: Need("gpu GPU-a", 1)})
    assert sweep.take([0]) == 0 and sweep.take([1]) == 1
    assert train(*single(tmp_path, 1)).code == 0
    sweep.close()
    assert threads(tmp_path) == {1: max(1, len(CORES) - 1)}


def test_sweeps_do_not_wait_for_single_runs(tmp_path: Path, train: Door, start: Starter, runtime_folder: Path) -> None:
    trouble(tmp_path, {"1": "hold 2"})
    first = start(*single(tmp_path, 1), FINEGRID_RUNTIME=str(runtime_folder))
    until_it_trains(first, runtime_folder)
    assert train(*small(tmp_path), "seed=2,3", "sweep.name=sweep", "hydra.launcher.wait=false").code == 0
    trouble(tmp_path, {})
    assert first.end() == 0
