"""A search in one slot with a seeded sampler is the same, interrupted or not: trials, parameters, values, states."""

import platform
import random
import signal
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import Door
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from outcome import outcome, record_of
from sweeping import Running, Starter, small, start, trouble, without

__all__ = ["start"]
RANDOM = ["hydra/sweeper=optuna_async", "hydra/sweeper/sampler=random", "hydra.sweeper.sampler.seed=1"]
SEARCH = [*RANDOM, "optimizer.lr=tag(log,interval(1e-4,1e0))", "hydra.launcher.slots=1"]
SEARCH += ["hydra.sweeper.study_name=search"]  # by which hyperband draws its brackets
PRUNERS = {
    "median": ["hydra/sweeper/pruner=median", "hydra.sweeper.pruner.n_startup_trials=2"],
    "halving": ["hydra/sweeper/pruner=successive_halving", "hydra.sweeper.pruner.reduction_factor=2"],
    "hyperband": ["hydra/sweeper/pruner=hyperband", "hydra.sweeper.pruner.reduction_factor=2"],
}
LARGE = ["+model.kwargs.width=20000", "trainer.save_every_s=1"]  # saved every few epochs, so that some are done again
TWICE = "already reported"  # what Optuna says of a value that is reported once more


def trials_of(tmp_path: Path, sweep: str) -> list[tuple[Any, ...]]:
    """What a study knows of its trials."""
    journal = JournalStorage(JournalFileBackend(str(tmp_path / "outputs" / sweep / "study.journal")))
    trials = optuna.load_study(study_name="search", storage=journal).trials
    return [(trial.number, trial.state, trial.values, trial.params, trial.intermediate_values) for trial in trials]


def history_has(folder: Path, epochs: int, running: Running) -> None:
    """Wait until the only run below has saved so many epochs."""
    ends = time.monotonic() + 120
    while not (found := list(folder.glob("*/*/resume.pt"))) or len(lines(found[0].parent / "history.csv")) <= epochs:
        assert running.process.poll() is None and time.monotonic() < ends, running.out
        time.sleep(0.02)


def endings(sweep: Path) -> dict[str, Any]:
    """How each run of a sweep ended, the pruned ones too, which leave no weights."""
    done = {}
    for file in sweep.glob("*/*/record.json"):
        record = record_of(file.parent)
        name = f"{file.parent.parent.name}/{file.parent.name}"
        done[name] = outcome(file.parent) if record["status"] == "done" else (record["status"], record["epochs_run"])
    return done


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


@pytest.mark.slow
def test_an_epoch_between_save_and_report_is_not_lost(start: Starter, train: Door, tmp_path: Path) -> None:
    command = [*small(tmp_path, 4), *SEARCH, "hydra.sweeper.n_trials=1", "sweep.name=s"]
    trouble(tmp_path, {"*": "slow 1,hold 3"})
    running = start(*command)
    running.until("started")
    running.signal(signal.SIGSTOP)  # it hears of nothing, while its run saves an epoch and waits for an answer
    history_has(tmp_path / "outputs" / "s", 1, running)
    running.signal(signal.SIGKILL)
    running.end()
    running.until_all_are_gone()
    reported = trials_of(tmp_path, "s")[0][-1]
    trouble(tmp_path, {})
    result = train(*command)
    assert result.code == 0, result.err
    assert "started" in result.out and TWICE not in result.err
    (trial,) = trials_of(tmp_path, "s")
    assert len(reported) < len(trial[-1]) == 4 and trial[1] is TrialState.COMPLETE
    (folder,) = (tmp_path / "outputs" / "s").glob("*/*/record.json")
    assert "going on after epoch" in (folder.parent / "run.log").read_text()


@pytest.mark.slow
def test_what_the_study_lacks_of_a_run_that_another_command_ended(start: Starter, train: Door, tmp_path: Path) -> None:
    command = [*small(tmp_path, 4), *SEARCH, "hydra.sweeper.n_trials=1", "sweep.name=s"]
    trouble(tmp_path, {"*": "hold 3"})
    running = start(*command)
    history_has(tmp_path / "outputs" / "s", 1, running)
    while not (values := trials_of(tmp_path, "s")[0][-1]):
        time.sleep(0.05)
    running.signal(signal.SIGKILL)
    running.end()
    running.until_all_are_gone()
    trouble(tmp_path, {})
    rate = trials_of(tmp_path, "s")[0][3]["optimizer.lr"]
    single = without(small(tmp_path, 4)[1:], "hydra")
    assert train(*single, f"optimizer.lr={rate}", "sweep.name=s").code == 0
    again = train(*command)
    assert again.code == 0 and "is known already" in again.out, again.err
    (trial,) = trials_of(tmp_path, "s")
    assert 0 < len(values) < len(trial[-1]) == 4 and trial[1] is TrialState.COMPLETE


@pytest.mark.parametrize("drawn", [pytest.param(0, marks=pytest.mark.slow), 1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("sampler", ["random", pytest.param("tpe", marks=pytest.mark.slow)])
def test_a_trial_is_drawn_as_if_its_controller_had_lived(train: Door, tmp_path: Path, sampler: str, drawn: int) -> None:
    """The controller died after it had asked for the third trial and drawn so many of its parameters."""
    command = [*small(tmp_path, 1), *SEARCH, f"hydra/sweeper/sampler={sampler}", "hydra.sweeper.sampler.seed=1"]
    command += ["optimizer.weight_decay=interval(0,0.1)"]
    assert train(*command, "hydra.sweeper.n_trials=4", "sweep.name=good").code == 0
    assert train(*command, "hydra.sweeper.n_trials=2", "sweep.name=bad").code == 0
    journal = JournalStorage(JournalFileBackend(str(tmp_path / "outputs" / "bad" / "study.journal")))
    kind = optuna.samplers.RandomSampler if sampler == "random" else optuna.samplers.TPESampler
    study = optuna.load_study(study_name="search", storage=journal, sampler=kind(seed=1 + 2))  # that of trial 2
    trial = study.ask()
    trial.set_user_attr("controller", f"{platform.node()}-0-gone")  # it marks a trial before it draws
    for name, distribution in list(study.trials[0].distributions.items())[:drawn]:
        trial._suggest(name, distribution)
    again = train(*command, "hydra.sweeper.n_trials=4", "sweep.name=bad")
    assert again.code == 0, again.err
    assert trials_of(tmp_path, "bad") == trials_of(tmp_path, "good")


def test_a_pruned_run_leaves_no_resume_state(train: Door, tmp_path: Path) -> None:
    command = [*small(tmp_path, 4), *SEARCH, *PRUNERS["median"], "hydra.sweeper.n_trials=6", "sweep.name=s"]
    assert train(*command).code == 0
    states = [trial[1] for trial in trials_of(tmp_path, "s")]
    assert TrialState.PRUNED in states, states
    folders = [file.parent for file in (tmp_path / "outputs" / "s").glob("*/*/record.json")]
    assert sum(record_of(folder)["status"] == "pruned" for folder in folders) == states.count(TrialState.PRUNED)
    assert not [folder for folder in folders if (folder / "resume.pt").exists()]


@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("pruner", "size"), [*((name, "small") for name in PRUNERS), ("median", "large")])
def test_a_search_is_the_same_interrupted_or_not(
    start: Starter, train: Door, tmp_path: Path, pruner: str, size: str
) -> None:
    command = [*small(tmp_path, 5), *SEARCH, *PRUNERS[pruner], *(LARGE if size == "large" else [])]
    command += ["hydra.sweeper.n_trials=7"]
    assert train(*command, "sweep.name=good").code == 0
    trouble(tmp_path, {"*": "slow 0.4"})
    dice, killed, over, said = random.Random(pruner + size), 0, False, ""
    while killed < 5 and not over:
        running = start(*command, "sweep.name=bad")
        while "started" not in running.out and running.process.poll() is None:
            time.sleep(0.02)
        time.sleep(dice.uniform(0.1, 3))
        if not (over := running.process.poll() is not None):
            running.signal(signal.SIGKILL, group=dice.random() < 0.3)
            killed += 1
        running.end()
        running.until_all_are_gone()
        said += running.out
    assert killed >= 3, "nothing was tried"
    trouble(tmp_path, {})
    last = train(*command, "sweep.name=bad")
    assert last.code == 0, last.err
    assert TWICE not in said + last.err
    good, bad = trials_of(tmp_path, "good"), trials_of(tmp_path, "bad")
    assert bad == good
    assert TrialState.PRUNED in [trial[1] for trial in good]
    assert endings(tmp_path / "outputs" / "bad") == endings(tmp_path / "outputs" / "good")
