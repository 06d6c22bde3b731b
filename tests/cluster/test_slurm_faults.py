"""hydra/launcher=slurm_workers when something goes wrong: controllers killed, runs cancelled, nodes and devices lost,
time that is short. What comes out is what the local launcher makes undisturbed, to the bit."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Door
from slurm_parts import Slurm
from slurm_sweeps import Start, bring_back, command, has_begun, local, lose, members, no_jobs_left, slurm, start, until
from sweeping import endings, results, trouble

__all__ = ["no_jobs_left", "slurm", "start"]
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
STUDY = [
    "hydra/sweeper=optuna_async",
    "hydra/sweeper/sampler=random",
    "hydra.sweeper.sampler.seed=1",
    "hydra/sweeper/pruner=hyperband",
    "hydra.sweeper.n_trials=20",
    "hydra.sweeper.study_name=one",  # which the brackets of hyperband go by
    "optimizer.lr=tag(log,interval(1e-4,1e-1))",
]


LOST = "hydra.launcher.lost_s=10"


def written(sweep: Path) -> dict[Path, int]:
    """When each record was written."""
    return {file: file.stat().st_mtime_ns for file in sweep.glob("*/*/record.json")}


def test_a_killed_controller_and_the_same_command_again(
    start: Start, slurm: Slurm, train: Door, tmp_path: Path
) -> None:
    """At once, while the workers of the first know nothing of its end."""
    grid, sweep = ["seed=range(3)", "optimizer=adam,sgd"], tmp_path / "outputs" / "slurm"
    assert train(*local(tmp_path), *grid).code == 0
    trouble(tmp_path, {"2": "hold 2"})
    first = start(*command(tmp_path, LOST), *grid)
    until(lambda: len(written(sweep)) == 4 and has_begun(sweep, 6), lambda: first.out)
    first.kill()
    before = written(sweep)
    again = start(*command(tmp_path, LOST), *grid)
    again.until("4 done")
    trouble(tmp_path, {})
    assert again.end() == 0, again.out
    assert results(sweep) == results(tmp_path / "outputs" / "local")
    assert before.items() <= written(sweep).items(), "what was done is not done again"


def test_a_study_goes_on_after_its_controller_was_killed(
    start: Start, slurm: Slurm, train: Door, tmp_path: Path
) -> None:
    sweep, one = tmp_path / "outputs" / "slurm", "hydra.launcher.workers=1"
    assert train(*local(tmp_path), *STUDY, "hydra.launcher.slots=1").code == 0
    first = start(*command(tmp_path, one, LOST), *STUDY)
    until(lambda: len(written(sweep)) >= 8, lambda: first.out)
    first.kill()
    again = start(*command(tmp_path, one, LOST), *STUDY)
    assert again.end() == 0, again.out
    found, wanted = endings(sweep), endings(tmp_path / "outputs" / "local")
    assert found == wanted and len(found) == 20 and "pruned" in str(wanted)


def test_a_run_is_cancelled_by_its_number(start: Start, train: Door, tmp_path: Path) -> None:
    assert train(*local(tmp_path), "seed=range(3)").code == 0
    sweep = tmp_path / "outputs" / "slurm"
    trouble(tmp_path, {"0": "hold 2"})
    running = start(*command(tmp_path), "seed=range(3)")
    running.until("#0 epoch 1/3")
    status = [sys.executable, "-m", "sweeps.status", str(sweep), "--cancel", "#0"]
    asked = subprocess.run(running.slurm.command(*status), cwd=ROOT, capture_output=True, text=True, check=False)
    assert asked.returncode == 0, asked.stderr
    trouble(tmp_path, {})
    assert running.end() == 0 and "1 cancelled; the same command takes them up" in running.out, running.out
    assert len(written(sweep)) == 2, "the others went on"
    again = start(*command(tmp_path), "seed=range(3)")
    assert again.end() == 0 and "2 done" in again.out, again.out
    assert results(sweep) == results(tmp_path / "outputs" / "local")


def test_a_worker_whose_time_is_short(start: Start, slurm: Slurm, train: Door, tmp_path: Path) -> None:
    """Its run goes on in the next one, which is submitted then."""
    assert train(*local(tmp_path), "seed=0").code == 0
    trouble(tmp_path, {"*": "hold 2"})
    short = ["hydra.launcher.worker_minutes=0.5", "hydra.launcher.grace_s=3", "hydra.launcher.workers=1"]
    sweep = start(*command(tmp_path, *short), "seed=0")
    sweep.until("goes on elsewhere from its last saved epoch: its worker's time ends")
    trouble(tmp_path, {})
    assert sweep.end() == 0, sweep.out
    assert results(tmp_path / "outputs" / "slurm") == results(tmp_path / "outputs" / "local")


def test_a_worker_with_a_broken_device_is_set_aside(start: Start, train: Door, tmp_path: Path) -> None:
    """After two failures in a row; its runs go on in the other."""
    assert train(*local(tmp_path), "seed=range(5)").code == 0
    fault = "may be the device's fault: it is tried elsewhere"
    trouble(tmp_path, {"*": "hold 2,broken_device"})
    sweep = start(*command(tmp_path), "seed=range(5)")
    sweep.until(fault)  # while the other worker is busy
    trouble(tmp_path, {"*": "slow 1,broken_device"})
    assert sweep.end() == 0, sweep.out
    assert sweep.out.count(fault) == 2, f"two of five runs, and then none:\n{sweep.out}"
    trouble(tmp_path, {})
    assert results(tmp_path / "outputs" / "slurm") == results(tmp_path / "outputs" / "local")


def test_a_node_is_lost(start: Start, slurm: Slurm, train: Door, tmp_path: Path) -> None:
    """All that runs there dies at once, and Slurm hears of it later."""
    assert train(*local(tmp_path), "seed=range(3)").code == 0
    sweep = tmp_path / "outputs" / "slurm"
    trouble(tmp_path, {"*": "hold 3"})
    running = start(*command(tmp_path, LOST, "hydra.launcher.gres=gpu:2"), "seed=range(3)")
    until(lambda: has_begun(sweep, 2), lambda: running.out)
    assert {one["host"] for one in members(sweep)} == {"node0", "node1"}
    lose(slurm, "node1")
    running.until("goes on elsewhere: its worker")
    trouble(tmp_path, {})
    assert running.end() == 0, running.out
    assert results(sweep) == results(tmp_path / "outputs" / "local")
    bring_back(slurm, "node1")
