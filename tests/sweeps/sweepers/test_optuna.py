"""hydra/sweeper=optuna_async: a study that outlives its controllers, known results, pruning, several objectives."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import Door, Result, run_folders
from omegaconf import OmegaConf
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from outcome import record_of
from sweeping import Running, Starter, records, results, small, start, tree, trouble, without

from analysis import load

__all__ = ["start"]
RANDOM = ["hydra/sweeper=optuna_async", "hydra/sweeper/sampler=random", "hydra.sweeper.sampler.seed=7"]
GRID = ["hydra/sweeper=optuna_async", "hydra/sweeper/sampler=grid"]
RATE = "optimizer.lr=tag(log,interval(1e-4,1e-1))"


def study_of(tmp_path: Path, sweep: str = "grid", url: str | None = None) -> optuna.Study:
    journal = tmp_path / "outputs" / sweep / "study.journal"
    return optuna.load_study(study_name=sweep, storage=url or JournalStorage(JournalFileBackend(str(journal))))


def rates(trials: Iterable[FrozenTrial]) -> list[float]:
    return [trial.params["optimizer.lr"] for trial in trials]


def known(result: Result) -> int:
    return result.out.count("is known already")


@pytest.mark.slow
def test_a_study_goes_on_where_it_was(train: Door, tmp_path: Path) -> None:
    """n_trials is the total, numbers and folders stay, a fixed seed draws what an unbroken study would have drawn."""
    command = [*small(tmp_path, 1), *RANDOM, RATE, "optimizer=adam,sgd", "hydra.launcher.slots=1"]
    assert train(*command, "hydra.sweeper.n_trials=2").code == 0
    before = tree(tmp_path / "outputs" / "grid")
    second = train(*command, "hydra.sweeper.n_trials=4")
    assert second.code == 0, second.err
    assert "study grid: 4 trials, of which 2 are there; about" in second.out
    now = tree(tmp_path / "outputs" / "grid")
    runs = [path for path in before if path.endswith("record.json")]
    assert len(runs) == 2 and [now[path] for path in runs] == [before[path] for path in runs]
    assert train(*command, "hydra.sweeper.n_trials=4", "sweep.name=whole").code == 0
    trials, whole = study_of(tmp_path).trials, study_of(tmp_path, "whole").trials
    assert [trial.number for trial in trials] == [0, 1, 2, 3]
    assert len(set(rates(trials))) == 4 and [trial.params for trial in trials] == [trial.params for trial in whole]
    for trial in trials:
        record = record_of(tmp_path / "outputs" / "grid" / trial.user_attrs["run_folder"])
        assert trial.values == [record["val"]["acc"]] and record["config"]["optimizer"]["lr"] == rates([trial])[0]
    assert study_of(tmp_path).direction.name == "MAXIMIZE"
    best = OmegaConf.load(tmp_path / "outputs" / "grid" / "optimization_results.yaml")
    assert best.best_value == max(trial.value for trial in trials)

    nothing = train(*command, "hydra.sweeper.n_trials=4")
    assert nothing.code == 0 and "of which 4 are there\n" in nothing.out and "started" not in nothing.out

    before = tree(tmp_path / "outputs")
    changed = train(*[RATE.replace("-4", "-3") if argument is RATE else argument for argument in command])
    assert changed.code == 2 and "optimizer.lr was low 0.0001, high 0.1, log True, now low 0.001" in changed.err
    longer = train(*command, "trainer.epochs=2")
    assert longer.code == 2 and "study grid has changed: trainer.epochs was 1, now 2" in longer.err
    other = train(*command, "hydra.sweeper.objective=val_loss")
    assert other.code == 2 and "objective was val_acc, now val_loss" in other.err
    planned = train(*command, "hydra.sweeper.n_trials=6", "sweep.plan=true")
    assert planned.code == 0 and "study grid: 6 trials, of which 4 are there; about" in planned.out
    assert "optimizer: CategoricalDistribution(choices=('adam', 'sgd'))" in planned.out
    assert train(*command, "sweep.plan=true", "sweep.name=new").code == 0
    assert (
        train(*command, "sweep.plan=true", "sweep.name=new", f"hydra.sweeper.storage=sqlite:///{tmp_path}/s").code == 0
    )
    assert tree(tmp_path / "outputs") == before and not (tmp_path / "s").exists()


@pytest.mark.chaos
def test_a_killed_controller_leaves_its_trials_to_another(start: Starter, train: Door, tmp_path: Path) -> None:
    trouble(tmp_path, {"*": "slow 0.5"})
    command = [*small(tmp_path), *RANDOM, RATE, "hydra.sweeper.n_trials=6"]
    dying, living = start(*command), start(*command)
    dying.until(" epoch 1/3")
    dying.signal(signal.SIGKILL)
    dying.end()
    mine = [int(line.split()[0][1:]) for line in dying.out.splitlines() if "started" in line]
    assert living.end() == 0, living.out
    assert check_whole(study_of(tmp_path), 6) >= 1
    for number in mine:
        folder = tmp_path / "outputs" / "grid" / study_of(tmp_path).trials[number].user_attrs["run_folder"]
        assert f"#{number} done: {folder.parent.name}" in living.out
        assert "epoch 1/3" in (folder / "run.log").read_text().split("going on")[0]
    assert len(run_folders(tmp_path)) == 6
    again = train(*command)
    assert again.code == 0 and "started" not in again.out
    assert not [
        path
        for path in (tmp_path / "outputs" / "grid" / ".controllers").iterdir()
        if str(living.process.pid) in path.name
    ]


@pytest.mark.chaos
def test_two_controllers_share_a_study_in_a_database(start: Starter, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    command = [*small(tmp_path, 2), *RANDOM, RATE, "hydra.sweeper.n_trials=9", f"hydra.sweeper.storage={url}"]
    trouble(tmp_path, {"*": "slow 1"})  # so that one is not done before the other has started
    both = [start(*command), start(*command)]
    assert [running.end() for running in both] == [0, 0], [running.out for running in both]
    assert check_whole(study_of(tmp_path, url=url), 9) == 2, "controllers"
    assert sum(running.out.count(" started: ") for running in both) == len(run_folders(tmp_path)) == 9
    assert not list(tmp_path.rglob("study.journal"))


def check_whole(study: optuna.Study, count: int) -> int:
    """None lost, none double; gives the number of controllers that had a trial."""
    assert [trial.number for trial in study.trials] == list(range(count))
    assert {trial.state for trial in study.trials} == {TrialState.COMPLETE}
    assert len({trial.user_attrs["run_folder"] for trial in study.trials}) == len(set(rates(study.trials))) == count
    return len({trial.user_attrs["controller"] for trial in study.trials})


@pytest.mark.slow
def test_interrupted_trials_keep_their_numbers(start: Starter, train: Door, tmp_path: Path) -> None:
    trouble(tmp_path, {"*": "hold 2"})
    command = [*small(tmp_path), *RANDOM, RATE, "hydra.sweeper.n_trials=3"]
    running = start(*command)
    running.until("#0 started", "#1 started")
    running.signal(signal.SIGINT, group=True)
    running.until("interrupted: ")
    trouble(tmp_path, {})
    assert running.end() == 130
    assert [trial.state for trial in study_of(tmp_path).trials] == [TrialState.RUNNING] * 2
    before = [trial.user_attrs["run_folder"] for trial in study_of(tmp_path).trials]
    assert train(*command).code == 0
    check_whole(study_of(tmp_path), 3)
    after = [trial.user_attrs["run_folder"] for trial in study_of(tmp_path).trials]
    assert after[:2] == before
    assert train(*command, "sweep.name=good").code == 0
    assert results(tmp_path / "outputs" / "grid") == results(tmp_path / "outputs" / "good")


@pytest.mark.slow
def test_what_is_known_is_not_trained_again(train: Door, tmp_path: Path) -> None:
    space = ["optimizer=adam,sgd", "seed=0,1"]
    assert train(*small(tmp_path, 1), "optimizer=adam", "seed=0,1").code == 0
    study = train(*small(tmp_path, 1), *GRID, *space, "hydra.sweeper.n_trials=9")
    assert study.code == 0 and known(study) == 2, study.err
    assert study.out.count(" started: ") == 2, "a grid of four, two of them known"
    trials = study_of(tmp_path).trials
    assert len(trials) == 4 and len({tuple(trial.params.values()) for trial in trials}) == 4
    grid = train(*small(tmp_path, 1), *space)
    assert grid.code == 0 and "plan: 4 runs: 4 done" in grid.out
    double = train(*small(tmp_path, 1), *RANDOM, "seed=0,1", "optimizer.lr=choice(5e-3)", "sweep.name=small")
    assert double.code == 0 and len(study_of(tmp_path, "small").trials) == 20
    assert len(run_folders(tmp_path / "outputs" / "small")) == 2
    assert known(double) + double.out.count("which is under way") == 18, "all but the first of each"


LEARNS = ["optimizer.lr=0.03", "optimizer.lr=0.02", "optimizer.lr=0.01"]  # tried first
PRUNERS = {
    "median": ["hydra.sweeper.pruner.n_startup_trials=2"],
    "successive_halving": [],
    "hyperband": ["hydra.sweeper.pruner.reduction_factor=2"],
    "none": [],
}


FAST = ("median",)  # the others take the same way


@pytest.mark.parametrize(
    "pruner", [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in PRUNERS]
)
def test_pruners_end_what_learns_nothing(train: Door, tmp_path: Path, pruner: str) -> None:
    command = [*small(tmp_path, 4), "debug.max_steps=20", "scheduler=none", "+model.kwargs.width=16", *RANDOM]
    command += ["optimizer.lr=interval(1e-9,0.03)", f"hydra/sweeper/pruner={pruner}", *PRUNERS[pruner]]
    bad = [f"optimizer.lr={rate}e-9" for rate in range(2, 7)]
    result = train(*command, f"hydra.sweeper.enqueue={[*LEARNS, *bad]}", "hydra.sweeper.n_trials=8")
    assert result.code == 0, result.err
    trials = study_of(tmp_path).trials
    assert rates(trials)[:3] == [0.03, 0.02, 0.01]
    pruned = [trial.number for trial in trials if trial.state is TrialState.PRUNED]
    runs = load(tmp_path / "outputs" / "grid").set_index("lr")
    for trial in trials:
        record = record_of(tmp_path / "outputs" / "grid" / trial.user_attrs["run_folder"])
        assert record["status"] == ("pruned" if trial.number in pruned else "done")
        assert len(trial.intermediate_values) == record["epochs_run"]
        assert record["epochs_run"] == 4 if record["status"] == "done" else record["epochs_run"] < 4
        assert runs["status"][rates([trial])[0]] == record["status"]
    assert 0 not in pruned and (len(pruned) >= 1) == (pruner != "none"), pruned
    if pruned:
        assert f"{len(pruned)} pruned" in result.out or result.out.count(" pruned") > len(pruned), (
            "the table marks them"
        )
        again = train(*command, "hydra.sweeper.n_trials=8")
        assert again.code == 0 and "started" not in again.out


@pytest.mark.slow
def test_two_objectives_and_a_confirmation(train: Door, shell: Door, tmp_path: Path) -> None:
    command = [*small(tmp_path, 2), "debug.max_steps=20", "scheduler=none", *GRID, "+model.kwargs.width=choice(2,16)"]
    command += ["optimizer.lr=choice(1e-9,3e-2)", "hydra.sweeper.objective=[val_acc,params]"]
    command += ["hydra.sweeper.confirm={top: 2, seeds: [1, 2]}"]
    for started in (4 + 4, 0):
        result = train(*command)
        assert result.code == 0, result.err
        assert result.out.count(" started: ") == started
    study = study_of(tmp_path)
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    front = {(trial.params["+model.kwargs.width"], rates([trial])[0]) for trial in study.best_trials}
    assert (16, 0.03) in front and (16, 1e-9) not in front
    assert len(study.trials) == 4, "what confirms is no trial"
    shown = result.out.partition("Pareto front")[2].partition("\n\n")[0].splitlines()
    assert shown[1].split() == ["trial", "val_acc", "params", *study.trials[0].params]
    assert sum(line.split()[:1] == [str(trial.number)] for line in shown for trial in study.best_trials) == len(front)
    written = OmegaConf.load(tmp_path / "outputs" / "grid" / "optimization_results.yaml")
    assert len(written.solutions) == len(front)
    table = shell("-m", "analysis.report", str(tmp_path / "outputs" / "grid"), "--format", "csv").out.splitlines()
    rows = [dict(zip(table[0].split(","), line.split(","), strict=True)) for line in table[1:]]
    best = max(rows, key=lambda row: float(row["val_acc"]))
    assert best["pareto"] == "front" and len(rows) == 4
    assert not [row for row in rows if row["pareto"] and row["lr"] == "1e-09" and row["params"] == best["params"]]
    seeds = load(tmp_path / "outputs" / "grid").groupby("identity")["seed"].apply(sorted).tolist()
    assert sorted(seeds) == [[0], [0], [0, 1, 2], [0, 1, 2]]


def test_failed_and_diverged_trials_do_not_end_a_study(train: Door, tmp_path: Path) -> None:
    trouble(tmp_path, {"1": "raise", "2": "nan"})
    command = [*small(tmp_path, 1), *GRID, "seed=range(4)", "hydra.launcher.slots=1"]
    result = train(*command)
    assert result.code == 1 and "1 of the runs failed" in result.err
    found = {
        trial.params["seed"]: (trial.state.name, trial.user_attrs.get("status")) for trial in study_of(tmp_path).trials
    }
    assert found == {0: ("COMPLETE", None), 1: ("FAIL", "failed"), 2: ("FAIL", "diverged"), 3: ("COMPLETE", None)}
    assert {seed: record["status"] for seed, record in records(tmp_path).items()}[2] == "diverged"
    again = train(*command)
    assert again.code == 1 and "4 trials, of which 4 are there; 1 failed before and tried again" in again.out
    assert again.out.count(" started: ") == 1, "what diverged is not asked again"

    order = [trial.params["seed"] for trial in study_of(tmp_path).trials]
    strict = train(*command, "hydra.sweeper.max_failure_rate=0", "sweep.name=strict")
    assert strict.code == 1 and "no new ones" in strict.out
    assert len(study_of(tmp_path, "strict").trials) == order.index(1) + 1


STOCK = """# @package _global_
defaults:
  - override /hydra/sweeper: {sweeper}
  - override /hydra/sweeper/sampler: tpe
hydra:
  sweeper:
    direction: maximize
    study_name: mine
    storage: null
    n_trials: 4
    n_jobs: 2
    max_failure_rate: 0.5
    sampler:
      seed: 3
      n_startup_trials: 2
    params:
      optimizer.lr: tag(log, interval(0.0001, 0.1))
      trainer.batch_size: choice(16, 32)
      seed: range(0, 3)
"""


@pytest.mark.parametrize("sweeper", ["optuna", "optuna_async"])
def test_a_stock_recipe_runs_with_only_the_name_changed(train: Door, tmp_path: Path, sweeper: str) -> None:
    (tmp_path / "conf" / "sweeps").mkdir(parents=True)
    (tmp_path / "conf" / "sweeps" / "mine.yaml").write_text(STOCK.format(sweeper=sweeper))
    network = without(small(tmp_path, 1), "trainer.batch_size")
    result = train(*network, "sweeps=mine", f"hydra.searchpath=[file://{tmp_path / 'conf'}]")
    assert result.code == 0, result.err
    found = [record["config"] for record in records_of(tmp_path)]
    assert len(found) == 4
    assert {config["trainer"]["batch_size"] for config in found} <= {16, 32}
    assert {config["seed"] for config in found} <= {0, 1, 2}
    best = OmegaConf.load(tmp_path / "outputs" / "grid" / "optimization_results.yaml")
    assert best.name == "optuna"
    assert best.best_value == max(record["val"]["acc"] for record in records_of(tmp_path))


def records_of(tmp_path: Path) -> list[dict[str, Any]]:
    return [record_of(folder) for folder in run_folders(tmp_path / "outputs")]


REFUSED = {
    "hydra.sweeper.objective=test_acc": "the test set chooses nothing",
    "hydra.sweeper.objective=speed": "no such objective; choose from val_acc, val_loss",
    "hydra.sweeper.objective=[val_acc,params] hydra/sweeper/pruner=median": "can't prune for several objectives",
    "hydra.sweeper.objective=params hydra/sweeper/pruner=median": "val_acc or val_loss",
    "hydra.sweeper.objective=[val_acc,params] hydra.sweeper.direction=maximize": "2 objectives, but 1 directions",
    "hydra.sweeper.direction=sideways": "expected minimize or maximize",
    "hydra.sweeper.n_trials=0": "expected 1 or more",
    "hydra.sweeper.max_failure_rate=2": "expected 0 to 1",
    "hydra/sweeper/pruner=hyperbad": "did you mean hyperband?",
    "hydra/sweeper/sampler=grid": "only supports discrete",
    "hydra.sweeper.enqueue=['optimizer.lr=1']": "lies outside of",
    "hydra.sweeper.enqueue=['optimizer.weight_decay=0.1']": "is not in the search space",
    "hydra.sweeper.storage=sqlite:////nowhere/at.all": "unable to open database file",
    "hydra.sweeper.storage='postgresql://me@nowhere/all'": "hydra.sweeper.storage=postgresql://me@nowhere/all: ",
    "hydra.sweeper.confirm.top=2": "and seeds",
    "model=resnet18,resnet19": "model=resnet19: no such choice",
    "trainer.batch_size=range(0,9)": "trainer.batch_size=0: expected 1 or more",
    "weights=none,imagenet1k_v2 model=resnet18 model._target_=training.models.torchvision_model": "impossible=skip",
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_a_mistake_is_one_line_before_anything_starts(train: Door, tmp_path: Path, arguments: str) -> None:
    command = without(small(tmp_path, 1), "trainer.batch_size", "model.kwargs")
    result = train(*command, "hydra/sweeper=optuna_async", RATE, *arguments.split(" "))
    assert result.code == 2, (result.out, result.err)
    assert REFUSED[arguments] in result.err and result.err.count("\n") == 1, result.err
    assert not (tmp_path / "outputs").exists()


def running_trials(running: Running) -> list[int]:
    return [int(line.split()[0][1:]) for line in running.out.splitlines() if " started: " in line]


@pytest.mark.slow
def test_the_report_of_a_random_search(train: Door, shell: Door, tmp_path: Path) -> None:
    command = [*small(tmp_path, 1), *RANDOM, "optimizer.weight_decay=interval(0,0.1)", RATE, "scheduler=none"]
    command += ["debug.max_steps=8", "hydra.sweeper.n_trials=10"]
    assert train(*command).code == 0
    said = " ".join(shell("-m", "analysis.report", str(tmp_path / "outputs" / "grid"), COLUMNS="200").out.split())
    values = [trial.values[0] for trial in study_of(tmp_path).trials]
    # drawn with replacement: the best of two is the larger of all hundred pairs, on average
    two = sum(max(a, b) for a in values for b in values) / 100
    curve = f"{sum(values) / 10:.2f} after 1, {two:.2f} after 2, "
    assert f"expected best (Dodge et al. 2019) val_acc of its 10 finished trials: {curve}" in said
    shares = optuna.importance.get_param_importances(study_of(tmp_path))
    told = said.partition("10 trials differs in, by val_acc (PED-ANOVA): ")[2]
    found = re.findall(r"(optimizer\.\w+) (\d+) % \((\d+) to (\d+)\)", told)
    assert [(name, int(share)) for name, share, *_ in found] == [(name, round(100 * x)) for name, x in shares.items()]
    assert set(shares) == {"optimizer.lr", "optimizer.weight_decay"}
    assert all(int(low) <= int(share) <= int(high) for _, share, low, high in found)


@pytest.mark.chaos
def test_the_dashboard_opens_a_study(train: Door, tmp_path: Path) -> None:
    assert train(*small(tmp_path, 1), *RANDOM, RATE, "hydra.sweeper.n_trials=3").code == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("optuna-dashboard")), "study.journal", "--port", str(port)]
    with subprocess.Popen(command, cwd=tmp_path / "outputs" / "grid", stderr=subprocess.DEVNULL) as server:
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/studies/0", timeout=10) as answer:
                        content = json.load(answer)
                    break
                except OSError:
                    assert time.monotonic() < deadline and server.poll() is None
                    time.sleep(0.2)
        finally:
            server.terminate()
    assert content["name"] == "grid" and content["objective_names"] == ["val_acc"]
    shown = {trial["number"]: trial["values"] for trial in content["trials"]}
    assert shown == {trial.number: trial.values for trial in study_of(tmp_path).trials}
