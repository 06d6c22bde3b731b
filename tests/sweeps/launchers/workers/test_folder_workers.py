"""hydra/launcher=folder_workers: workers that are killed, frozen, out of time or on broken devices; records as ever."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, Door
from sweeping import WAIT_S, Starter, decisions, records, results, small, start, trouble, without

__all__ = ["start"]
pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]


def command(tmp_path: Path, name: str, *settings: str, epochs: int = 3) -> list[str]:
    """Two workers of one slot each."""
    launcher = ["hydra/launcher=folder_workers", "hydra.launcher.workers=2", "hydra.launcher.slots=1"]
    return [*without(small(tmp_path, epochs), "hydra.launcher"), f"sweep.name={name}", *launcher, *settings]


def local(tmp_path: Path, epochs: int = 3) -> list[str]:
    return [*small(tmp_path, epochs), "sweep.name=local"]


def until(what: Callable[[], object]) -> None:
    ends = time.monotonic() + WAIT_S
    while not what():
        assert time.monotonic() < ends, "it never came"
        time.sleep(0.05)


def members(sweep: Path) -> dict[str, dict[str, object]]:
    """What the workers that are there say of themselves, by their names."""
    found = {}
    for file in (sweep / ".workers" / "members").glob("[!.]*"):
        with contextlib.suppress(FileNotFoundError):
            found[file.name] = json.loads(file.read_text())
    return found


def busy(sweep: Path) -> list[int]:
    """Processes of the workers that have a run."""
    return [int(str(one["process"])) for one in members(sweep).values() if one["running"]]


def has_begun(sweep: Path, count: int) -> bool:
    """Whether so many runs are under way: each has told an epoch."""
    return sum(file.read_text().count("\n") > 1 for file in sweep.glob("*/seed=*/history.csv")) >= count


def test_a_killed_worker_gives_its_run_back(start: Starter, train: Door, tmp_path: Path) -> None:
    assert train(*local(tmp_path), "seed=0,1,2").code == 0
    trouble(tmp_path, {"*": "hold 3"})
    running, sweep = start(*command(tmp_path, "workers"), "seed=0,1,2"), tmp_path / "outputs" / "workers"
    until(lambda: has_begun(sweep, 2) and len(busy(sweep)) == 2)
    os.kill(busy(sweep)[0], signal.SIGKILL)
    running.until("goes on elsewhere: its worker")
    trouble(tmp_path, {})
    assert running.end() == 0, running.out
    running.until_all_are_gone()
    assert results(sweep) == results(tmp_path / "outputs" / "local"), "bit for bit"
    assert not (sweep / ".workers" / "boards").exists(), "nothing is left of the board"
    again = train(*command(tmp_path, "workers"), "seed=0,1,2")
    assert again.code == 0 and "3 done" in again.out and "started" not in again.out


def test_a_frozen_worker_is_lost_and_its_run_goes_on_in_another(start: Starter, train: Door, tmp_path: Path) -> None:
    assert train(*local(tmp_path), "seed=0").code == 0
    trouble(tmp_path, {"*": "hold 3"})
    one = command(tmp_path, "workers", "hydra.launcher.lost_s=4", "hydra.launcher.workers=1")
    running, sweep = start(*one, "seed=0"), tmp_path / "outputs" / "workers"
    until(lambda: has_begun(sweep, 1) and busy(sweep))
    os.kill(busy(sweep)[0], signal.SIGSTOP)
    running.until("goes on elsewhere: its worker")
    trouble(tmp_path, {})
    assert running.end() == 0, running.out
    running.until_all_are_gone()
    assert results(sweep) == results(tmp_path / "outputs" / "local")


def test_a_worker_told_to_end_gives_its_run_back_after_the_epoch(start: Starter, train: Door, tmp_path: Path) -> None:
    """As Slurm tells it before preemption, at the time limit and by scancel."""
    assert train(*local(tmp_path), "seed=0,1").code == 0
    trouble(tmp_path, {"*": "slow 1"})
    running, sweep = start(*command(tmp_path, "workers"), "seed=0,1"), tmp_path / "outputs" / "workers"
    until(lambda: has_begun(sweep, 1) and busy(sweep))
    os.kill(busy(sweep)[0], signal.SIGUSR2)
    running.until("goes on elsewhere from its last saved epoch: its worker was told to end")
    trouble(tmp_path, {})
    assert running.end() == 0, running.out
    assert results(sweep) == results(tmp_path / "outputs" / "local")


def test_what_does_not_end_in_a_workers_time_goes_on_in_the_next(start: Starter, train: Door, tmp_path: Path) -> None:
    assert train(*local(tmp_path), "seed=0").code == 0
    trouble(tmp_path, {"*": "hold 2"})
    short = ["hydra.launcher.worker_minutes=0.7", "hydra.launcher.grace_s=3", "hydra.launcher.workers=1"]
    running, sweep = start(*command(tmp_path, "workers", *short), "seed=0"), tmp_path / "outputs" / "workers"
    running.until("goes on elsewhere from its last saved epoch: its worker's time ends")
    trouble(tmp_path, {})
    assert running.end() == 0, running.out
    assert results(sweep) == results(tmp_path / "outputs" / "local")


def test_a_worker_that_is_started_by_hand_joins_in(start: Starter, train: Door, tmp_path: Path) -> None:
    """As on another machine that sees the folder."""
    assert train(*local(tmp_path), "seed=0,1").code == 0
    trouble(tmp_path, {"*": "hold 2"})
    running, sweep = start(*command(tmp_path, "workers", "hydra.launcher.workers=1"), "seed=0,1"), tmp_path / "outputs"
    sweep /= "workers"
    until(lambda: has_begun(sweep, 1) and busy(sweep))
    program = [sys.executable, "-m", "sweeps.launchers.workers.worker", str(sweep), "--settings", '{"slots": 1}']
    by_hand = subprocess.Popen(program, cwd=ROOT)
    until(lambda: has_begun(sweep, 2) and len(busy(sweep)) == 2)
    trouble(tmp_path, {})
    assert running.end() == 0, running.out
    assert by_hand.wait(WAIT_S) == 0, "it ends when nothing is left"
    assert results(sweep) == results(tmp_path / "outputs" / "local")


def test_a_worker_with_a_broken_device_is_set_aside(start: Starter, train: Door, tmp_path: Path) -> None:
    assert train(*local(tmp_path), "seed=range(5)").code == 0
    trouble(tmp_path, {"*": "slow 1,broken_device"})
    running, sweep = start(*command(tmp_path, "workers"), "seed=range(5)"), tmp_path / "outputs" / "workers"
    assert running.end() == 0, running.out
    assert 1 <= running.out.count("may be the device's fault: it is tried elsewhere") <= 2, running.out
    trouble(tmp_path, {})
    assert results(sweep) == results(tmp_path / "outputs" / "local")


def test_a_run_that_fails_on_two_workers_is_at_fault_itself(train: Door, tmp_path: Path) -> None:
    trouble(tmp_path, {"1": "cuda_fault"})
    result = train(*command(tmp_path, "workers"), "seed=0,1,2")
    assert result.code == 1, result.err
    status = {seed: record["status"] for seed, record in records(tmp_path / "outputs" / "workers").items()}
    assert status == {0: "done", 1: "failed", 2: "done"}


def test_a_killed_controller_takes_its_workers_along(start: Starter, train: Door, tmp_path: Path) -> None:
    assert train(*local(tmp_path), "seed=0,1").code == 0
    trouble(tmp_path, {"*": "hold 2"})
    running, sweep = start(*command(tmp_path, "workers"), "seed=0,1"), tmp_path / "outputs" / "workers"
    until(lambda: has_begun(sweep, 2))
    running.signal(signal.SIGKILL)
    running.end()
    running.until_all_are_gone()
    trouble(tmp_path, {})
    again = train(*command(tmp_path, "workers"), "seed=0,1")
    assert again.code == 0 and "2 to resume" in again.out, again.err
    assert results(sweep) == results(tmp_path / "outputs" / "local")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sweep_ends_in_order(start: Starter, tmp_path: Path, number: int) -> None:
    trouble(tmp_path, {"*": "slow 0.5"})
    running = start(*command(tmp_path, "workers", epochs=20), "seed=0,1")
    until(lambda: has_begun(tmp_path / "outputs" / "workers", 2))
    running.signal(number, group=True)
    assert running.end() == 128 + number, running.out
    running.until_all_are_gone()
    assert not list(tmp_path.rglob("record.json")), "both are to go on"


def test_a_search_prunes_as_the_local_launcher_does(train: Door, tmp_path: Path) -> None:
    """With one slot the order of trials is fixed, and so are the decisions."""
    study = ["hydra/sweeper=optuna_async", "hydra/sweeper/sampler=random", "hydra.sweeper.sampler.seed=1"]
    study += ["hydra/sweeper/pruner=hyperband", "hydra.sweeper.n_trials=20"]
    study += ["hydra.sweeper.study_name=one"]  # which the brackets of hyperband go by
    study += ["optimizer.lr=tag(log,interval(1e-4,1e-1))"]
    assert train(*local(tmp_path), *study, "hydra.launcher.slots=1").code == 0
    result = train(*command(tmp_path, "workers", "hydra.launcher.workers=1"), *study)
    assert result.code == 0, result.err
    found, wanted = (decisions(tmp_path / "outputs" / name) for name in ("workers", "local"))
    assert found == wanted and "pruned" in str(wanted)


def test_two_controllers_share_a_study_and_their_workers(start: Starter, tmp_path: Path) -> None:
    study = ["hydra/sweeper=optuna_async", "hydra/sweeper/sampler=random", "hydra.sweeper.n_trials=8"]
    both = command(tmp_path, "workers", "hydra.launcher.workers=1", *study, "optimizer.lr=interval(1e-4,1e-1)")
    started = [start(*both), start(*both)]
    for running in started:
        assert running.end() == 0, running.out
    for running in started:
        running.until_all_are_gone()
    found = decisions(tmp_path / "outputs" / "workers")
    assert len(found) == 8 and {status for status, _ in found.values()} == {"done"}


def test_workers_that_can_not_begin_are_one_line(train: Door, tmp_path: Path) -> None:
    result = train(*command(tmp_path, "workers", "hydra.launcher.devices=gpu"), "seed=0")
    assert result.code == 2 and "this machine has no CUDA device" in result.err, result.err
