"""Hydra's own launchers: plan, run folders, skipping and resuming are the same under them."""

from pathlib import Path

import pytest
from conftest import ROOT, Door
from sweeping import records, results, small, tree, trouble, without

pytestmark = pytest.mark.chaos  # slow: their processes import torch anew

LAUNCHERS = {
    "joblib": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    "submitit_local": ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5"],
}


def stock(tmp_path: Path) -> list[str]:
    return without(small(tmp_path, 2), "hydra.launcher")


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_grid_twice(train: Door, tmp_path: Path, launcher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))  # for the network, in their processes
    command = [*stock(tmp_path), "seed=0,1", "optimizer=adam,sgd"]
    result = train(*command, *LAUNCHERS[launcher], "sweep.name=stock")
    assert result.code == 0, result.err
    assert "plan: 4 runs: 4 new" in result.out
    before = {path: time for path, time in tree(tmp_path / "outputs" / "stock").items() if path.endswith("record.json")}
    assert len(before) == 4
    again = train(*command, *LAUNCHERS[launcher], "sweep.name=stock")
    assert again.code == 0 and "plan: 4 runs: 4 done" in again.out
    now = tree(tmp_path / "outputs" / "stock")
    assert {path: now[path] for path in before} == before, "nothing is trained again"
    assert train(*command, "hydra.launcher.slots=2", "sweep.name=ours").code == 0
    assert results(tmp_path / "outputs" / "stock") == results(tmp_path / "outputs" / "ours"), "bit for bit"


def test_a_failed_run_is_a_row_and_tried_again(train: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    command = [*stock(tmp_path), *LAUNCHERS["joblib"], "seed=0,1,2"]
    trouble(tmp_path, {"1": "raise 2"})
    failed = train(*command)
    assert failed.code == 1 and "1 of the runs failed" in failed.err
    assert [records(tmp_path)[seed]["status"] for seed in range(3)] == ["done", "failed", "done"]
    trouble(tmp_path, {})
    healed = train(*command)
    assert healed.code == 0 and "plan: 3 runs: 1 failed before and tried again, 2 done" in healed.out
    assert "going on after epoch 1 of 2" in next(tmp_path.rglob("seed=1/run.log")).read_text()


def test_a_study_in_batches(train: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    study = ["hydra/sweeper=optuna_async", "hydra/sweeper/sampler=random", "hydra.sweeper.sampler.seed=3"]
    command = [*stock(tmp_path), *LAUNCHERS["joblib"], *study, "optimizer.lr=tag(log,interval(1e-4,1e-1))"]
    result = train(*command, "hydra.sweeper.n_trials=3")
    assert result.code == 0, result.err
    assert "JoblibLauncher runs whole batches: 2 trials at once, without pruning" in result.out
    assert len(list(tmp_path.rglob("record.json"))) == 3
