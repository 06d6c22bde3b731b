"""Which workers are believed: beats that don't change, devices that are broken."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from sweeps.launchers.launcher import Handle
from sweeps.launchers.workers.assignment import Assignment
from sweeps.launchers.workers.board import Beat, Watch, take
from sweeps.launchers.workers.crew import Crew
from sweeps.launchers.workers.launcher import WorkerSlot
from sweeps.launchers.workers.queue import Entry

CUDA = RuntimeError("CUDA error: uncorrectable ECC error encountered")


class NoEngine:
    """Of workers that nobody has to start."""

    def start(self, count: int) -> None:
        pass

    def alive(self) -> int:
        return 2

    def dead(self) -> list[str]:
        return []

    def failed_starts(self) -> list[str]:
        return []

    def lack(self) -> str:
        return ""

    def give_up(self, name: str, told: Mapping[str, Any]) -> None:
        pass

    def stop(self, grace_s: float) -> None:
        pass


@pytest.fixture
def crew(tmp_path: Path) -> Crew:
    """Of the workers a and b."""
    for name in ("members", "boards/c/aside"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("a", "b"):
        (tmp_path / "members" / name).write_text('{"slots": ["cpu 0"], "leaving": ""}')
    crew = Crew(tmp_path, tmp_path / "boards" / "c", NoEngine(), 2, lost_s=60)
    crew.look()
    return crew


def entry(number: int) -> Entry:
    config = OmegaConf.create({"hydra": {"overrides": {"task": []}}})
    folder = Path("run")
    return Entry(Handle(number, folder, WorkerSlot(0, "")), Assignment(number, config, folder), number)


def ended(error: Exception | None) -> JobReturn:
    status = JobStatus.COMPLETED if error is None else JobStatus.FAILED
    return JobReturn(status=status, _return_value=1.0 if error is None else error)


def test_two_device_failures_in_a_row_set_a_worker_aside(crew: Crew, tmp_path: Path) -> None:
    assert crew.blames("a", entry(0), ended(CUDA)) and not crew.aside
    assert not crew.blames("a", entry(1), ended(None)), "it works after all"
    assert crew.blames("a", entry(2), ended(CUDA)) and not crew.aside
    assert crew.blames("a", entry(3), ended(CUDA)) and crew.aside == {"a"}
    assert [file.name for file in (tmp_path / "boards" / "c" / "aside").iterdir()] == ["a"]


def test_what_fails_on_two_workers_is_the_runs_own_fault(crew: Crew) -> None:
    first, second = entry(0), entry(1)
    assert crew.blames("a", first, ended(CUDA)) and not crew.blames("b", first, ended(CUDA))
    assert crew.blames("a", second, ended(CUDA)) and not crew.aside, "the first counts no more"


def test_other_errors_are_the_runs_own(crew: Crew) -> None:
    for error in (ValueError("no such file"), RuntimeError("CUDA out of memory")):
        assert not crew.blames("a", entry(0), ended(error))


def test_a_beat_lives_while_it_changes(tmp_path: Path) -> None:
    file, watch = tmp_path / "beat", Watch()
    beat = Beat(file, lambda: {"slots": 2}, every_s=0.01)
    beat.start()
    try:
        ends = time.monotonic() + 60
        while not watch.lives(file, lost_s=60):
            assert time.monotonic() < ends
    finally:
        beat.stop()
    assert not watch.lives(file, lost_s=60), "it is gone"


def test_a_copied_beat_never_lives(tmp_path: Path) -> None:
    (tmp_path / "beat").write_text('{"beat": 7}')
    watch = Watch()
    assert not any(watch.lives(tmp_path / "beat", lost_s=60) for _ in range(3))


def test_a_run_is_taken_once(tmp_path: Path) -> None:
    (tmp_path / "todo").write_text("run")
    assert take(tmp_path / "todo", tmp_path / "taken.a") and not take(tmp_path / "todo", tmp_path / "taken.b")
    assert take(tmp_path / "todo", tmp_path / "taken.a"), "whom the server has told twice knows by the target"
