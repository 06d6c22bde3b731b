"""A failed configuration of a search is tried again, once a command; a search that still has one ends with 1."""

from pathlib import Path

import optuna
from conftest import Door
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from sweeping import records, small, trouble

GRID = ["hydra/sweeper=optuna_async", "hydra/sweeper/sampler=grid", "hydra.launcher.slots=1", "seed=range(3)"]


def study_of(tmp_path: Path) -> optuna.Study:
    journal = tmp_path / "outputs" / "grid" / "study.journal"
    return optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend(str(journal))))


def test_each_command_tries_a_failed_configuration_once(train: Door, tmp_path: Path) -> None:
    trouble(tmp_path, {"1": "raise"})
    command = [*small(tmp_path, 1), *GRID]
    first = train(*command, "hydra.sweeper.n_trials=2")  # of three: what fails must not cost a point of the grid
    seeds = [trial.params["seed"] for trial in study_of(tmp_path).trials]
    failed = int(1 in seeds)
    assert first.code == failed and len(seeds) == 2
    again = train(*command)
    assert again.code == 1 and "1 of the runs failed; the same command again tries them once more" in again.err
    assert again.out.count(" started: ") == 1 + failed
    planned = train(*command, "sweep.plan=true")
    assert "3 trials, of which 3 are there; 1 failed before and tried again" in planned.out, planned.out
    trouble(tmp_path, {})
    mended = train(*command)
    assert mended.code == 0 and mended.out.count(" started: ") == 1, mended.out + mended.err
    assert "which failed, once more" in mended.out
    trials = study_of(tmp_path).trials
    done = [trial for trial in trials if trial.state is optuna.trial.TrialState.COMPLETE]
    assert sorted(trial.params["seed"] for trial in done) == [0, 1, 2]
    assert [trial.user_attrs["retries"] for trial in trials if "retries" in trial.user_attrs][-1] in range(len(trials))
    assert {record["status"] for record in records(tmp_path).values()} == {"done"}
    nothing = train(*command)
    assert nothing.code == 0 and "3 trials, of which 3 are there\n" in nothing.out.replace("; about", "\n")
    assert "started" not in nothing.out and len(study_of(tmp_path).trials) == len(trials)
