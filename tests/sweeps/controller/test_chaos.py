"""Random kills, again and again: the end is that of an undisturbed sweep, bit for bit."""

import os
import random
import signal
import time
from pathlib import Path

import pytest
from conftest import Door
from sweeping import Starter, results, small, start, trouble

__all__ = ["start"]
SWEEPS = {
    "grid": ["seed=range(4)", "optimizer=adam,sgd"],
    "study": [
        "hydra/sweeper=optuna_async",
        "hydra/sweeper/sampler=random",
        "hydra.sweeper.sampler.seed=1",
        "optimizer.lr=tag(log,interval(1e-4,1e-1))",
        "hydra.sweeper.n_trials=8",
        "hydra.launcher.slots=1",  # with one slot the order of trials, and so what is drawn, is fixed
    ],
}


@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", SWEEPS)
def test_whatever_is_killed_whenever(start: Starter, train: Door, tmp_path: Path, kind: str) -> None:
    command = [*small(tmp_path, 4), *SWEEPS[kind], "hydra.launcher.retries=3"]
    assert train(*command, "sweep.name=good").code == 0
    trouble(tmp_path, {"*": "slow 0.4"})
    dice, killed = random.Random(kind), 0
    for number in (signal.SIGKILL, signal.SIGINT, signal.SIGKILL, signal.SIGTERM):
        running = start(*command, "sweep.name=bad")
        wanted = killed + dice.randint(2, 3)
        while killed < wanted and running.process.poll() is None:
            time.sleep(dice.uniform(0.3, 1.5))
            if victims := [line.split()[1] for line in running.alive() if "forkserver" in line]:
                victim = int(dice.choice(victims))
                try:
                    os.kill(victim, signal.SIGKILL)
                except ProcessLookupError:
                    continue
                killed += 1
        time.sleep(dice.uniform(0, 1))
        if running.process.poll() is None:
            running.signal(number)
        running.end()
        running.until_all_are_gone()
    assert killed >= 4, "nothing was tried"
    trouble(tmp_path, {})
    last = train(*command, "sweep.name=bad")
    if last.code == 1:  # killed more often than `retries`: failed rows, which the same command tries again
        last = train(*command, "sweep.name=bad")
    assert last.code == 0, last.err
    assert results(tmp_path / "outputs" / "bad") == results(tmp_path / "outputs" / "good")
