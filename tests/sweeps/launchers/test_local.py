"""hydra/launcher=local: slots, isolated runs, failures, signals."""

import multiprocessing.forkserver
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from conftest import ROOT, Door, run_folders
from sweeping import Starter, records, results, small, start, tree, trouble

from sweeps.launchers.slots import gpu_names, lay_out

__all__ = ["start"]
FAILS = {
    "0": "raise 2",
    "1": "memory",
    "2": "cuda_memory 3",
    "3": "odd",
    "4": "exit 2",
    "5": "kill 1",
    "6": "hang",
    "7": "leave_child",
}
KINDS = ["exception", "out_of_memory", "out_of_memory", "exception", "exit", "killed", "timeout", "killed"]


@pytest.mark.chaos
def test_every_failure_is_a_row_and_the_others_go_on(train: Door, tmp_path: Path) -> None:
    command = [*small(tmp_path), "seed=range(10)", "hydra.launcher.timeout_minutes=0.3", "sweep.name=bad"]
    trouble(tmp_path, FAILS | {"8": "kill 3"})
    result = train(*command)
    assert result.code == 1, result.err
    assert "8 of the runs failed" in result.err
    bad = tmp_path / "outputs" / "bad"
    found = records(bad)
    assert [found[seed]["failure"]["kind"] for seed in range(8)] == KINDS
    assert [found[seed]["status"] for seed in (8, 9)] == ["done", "done"], "killed once and not at all"
    assert "2 done, 8 failed" in " ".join(result.out.split()), "the table counts them"
    assert 'raise RuntimeError("broken on purpose")' in result.out, "the last lines of its log"
    assert "OddError: broken on purpose in a test" in result.out, "an exception that can't be read back"
    assert result.out.count("was killed; it goes on") == 7, (
        "two three times more, one once; but not what was out of memory"
    )
    assert "going on after epoch 2 of 3" in next(bad.glob("*/seed=8/run.log")).read_text()

    trouble(tmp_path, {})
    before = tree(next(bad.glob("*/seed=8")))
    again = train(*command)
    assert again.code == 0, again.err
    assert "plan: 10 runs: 8 failed before and tried again, 2 done; about" in again.out
    assert tree(next(bad.glob("*/seed=8"))) == before, "a finished run is left alone"
    assert train(*command, "sweep.name=good", "hydra.launcher.slots=1").code == 0
    assert results(bad) == results(tmp_path / "outputs" / "good")


def test_slots_share_the_cores_and_nothing_leaks(train: Door, tmp_path: Path) -> None:
    command = [argument for argument in small(tmp_path, 1) if not argument.startswith("trainer.threads")]
    assert train(*command, "seed=0,1").code == 0
    cores = len(os.sched_getaffinity(0))
    assert {record["threads"] for record in records(tmp_path / "outputs" / "grid").values()} == {max(1, cores // 2)}

    def ours() -> tuple[int, list[int]]:
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
        return len(list(Path("/proc/self/fd").iterdir())), sorted(map(int, children))

    before = ours()
    assert train(*command, "seed=range(2,8)").code == 0
    assert ours() == before, "file descriptors, processes and zombies"
    processes = {record["time"]["process"] for record in records(tmp_path / "outputs" / "grid").values()}
    assert len(processes) == 8 and os.getpid() not in processes, "a process each"


@pytest.mark.chaos
def test_runs_outlive_the_server_they_were_forked_from(train: Door, tmp_path: Path) -> None:
    command = [*small(tmp_path), "seed=0,1,2"]
    assert train(*command, "sweep.name=good").code == 0
    trouble(tmp_path, {"*": "slow 0.5"})
    server = multiprocessing.forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]

    def kill_it_later() -> None:
        while not list((tmp_path / "outputs" / "bad").rglob("resume.pt")):
            time.sleep(0.05)
        os.kill(server, signal.SIGKILL)

    threading.Thread(target=kill_it_later, daemon=True).start()
    result = train(*command, "sweep.name=bad")
    assert result.code == 0, result.err
    assert "was killed; it goes on from its last saved epoch" in result.out
    assert results(tmp_path / "outputs" / "bad") == results(tmp_path / "outputs" / "good")


@pytest.mark.parametrize("sweeper", ["basic", "optuna"])
def test_stock_sweepers_run_on_it(train: Door, tmp_path: Path, sweeper: str) -> None:
    command = [*small(tmp_path, 1), f"hydra/sweeper={sweeper}", "seed=3,4"]
    if sweeper == "optuna":
        command += ["hydra.sweeper.n_trials=4", "hydra/sweeper/sampler=grid", "hydra.sweeper.direction=maximize"]
    for _ in range(2):
        result = train(*command)
        assert result.code == 0, result.err
        written = [folder / "record.json" for folder in run_folders(tmp_path)]
        assert sorted(records(tmp_path)) == [3, 4]
        times = {file: file.stat().st_mtime_ns for file in written}
    assert times == {file: file.stat().st_mtime_ns for file in written}
    trouble(tmp_path, {"5": "raise"})
    failed = train(*small(tmp_path, 1), "hydra/sweeper=basic", "seed=5")
    assert failed.code == 1 and failed.err.endswith("\nerror: RuntimeError: broken on purpose\n")


@pytest.mark.chaos
def test_interrupted_again_and_again(start: Starter, train: Door, tmp_path: Path) -> None:
    """Ctrl-C, twice, SIGTERM, SIGKILL: each time the same command goes on, and the end is that of an unbroken sweep."""
    command = [*small(tmp_path, 4), "seed=0,1,2"]

    def epochs() -> list[int]:
        logs = [(folder / "run.log").read_text() for folder in run_folders(tmp_path / "outputs" / "grid")]
        return sorted(max((n for n in range(1, 5) if f"epoch {n}/4" in log), default=0) for log in logs)

    trouble(tmp_path, {"*": "hold 1"})
    first = start(*command)
    first.until("#0 started", "#1 started")
    first.signal(signal.SIGINT, group=True)
    first.until("interrupted: ")
    trouble(tmp_path, {})
    assert first.end() == 130, first.out
    assert "interrupted: the epochs under way are finished" in first.out
    assert first.out.endswith("interrupted; the same command again goes on\n")
    assert epochs() == [1, 1] and "Traceback" not in first.out
    assert "2 unfinished" in first.out
    first.until_all_are_gone()

    trouble(tmp_path, {"*": "hold 1"})
    second = start(*command)
    second.until("2 to resume", "#0 started", "#1 started")
    second.signal(signal.SIGINT, group=True)
    second.until("interrupted:")
    second.signal(signal.SIGINT, group=True)
    assert second.end() == 130 and "Traceback" not in second.out, second.out
    second.until_all_are_gone()

    third = start(*command, "hydra.launcher.grace_s=2")
    third.until("#0 started", "#1 started")
    third.signal(signal.SIGTERM, group=True)
    assert third.end() == 143 and "Traceback" not in third.out, third.out
    assert epochs() == [1, 1]
    third.until_all_are_gone()

    trouble(tmp_path, {"*": "hold 2"})  # epochs of a process: the second is the third of the run
    fourth = start(*command)
    fourth.until("#0 epoch 2/4", "#1 epoch 2/4")
    fourth.signal(signal.SIGKILL)
    fourth.end()
    fourth.until_all_are_gone()
    assert not list(tmp_path.rglob("record.json")), "they ended, and not because they were done"

    trouble(tmp_path, {})
    last = train(*command)
    assert last.code == 0, last.err
    assert train(*command, "sweep.name=good").code == 0
    assert results(tmp_path / "outputs" / "grid") == results(tmp_path / "outputs" / "good")


SLOW_SERVER = """
import pathlib, sys, time
if "forkserver" in " ".join(sys.orig_argv):
    place = pathlib.Path(__file__).parent
    (place / "importing").touch()
    while not (place / "go_on").exists():
        time.sleep(0.02)
"""


@pytest.mark.slow
def test_a_signal_before_the_first_run(start: Starter, tmp_path: Path) -> None:
    """While the fork server imports torch: it must not die of the terminal's Ctrl-C, nor may a run begin."""
    (tmp_path / "sitecustomize.py").write_text(SLOW_SERVER)
    running = start(*small(tmp_path), "seed=0,1", PYTHONPATH=f"{tmp_path}:{ROOT / 'tests'}")
    running.until("plan: 2 runs")
    while not (tmp_path / "importing").exists():
        time.sleep(0.02)
    running.signal(signal.SIGINT, group=True)
    time.sleep(0.1)
    (tmp_path / "go_on").touch()
    assert running.end() == 130
    assert "Traceback" not in running.out and "started" not in running.out, running.out
    assert not run_folders(tmp_path)
    running.until_all_are_gone()


@pytest.mark.chaos
def test_two_sweeps_of_the_same_runs_share_the_work(start: Starter, train: Door, tmp_path: Path) -> None:
    command = [*small(tmp_path), "seed=0,1,2"]
    assert (
        train(*command, "seed=0", "sweep.name=warm").code == 0
    )  # else the other is done before torch is imported here
    trouble(tmp_path, {"*": "slow 4"})  # ours is planned long before the other is done
    other = start(*command)
    other.until("#0 started", "#1 started")
    ours = train(*command)
    assert other.end() == 0, other.out
    assert ours.code == 0, ours.err
    assert "waits: " in ours.out and "is in use by process" in ours.out
    sweep = tmp_path / "outputs" / "grid"
    logs = [(folder / "run.log").read_text() for folder in run_folders(sweep)]
    assert [log.count("epoch 1/3") for log in logs] == [1, 1, 1]
    assert {record["status"] for record in records(sweep).values()} == {"done"}


def test_max_hours_ends_the_sweep(train: Door, tmp_path: Path) -> None:
    for hours in (0.0003, 0.003, 0.03):  # on a busy machine no run may have started within a second
        trouble(tmp_path, {"*": f"slow {hours * 3600}"})  # so the second of three epochs ends too late
        result = train(*small(tmp_path), "seed=range(4)", f"sweep.max_hours={hours}")
        assert result.code == 0 and f"sweep.max_hours={hours} are over; the same command again goes on" in result.err
        if run_folders(tmp_path):
            break
    assert 1 <= len(run_folders(tmp_path)) <= 2
    assert not list(tmp_path.rglob("record.json"))


def test_slots_of_gpus() -> None:
    """(On a machine without one: what is asked of CUDA is left out.)"""
    assert gpu_names(2, None) == ["0", "1"]
    assert gpu_names(2, "3, GPU-abc,5") == ["3", "GPU-abc"], "as CUDA sees them: what comes after is not there"
    assert gpu_names(0, "") == []
    places = [
        (slot.name, slot.environment()["CUDA_VISIBLE_DEVICES"], slot.threads) for slot in lay_out("03", "auto", 2, 16)
    ]
    assert places == [("gpu 0", "0", 4), ("gpu 3", "3", 4), ("gpu 0", "0", 4), ("gpu 3", "3", 4)]
    assert [slot.gpu for slot in lay_out("01", 3, 1, 16)] == ["0", "1", "0"]
    assert [slot.gpu for slot in lay_out("01", 1, 1, 16)] == ["0"]
    cpu = lay_out([], 3, 1, 2)
    assert [slot.environment() for slot in cpu] == [
        {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    ] * 3
    assert [(slot.number, slot.threads) for slot in lay_out([], "auto", 4, 8)] == [(0, 8)]
