"""What holds for the declared search space holds for a custom one, for enqueued points, and for trials of others."""

from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from conftest import Door
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from sweeping import small

SEARCH = ["hydra/sweeper=optuna_async", "hydra/sweeper/sampler=random", "optimizer=sgd,adamw"]
RATE = "optimizer.lr=interval(1e-4,1e-1)"
CODE = """
LOW = 1e-5

def one(cfg, trial):
    trial.suggest_float("optimizer.lr", LOW, 1e-3, log=True)
    if trial.params["optimizer"] == "sgd":
        trial.suggest_categorical("optimizer.kwargs.momentum", [0.8, 0.9])

def commented(cfg, trial):
    "Does the same."
    trial.suggest_float("optimizer.lr", LOW, 1e-3, log=True)  # as before
    if trial.params["optimizer"] == "sgd":
        trial.suggest_categorical("optimizer.kwargs.momentum", [0.8, 0.9])

def two(cfg, trial):
    trial.suggest_float("optimizer.lr", 1.0, 2.0, log=True)

def broken(cfg, trial):
    trial.suggest_float("optimizer.lr", 2.0, 1.0)

def unknown(cfg, trial):
    trial.suggest_float("optimizer.rate", 1.0, 2.0)
"""


@pytest.fixture
def spaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module of the user's own; its name."""
    name = f"spaces_{abs(hash(tmp_path)):x}"
    (tmp_path / f"{name}.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    yield name


def storage_of(tmp_path: Path, sweep: str = "grid") -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(tmp_path / "outputs" / sweep / "study.journal")))


def study_of(tmp_path: Path) -> optuna.Study:
    return optuna.load_study(study_name=None, storage=storage_of(tmp_path))


def custom(spaces: str, function: str) -> str:
    return f"hydra.sweeper.custom_search_space={spaces}.{function}"


def test_a_custom_space_can_not_change_under_a_study(train: Door, tmp_path: Path, spaces: str) -> None:
    command = [*small(tmp_path, 1), *SEARCH]
    point = "hydra.sweeper.enqueue=['optimizer=sgd optimizer.lr=1e-4 optimizer.kwargs.momentum=0.9']"
    first = train(*command, custom(spaces, "one"), "hydra.sweeper.n_trials=1", point)
    assert first.code == 0, first.err
    (trial,) = study_of(tmp_path).trials
    assert trial.params == {"optimizer": "sgd", "optimizer.lr": 1e-4, "optimizer.kwargs.momentum": 0.9}
    for arguments, told in {
        custom(spaces, "two"): "optimizer.lr was low 1e-05, high 0.001, log True, now low 1.0, high 2.0, log True",
        RATE: "optimizer.lr was not searched, now low",
        "hydra.sweeper.n_trials=2": "optimizer.lr was low 1e-05",
    }.items():
        changed = train(*command, arguments)
        assert changed.code == 2 and told in changed.err and changed.err.count("\n") == 1, changed.err
        assert "choose another sweep.name" in changed.err
    same = train(*command, custom(spaces, "commented"), "hydra.sweeper.n_trials=1", "sweep.plan=true")
    assert same.code == 0, same.err


REFUSED = {
    "broken": "ValueError",
    "unknown": "optimizer.rate: no such key",
    "nothing": "custom_search_space=",
}


@pytest.mark.parametrize("function", REFUSED)
def test_a_custom_space_is_tried_before_anything_starts(
    train: Door, tmp_path: Path, spaces: str, function: str
) -> None:
    result = train(*small(tmp_path, 1), *SEARCH, custom(spaces, function), "sweep.plan=true")
    assert result.code == 2 and REFUSED[function] in result.err and result.err.count("\n") == 1, result.err
    assert not (tmp_path / "outputs").exists()


def test_a_point_outside_of_a_custom_space_is_refused(train: Door, tmp_path: Path, spaces: str) -> None:
    command = [*small(tmp_path, 1), *SEARCH, custom(spaces, "one"), "sweep.plan=true"]
    for point, told in {
        "optimizer.lr=1": "optimizer.lr=1 lies outside of",
        "optimizer.weight_decay=1": "optimizer.weight_decay is not in the search space (",
        "optimizer.kwargs.momentum=0.7": "is not among (0.8, 0.9)",
        "optimizer=adamw optimizer.kwargs.momentum=0.9": "optimizer.kwargs.momentum is not in the search space",
    }.items():
        result = train(*command, f"hydra.sweeper.enqueue=['{point}']")
        assert result.code == 2 and told in result.err, (point, result.err)


def test_points_are_run_where_n_trials_is_reached(train: Door, tmp_path: Path) -> None:
    command = [*small(tmp_path, 1), *SEARCH[:2], RATE, "hydra.sweeper.n_trials=1"]
    assert train(*command).code == 0
    late = train(*command, "hydra.sweeper.enqueue=['optimizer.lr=0.03']")
    assert late.code == 0 and "1 enqueued, 1 of them beyond n_trials=1" in late.out, late.out
    assert [trial.params["optimizer.lr"] for trial in study_of(tmp_path).trials][1:] == [0.03]
    again = train(*command, "hydra.sweeper.enqueue=['optimizer.lr=0.03']")
    assert again.code == 0 and "started" not in again.out and "enqueued" not in again.out


def test_a_trial_of_another_program_is_left_to_it(train: Door, tmp_path: Path) -> None:
    command = [*small(tmp_path, 1), *SEARCH[:2], RATE]
    assert train(*command, "hydra.sweeper.n_trials=1").code == 0
    theirs = study_of(tmp_path).ask()
    value = theirs.suggest_float("optimizer.lr", 1e-4, 1e-1)
    result = train(*command, "hydra.sweeper.n_trials=3")
    assert result.code == 0 and "1 under way in another program, left to it" in result.out, result.out
    assert result.out.count(" started: ") == 1 and "#2 started" in result.out
    left = study_of(tmp_path).trials[1]
    assert left.state is optuna.trial.TrialState.RUNNING and left.params == {"optimizer.lr": value}
    study_of(tmp_path).tell(theirs.number, 50.0)


def test_a_grid_has_each_point_once_with_one_enqueued(train: Door, tmp_path: Path) -> None:
    command = [*small(tmp_path, 1), SEARCH[0], "hydra/sweeper/sampler=grid", "seed=range(3)"]
    result = train(*command, "hydra.sweeper.enqueue=['seed=2']")
    assert result.code == 0, result.err
    trials = study_of(tmp_path).trials
    assert trials[0].params == {"seed": 2} and sorted(trial.params["seed"] for trial in trials) == [0, 1, 2]
