"""hydra/launcher=slurm_workers: what takes minutes. Slurm's own time limit, and kills at random."""

import random
import signal
from pathlib import Path

import pytest
from conftest import Door
from slurm_sweeps import Start, Sweep, command, has_begun, local, members, no_jobs_left, slurm, start, until
from sweeping import results, trouble

__all__ = ["no_jobs_left", "slurm", "start"]
pytestmark = [pytest.mark.cluster_full, pytest.mark.timeout(900)]


def test_slurms_time_limit(start: Start, train: Door, tmp_path: Path) -> None:
    """A run of three epochs in jobs of a minute, whatever it takes."""
    assert train(*local(tmp_path), "seed=0,1").code == 0
    trouble(tmp_path, {"*": "slow 12"})
    short = ["hydra.launcher.timeout_min=1", "hydra.launcher.grace_s=14"]
    sweep = start(*command(tmp_path, *short), "seed=0,1")
    sweep.until("goes on elsewhere from its last saved epoch: its worker")
    trouble(tmp_path, {})
    assert sweep.end() == 0, sweep.out
    assert results(tmp_path / "outputs" / "slurm") == results(tmp_path / "outputs" / "local")


def test_whatever_is_killed_whenever(start: Start, train: Door, tmp_path: Path) -> None:
    """Controllers, workers, runs, jobs: nothing is lost, and nothing that was done is done again."""
    grid, sweep, dice = ["seed=range(4)", "optimizer=adam,sgd"], tmp_path / "outputs" / "slurm", random.Random(0)
    mine = [*command(tmp_path, "hydra.launcher.lost_s=10"), *grid]
    assert train(*local(tmp_path), *grid).code == 0
    trouble(tmp_path, {"*": "slow 0.7"})
    written: dict[Path, int] = {}
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        running = start(*mine)
        for what in dice.sample(["worker", "run", "job"], k=2):
            _kill_one(running, sweep, what, dice)
        running.kill(number)
        running.end()
        assert written.items() <= _done(sweep).items(), "what was done has been done again"
        written = _done(sweep)
    trouble(tmp_path, {})
    last = start(*mine)
    assert last.end() == 0, last.out
    assert written.items() <= _done(sweep).items()
    assert results(sweep) == results(tmp_path / "outputs" / "local")


def _done(sweep: Path) -> dict[Path, int]:
    return {
        file: file.stat().st_mtime_ns
        for file in sweep.glob("*/*/record.json")
        if '"status": "done"' in file.read_text()
    }


def _kill_one(running: Sweep, sweep: Path, what: str, dice: random.Random) -> None:
    until(lambda: running.process.poll() is not None or (members(sweep) and has_begun(sweep, 1)), lambda: running.out)
    slurm = running.slurm
    if what == "job":
        if jobs := slurm.jobs("R"):
            slurm.call("scancel", dice.choice(jobs))
    elif what == "worker":
        if found := members(sweep):
            slurm.call("kill", "-9", str(dice.choice(found)["process"]))
    elif runs := slurm.call("pgrep", "-f", "forkserver").stdout.split():
        slurm.call("kill", "-9", dice.choice(runs))
