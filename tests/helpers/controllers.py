"""Many controllers on one study at the same time, whose runs are over at once (benchmarks/cluster/instant.py)."""

import contextlib
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState
from sweeping import WAIT_S, Running

from benchmarks.jobs import TINY

POINTS = ["hydra/sweeper/sampler=grid", "seed=range(0,200)", "optimizer=choice(adam,sgd)"]
COUNT = 400  # of these points


class Controller(Running):
    """A search of COUNT trials in a process of its own."""

    program = ("-m", "benchmarks.cluster.instant")


@contextlib.contextmanager
def eight_controllers(tmp_path: Path, names: Sequence[str], *settings: str) -> Iterator[list[Controller]]:
    """One for each of these names of sweeps, which may be equal; to the end of all. The first is killed at once when
    about a quarter of the trials has been begun."""
    common = ["-m", *TINY, "trainer.epochs=3", "hydra/launcher=instant", "hydra/sweeper=optuna_async", *POINTS]
    common += [f"hydra.sweeper.n_trials={COUNT}", *settings]
    started: list[Controller] = []
    try:
        started += [Controller(tmp_path, *common, f"sweep.name={name}") for name in names]
        ends = time.monotonic() + WAIT_S
        while sum(one.out.count(" done: ") for one in started) < COUNT // 4 or " done: " not in started[0].out:
            assert time.monotonic() < ends and started[0].process.poll() is None, started[0].out
            time.sleep(0.05)
        started[0].signal(signal.SIGKILL)
        for one in started[1:]:
            assert one.end() == 0, one.out
        yield started
    finally:
        for one in started:
            one.process.kill()
            one.process.wait()


def check_each_point_once(trials: Sequence[FrozenTrial]) -> None:
    """Exactly COUNT trials, none lost, none double, each point of the grid once."""
    assert [trial.number for trial in trials] == list(range(COUNT))
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    points = {tuple(sorted(trial.params.items())) for trial in trials}
    assert len(points) == COUNT
