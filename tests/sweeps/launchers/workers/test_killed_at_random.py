"""Controllers, workers and runs killed at random: nothing is lost, nothing is done twice, and the end is that of an
undisturbed sweep, bit for bit."""

import contextlib
import os
import random
import signal
import time
from pathlib import Path

import pytest
from conftest import Door
from outcome import record_of
from sweeping import Running, Starter, endings, small, start, trouble, without

__all__ = ["start"]
pytestmark = [pytest.mark.cluster_full, pytest.mark.timeout(900)]
WORKERS = ["hydra/launcher=folder_workers", "hydra.launcher.slots=1", "hydra.launcher.lost_s=20"]
STUDY = ["hydra/sweeper=optuna_async", "hydra/sweeper/sampler=random", "hydra.sweeper.sampler.seed=1"]
SWEEPS = {
    "grid": ["hydra.launcher.workers=2", "seed=range(3)", "optimizer=adam,sgd"],
    "study": [
        "hydra.launcher.workers=1",  # with one slot the order of trials, and so what is drawn, is fixed
        *STUDY,
        "hydra.sweeper.n_trials=6",
        "optimizer.lr=tag(log,interval(1e-4,1e-1))",
    ],
}


def done(sweep: Path) -> dict[Path, int]:
    """When each run that is done has written its record."""
    files = sweep.glob("*/*/record.json")
    return {file: file.stat().st_mtime_ns for file in files if record_of(file.parent)["status"] == "done"}


@pytest.mark.parametrize("kind", SWEEPS)
def test_whatever_is_killed_whenever(start: Starter, train: Door, tmp_path: Path, kind: str) -> None:
    command = [*without(small(tmp_path, 4), "hydra.launcher"), *WORKERS, *SWEEPS[kind]]
    undisturbed = [*small(tmp_path, 4), *without(SWEEPS[kind], "hydra.launcher"), "hydra.launcher.slots=1"]
    assert train(*undisturbed, "sweep.name=good").code == 0
    trouble(tmp_path, {"*": "slow 0.4"})
    dice, sweep = random.Random(kind), tmp_path / "outputs" / "bad"
    killed = {"workers.worker": 0, "forkserver": 0}
    finished: dict[Path, int] = {}
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        running = start(*command, "sweep.name=bad")
        for what in dice.sample(sorted(killed), k=2):
            _kill_one(running, what, dice, killed)
        if running.process.poll() is None:
            running.signal(number)
        running.end()
        running.until_all_are_gone()
        assert finished.items() <= done(sweep).items(), "what was done has been done again"
        finished = done(sweep)
    assert all(killed.values()), f"nothing was tried: {killed}"
    trouble(tmp_path, {})
    last = train(*command, "sweep.name=bad")
    if last.code == 1:  # killed more often than `retries`: failed rows, which the same command tries again
        last = train(*command, "sweep.name=bad")
    assert last.code == 0, last.err
    assert finished.items() <= done(sweep).items()
    assert endings(sweep) == endings(tmp_path / "outputs" / "good")


def _kill_one(running: Running, what: str, dice: random.Random, killed: dict[str, int]) -> None:
    """A process of this kind, where one comes up while the sweep runs."""
    ends = time.monotonic() + 60
    while running.process.poll() is None and time.monotonic() < ends:
        if victims := [line.split()[1] for line in running.alive() if what in line]:
            time.sleep(dice.uniform(0, 1.5))
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(dice.choice(victims)), signal.SIGKILL)
                killed[what] += 1
            return
        time.sleep(0.1)
