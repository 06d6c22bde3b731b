"""train.py's exit codes: a failed run is 1 and a mistake 2, whatever shows the traceback and under any launcher; the
same command tries a failed run once more."""

import signal
from pathlib import Path

import pytest
from conftest import QUICK, ROOT, Door
from sweeping import Starter, records, small, trouble, without

__all__ = ["start"]
from sweeping import start

STOCK = {
    "basic": ["hydra/launcher=basic"],
    "joblib": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    "submitit_local": ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5"],
}


def one_run(tmp_path: Path) -> list[str]:
    return without(small(tmp_path, 1), "-m", "hydra.launcher")


@pytest.mark.parametrize("value", ["0", "1", None])
def test_a_failed_run_is_1(train: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    """And the variable is as it was afterwards."""
    import os

    import train as module

    trouble(tmp_path, {"*": "raise 1"})
    monkeypatch.setattr("sys.argv", ["train.py", *one_run(tmp_path), f"sweep.root={tmp_path / 'outputs'}"])
    monkeypatch.setenv("FINEGRID_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    if value is not None:
        monkeypatch.setenv("HYDRA_FULL_ERROR", value)
    assert module.main() == 1
    assert os.environ.get("HYDRA_FULL_ERROR") == value
    assert records(tmp_path)[0]["status"] == "failed"


def test_full_errors_show_the_traceback_and_keep_the_code(shell: Door, tmp_path: Path) -> None:
    trouble(tmp_path, {"*": "raise 1"})
    paths = {"HYDRA_FULL_ERROR": "1", "PYTHONPATH": str(ROOT / "tests")}
    failed = shell("train.py", *one_run(tmp_path), f"sweep.root={tmp_path / 'outputs'}", **paths)
    assert failed.code == 1 and "Traceback" in failed.err
    assert failed.err.rstrip().endswith("error: RuntimeError: broken on purpose")
    mistake = shell("train.py", "trainer.epochs=0", f"sweep.root={tmp_path / 'nothing'}", **paths)
    assert mistake.code == 2 and "Traceback" in mistake.err and not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("mode", ["-m", "hydra.mode=MULTIRUN"])
def test_failed_runs_are_tried_once_a_command(train: Door, tmp_path: Path, mode: str) -> None:
    command = [mode, *small(tmp_path, 1)[1:], "seed=0,1"]
    trouble(tmp_path, {"1": "raise 1"})
    for plan in ("2 runs: 2 new", "2 runs: 1 failed before and tried again, 1 done"):
        failed = train(*command)
        assert failed.code == 1 and f"plan: {plan}" in failed.out, failed
        assert failed.out.count("#1 started") == 1 and "1 of the runs failed" in failed.err
    trouble(tmp_path, {})
    assert train(*command).code == 0
    assert [records(tmp_path)[seed]["status"] for seed in (0, 1)] == ["done", "done"]


@pytest.mark.chaos
@pytest.mark.parametrize("launcher", STOCK)
def test_under_hydras_own_launchers(
    train: Door, tmp_path: Path, launcher: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    command = without(small(tmp_path, 1), "hydra.launcher")
    command += [*STOCK[launcher], "seed=0,1"]
    trouble(tmp_path, {"1": "raise 1"})
    assert train(*command).code == 1
    assert [records(tmp_path)[seed]["status"] for seed in (0, 1)] == ["done", "failed"]
    trouble(tmp_path, {})
    assert train(*command).code == 0


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("full", ["0", "1"])
@pytest.mark.slow
def test_signals_of_one_run(start: Starter, tmp_path: Path, number: int, code: int, full: str) -> None:
    trouble(tmp_path, {"*": "slow 20"})
    running = start(*one_run(tmp_path), HYDRA_FULL_ERROR=full)
    running.until("identity")
    running.signal(number)
    assert running.end() == code, running.out


def test_a_mistake_is_2(train: Door, tmp_path: Path) -> None:
    assert train(*QUICK, "trainer.epochs=0").code == 2
    assert not (tmp_path / "outputs").exists()
