"""Runs that share a card: several slots on it, MPS, and what happens to the others when one fails.

On a machine without a GPU: NVIDIA's programs are stand-ins, the number of cards is a test's word, and the runs compute
on the CPU. Tests marked `gpu` are of the real thing.
"""

import itertools
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Door
from gpu_stand_ins import StandIns, stand_ins
from sweeping import records, results, small, trouble

__all__ = ["stand_ins"]
SHARED = ["hydra.launcher.slots=auto", "hydra.launcher.slots_per_gpu=4"]


@pytest.fixture
def one_card(monkeypatch: pytest.MonkeyPatch, stand_ins: StandIns) -> StandIns:
    """A card, to the launcher."""
    monkeypatch.setattr("sweeps.launchers.slots._count_gpus", lambda: 1)
    stand_ins.cards(used=(0,))
    return stand_ins


def at_once(found: dict[int, dict[str, Any]]) -> int:
    """How many runs began (the process that ended them did) before another was over."""
    spans = sorted((record["time"]["started"], record["time"]["finished"]) for record in found.values())
    return sum(later[0] < earlier[1] for earlier, later in itertools.pairwise(spans))


def no_daemon_is_left(stand_ins: StandIns) -> None:
    for process, folder, _ in stand_ins.daemons():
        ends = time.monotonic() + 60
        while Path(f"/proc/{process}").exists():
            assert time.monotonic() < ends
            time.sleep(0.02)
        assert not folder.exists()


@pytest.mark.slow
def test_one_slot_and_four_come_to_the_same(train: Door, tmp_path: Path, one_card: StandIns) -> None:
    one_card.mps()
    for name, slots in (("one", ["hydra.launcher.slots_per_gpu=1"]), ("four", ["hydra.launcher.slots_per_gpu=4"])):
        command = [*small(tmp_path), "hydra.launcher.slots=auto", "seed=range(5)", *slots, f"sweep.name={name}"]
        result = train(*command, "model.kwargs.width=4")
        assert result.code == 0, result.err
        assert len(one_card.daemons()) == (name == "four"), "who has a card alone needs no MPS"
    assert results(tmp_path / "outputs" / "one") == results(tmp_path / "outputs" / "four")
    no_daemon_is_left(one_card)


@pytest.mark.chaos
@pytest.mark.parametrize("what", ["kill 3", "cuda_fault 3"])
def test_a_fault_under_mps(train: Door, tmp_path: Path, one_card: StandIns, what: str) -> None:
    """All runs of the card go on without MPS, one at a time; what fails again alone has failed."""
    one_card.mps()
    assert train(*small(tmp_path), *SHARED, "seed=range(5)", "sweep.name=good", "hydra.launcher.mps=off").code == 0
    assert not one_card.daemons()
    trouble(tmp_path, {"*": "slow 0.5", "1": what})
    result = train(*small(tmp_path), *SHARED, "seed=range(5)", "sweep.name=bad", "hydra.launcher.retries=0")
    found = records(tmp_path / "outputs" / "bad")
    assert "goes on from its last saved epoch, alone: " in result.out and "under MPS" in result.out
    assert result.code == 0, result.err  # in the third epoch of its process, of which the second has one
    assert results(tmp_path / "outputs" / "bad") == results(tmp_path / "outputs" / "good")
    assert not at_once(found), "one at a time"
    no_daemon_is_left(one_card)


def test_what_fails_again_alone_has_failed(train: Door, tmp_path: Path, one_card: StandIns) -> None:
    one_card.mps()
    trouble(tmp_path, {"0": "kill 1", "1": "slow 0.5", "2": "slow 0.5"})
    result = train(*small(tmp_path), *SHARED, "seed=0,1,2")
    found = records(tmp_path / "outputs" / "grid")
    assert result.code == 1 and [found[seed]["status"] for seed in range(3)] == ["failed", "done", "done"]
    assert found[0]["failure"]["kind"] == "killed" and result.out.count("#0 goes on") == 1
    no_daemon_is_left(one_card)


def test_out_of_memory_beside_others(train: Door, tmp_path: Path, one_card: StandIns) -> None:
    """It may be theirs: it is tried alone before it is a failure. The others stay."""
    trouble(tmp_path, {"0": "cuda_memory 3", "1": "slow 1", "2": "cuda_memory 1"})
    result = train(*small(tmp_path), *SHARED, "seed=0,1,2")
    found = records(tmp_path / "outputs" / "grid")
    assert "#0 goes on from its last saved epoch, alone: out of memory beside others" in result.out
    assert "#1 goes on" not in result.out
    assert [found[seed]["status"] for seed in range(3)] == ["done", "done", "failed"]
    assert found[2]["failure"]["kind"] == "out_of_memory"


def test_a_sweep_without_room_waits_and_says_so(train: Door, tmp_path: Path, one_card: StandIns) -> None:
    """Another program holds nearly all of the card, and lets go of it later."""
    one_card.cards(used=(81000,))

    def let_go() -> None:
        ends = time.monotonic() + 120
        while not any("waits for memory" in file.read_text() for file in tmp_path.rglob("state.json")):
            assert time.monotonic() < ends
            time.sleep(0.02)
        one_card.cards(used=(500,))

    threading.Thread(target=let_go, daemon=True).start()
    result = train("-m", "model=resnet18", "data.size=8", "debug=two_steps", "hydra.launcher.slots=1", "tracking=none")
    assert result.code == 0, result.err
    assert "waits for memory: gpu 0: other programs hold 79.1 GB of 79.6 GB, and this run needs about" in result.out
    assert "#0 done" in result.out


def test_auto_slots_fill_as_runs_tell_what_they_take(train: Door, tmp_path: Path, one_card: StandIns) -> None:
    """(On the CPU a run has no GPU memory to tell, so each kind stays unknown: one such run at a time.)"""
    command = ["-m", "model=resnet18", "data.size=8", "debug=two_steps", "tracking=none", "seed=0,1"]
    result = train(*command, "trainer.epochs=1")
    assert result.code == 0, result.err
    assert not at_once(records(tmp_path / "outputs")), "nobody knows what the first takes"


def test_the_longest_runs_begin_first(train: Door, tmp_path: Path, one_card: StandIns) -> None:
    """By the rule: nothing has run yet. Numbers keep the grid's order."""
    command = ["-m", "model=resnet18,resnet50", "data.size=32", "debug=two_steps", "tracking=none"]
    result = train(*command, "trainer.epochs=1")
    assert result.code == 0, result.err
    started = [line for line in result.out.splitlines() if " started: " in line]
    assert [line.split("-")[0] for line in started] == ["#1 started: resnet50", "#0 started: resnet18"]


@pytest.mark.parametrize("given", ["slots_per_gpu=0", "slots_per_gpu=many", "mps=maybe"])
def test_settings_out_of_range(train: Door, tmp_path: Path, given: str) -> None:
    result = train("-m", f"hydra.launcher.{given}", "seed=0,1")
    assert result.code == 2 and f"hydra.launcher.{given}" in result.err
