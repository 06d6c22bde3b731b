"""hydra/launcher=slurm_workers on a real Slurm: two nodes with two GPUs each that are none."""

from pathlib import Path

import pytest
from conftest import Door
from slurm_parts import Slurm
from slurm_sweeps import Start, Sweep, command, has_begun, local, members, no_jobs_left, slurm, start, until
from sweeping import decisions, records, results, trouble

__all__ = ["Sweep", "no_jobs_left", "slurm", "start"]
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


def test_a_grid_on_two_workers_and_the_same_command_again(
    start: Start, slurm: Slurm, train: Door, tmp_path: Path
) -> None:
    grid = ["seed=range(6)", "optimizer=adam,sgd"]
    assert train(*local(tmp_path), *grid).code == 0
    sweep = start(*command(tmp_path), *grid)
    assert sweep.end() == 0, sweep.out
    assert results(tmp_path / "outputs" / "slurm") == results(tmp_path / "outputs" / "local"), "bit for bit"
    assert len(records(tmp_path / "outputs" / "slurm")) == 6
    assert "node0" in sweep.out, "the live view names the node"
    until(lambda: not slurm.jobs(), "the workers end with the sweep")
    again = start(*command(tmp_path), *grid)
    assert again.end() == 0 and "12 done" in again.out and not slurm.jobs()


def test_a_study_prunes_as_the_local_launcher_does(start: Start, train: Door, tmp_path: Path) -> None:
    study = ["hydra/sweeper=optuna_async", "hydra/sweeper/sampler=random", "hydra.sweeper.sampler.seed=1"]
    study += ["hydra/sweeper/pruner=hyperband", "hydra.sweeper.n_trials=20"]
    study += ["hydra.sweeper.study_name=one"]  # which the brackets of hyperband go by
    study += ["optimizer.lr=tag(log,interval(1e-4,1e-1))"]
    assert train(*local(tmp_path), *study, "hydra.launcher.slots=1").code == 0
    sweep = start(*command(tmp_path, "hydra.launcher.workers=1"), *study)
    assert sweep.end() == 0, sweep.out
    found, wanted = (decisions(tmp_path / "outputs" / name) for name in ("slurm", "local"))
    assert found == wanted and len(found) == 20 and "pruned" in str(wanted)


def test_scancel_of_a_worker(start: Start, slurm: Slurm, train: Door, tmp_path: Path) -> None:
    assert train(*local(tmp_path), "seed=range(3)").code == 0
    trouble(tmp_path, {"*": "slow 1"})
    sweep = start(*command(tmp_path), "seed=range(3)")
    until(lambda: has_begun(tmp_path / "outputs" / "slurm", 2), lambda: sweep.out)
    slurm.call("scancel", slurm.jobs("R")[0])
    sweep.until("goes on elsewhere from its last saved epoch: its worker was told to end")
    trouble(tmp_path, {})
    assert sweep.end() == 0, sweep.out
    assert results(tmp_path / "outputs" / "slurm") == results(tmp_path / "outputs" / "local")


def test_preemption(start: Start, slurm: Slurm, train: Door, tmp_path: Path) -> None:
    assert train(*local(tmp_path), "seed=range(4)").code == 0
    trouble(tmp_path, {"*": "slow 1"})
    one = command(tmp_path, "hydra.launcher.workers=4", "hydra.launcher.partition=gpu", "hydra.launcher.grace_s=10")
    sweep = start(*one, "seed=range(4)")
    until(lambda: has_begun(tmp_path / "outputs" / "slurm", 4), lambda: sweep.out)
    urgent = slurm.call("sbatch", "-p", "urgent", "--gres=gpu:1", "-o", "/dev/null", "--wrap", "sleep 5")
    assert urgent.returncode == 0, urgent.stderr
    sweep.until("goes on elsewhere from its last saved epoch: its worker was told to end")
    trouble(tmp_path, {})
    assert sweep.end() == 0, sweep.out
    assert results(tmp_path / "outputs" / "slurm") == results(tmp_path / "outputs" / "local")


def test_a_worker_is_killed(start: Start, slurm: Slurm, train: Door, tmp_path: Path) -> None:
    """At once, as when its node is lost: nobody says a word."""
    assert train(*local(tmp_path), "seed=range(2)").code == 0
    trouble(tmp_path, {"*": "hold 3"})
    sweep = start(*command(tmp_path, "hydra.launcher.lost_s=10"), "seed=range(2)")
    until(lambda: has_begun(tmp_path / "outputs" / "slurm", 2), lambda: sweep.out)
    slurm.call(
        "kill", "-9", str(members(tmp_path / "outputs" / "slurm")[0]["process"])
    )  # and all that runs there with it
    sweep.until("goes on elsewhere: its worker")
    trouble(tmp_path, {})
    assert sweep.end() == 0, sweep.out
    assert results(tmp_path / "outputs" / "slurm") == results(tmp_path / "outputs" / "local")


def test_what_slurm_refuses_is_one_line(start: Start, tmp_path: Path) -> None:
    sweep = start(*command(tmp_path, "hydra.launcher.partition=nowhere"), "seed=0")
    assert sweep.end() == 2
    assert "error: hydra/launcher=slurm_workers: " in sweep.out and "invalid partition" in sweep.out, sweep.out
