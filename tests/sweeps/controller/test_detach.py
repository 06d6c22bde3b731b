"""sweep.detach=true on this machine: the sweep outlives its terminal, and the same command shows it."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Door
from sweeping import WAIT_S, Running, Starter, records, results, small, start, trouble, without

from sweeps.detached import where_it_lives
from sweeps.status import main as status

__all__ = ["start"]
pytestmark = pytest.mark.timeout(600)
LAUNCHERS = {
    "local": ["hydra.launcher.slots=2"],
    "folder_workers": ["hydra/launcher=folder_workers", "hydra.launcher.workers=2", "hydra.launcher.slots=1"],
}


def command(tmp_path: Path, launcher: str, *settings: str) -> list[str]:
    return [*without(small(tmp_path), "hydra.launcher"), "sweep.name=far", *LAUNCHERS[launcher], *settings]


def controller(sweep: Path) -> int:
    """The process of the detached controller."""
    return int(json.loads((sweep / ".detached" / "controller.json").read_text())["process"])


def log_of(sweep: Path) -> str:
    file = sweep / "controller.log"
    return file.read_text() if file.exists() else ""


def until(what: Callable[[], object], sweep: Path) -> None:
    ends = time.monotonic() + WAIT_S
    while not what():
        assert time.monotonic() < ends, log_of(sweep)
        time.sleep(0.05)


def has_begun(sweep: Path, count: int) -> bool:
    return sum(file.read_text().count("\n") > 1 for file in sweep.glob("*/seed=*/history.csv")) >= count


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[Path]:
    """The folder; its controller goes with the test."""
    folder = tmp_path / "outputs" / "far"
    yield folder
    if where_it_lives(folder):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(controller(folder), signal.SIGKILL)


@pytest.mark.chaos
@pytest.mark.parametrize("launcher", ["local", "folder_workers"])
def test_a_sweep_outlives_its_terminal(launcher: str, start: Starter, train: Door, tmp_path: Path, sweep: Path) -> None:
    grid = [*command(tmp_path, launcher), "seed=0,1,2"]
    assert train(*grid, "sweep.name=near").code == 0
    trouble(tmp_path, {"*": "hold 2"})
    first = start(*grid, "sweep.detach=true")
    assert first.end() == 0, first.out
    assert "plan: 3 runs: 3 new" in first.out and "this terminal may close" in first.out
    assert f"{sweep} --watch shows it" in first.out and f"its output: {sweep / 'controller.log'}" in first.out
    until(lambda: has_begun(sweep, 2), sweep)
    assert not first.alive(), "nothing of it is left in the terminal's session"
    view = start(*grid, "sweep.detach=true")
    view.until("Ctrl-C leaves it running", "2 running")
    view.signal(signal.SIGINT, group=True)
    assert view.end() == 0, view.out
    assert "the sweep goes on without this view" in view.out
    closed = start(*grid, "sweep.detach=true")
    closed.until("2 running")
    closed.signal(signal.SIGKILL, group=True)
    closed.end()
    trouble(tmp_path, {})
    until(lambda: not where_it_lives(sweep), sweep)
    assert results(sweep) == results(tmp_path / "outputs" / "near"), "bit for bit"
    assert "3 runs" in log_of(sweep) or len(records(sweep)) == 3
    again = train(*grid, "sweep.detach=true")
    assert again.code == 0 and "3 done" in again.out and "this terminal may close" not in again.out
    assert "val_acc" in again.out, "the table, here"


@pytest.mark.chaos
def test_the_next_command_takes_a_dead_controllers_work_over(start: Starter, tmp_path: Path, sweep: Path) -> None:
    study = ["hydra/sweeper=optuna_async", "hydra/sweeper/sampler=random", "hydra.sweeper.n_trials=5"]
    grid = [*command(tmp_path, "local"), *study, "optimizer.lr=interval(1e-4,1e-2)", "sweep.detach=true"]
    trouble(tmp_path, {"*": "hold 2"})
    assert start(*grid).end() == 0
    until(lambda: has_begun(sweep, 2), sweep)
    os.kill(controller(sweep), signal.SIGKILL)
    until(lambda: not where_it_lives(sweep), sweep)
    trouble(tmp_path, {})
    second = start(*grid)
    assert second.end() == 0 and "this terminal may close" in second.out, second.out
    until(lambda: not where_it_lives(sweep), sweep)
    done = [json.loads(file.read_text())["status"] for file in sweep.glob("*/*/record.json")]
    assert done == ["done"] * 5, log_of(sweep)


@pytest.mark.chaos
def test_cancel_all_ends_a_detached_sweep(
    start: Starter, tmp_path: Path, sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trouble(tmp_path, {"*": "slow 0.5"})
    grid = [*command(tmp_path, "local"), "seed=0,1,2", "sweep.detach=true", "trainer.epochs=50"]
    assert start(*grid).end() == 0
    until(lambda: has_begun(sweep, 2), sweep)
    other = start(*grid, "optimizer.lr=0.01")
    assert other.end() == 2 and "for another command: " in other.out, other.out
    assert status([str(sweep), "--cancel-all"]) == 0, capsys.readouterr().err
    until(lambda: not where_it_lives(sweep), sweep)
    assert "cancelled; the same command again goes on" in log_of(sweep)


def test_mistakes_are_told_at_once(train: Door, tmp_path: Path) -> None:
    wrong = train(*command(tmp_path, "local"), "seed=0", "sweep.detach=true", "optimizer.lr=-1")
    assert wrong.code == 2 and "optimizer.lr=-1" in wrong.err
    alone = train("sweep.detach=true")
    assert alone.code == 2 and "sweep.detach=true: is for a sweep, which needs -m" in alone.err
    plan = train(*command(tmp_path, "local"), "seed=0", "sweep.detach=true", "sweep.plan=true")
    assert plan.code == 0 and "1 new" in plan.out
    assert not (tmp_path / "outputs").exists()


@pytest.mark.chaos
def test_a_session_of_its_own(start: Starter, tmp_path: Path, sweep: Path) -> None:
    """Two at once begin one."""
    trouble(tmp_path, {"*": "hold 2"})
    grid = [*command(tmp_path, "local"), "seed=0", "sweep.detach=true"]
    both: list[Running] = [start(*grid), start(*grid)]
    until(lambda: has_begun(sweep, 1), sweep)
    until(lambda: any(one.process.poll() is not None for one in both), sweep)
    assert os.getsid(controller(sweep)) == controller(sweep)
    trouble(tmp_path, {})
    for one in both:
        assert one.end() == 0, one.out
    assert sum("this terminal may close" in one.out for one in both) == 1
    assert sum("Ctrl-C leaves it running" in one.out for one in both) == 1
