"""A pruner, or a sampler, is one YAML file with `_target_`: those of conf/, and a user's own from outside."""

from pathlib import Path

import pytest
from conftest import ROOT, Door, run_folders
from outcome import record_of
from sweeping import small

FILES = ROOT / "conf" / "hydra" / "sweeper" / "pruner"
SEARCH = ["hydra/sweeper=optuna_async", "hydra/sweeper/sampler=random", "optimizer.lr=interval(1e-4,1e-1)"]


@pytest.mark.parametrize("pruner", sorted(path.stem for path in FILES.glob("*.yaml")))
def test_every_pruner_can_be_chosen_and_says_what_it_is(train: Door, tmp_path: Path, pruner: str) -> None:
    assert (FILES / f"{pruner}.yaml").read_text().startswith("# ")
    needed = {"threshold": ["hydra.sweeper.pruner.lower=10"]}.get(pruner, [])
    result = train(*small(tmp_path), *SEARCH, f"hydra/sweeper/pruner={pruner}", *needed, "sweep.plan=true")
    assert result.code == 0 and "plan: study grid: 20 trials" in result.out, result.err


def test_a_recipe_may_choose_and_set_one(train: Door, tmp_path: Path) -> None:
    (tmp_path / "conf" / "sweeps").mkdir(parents=True)
    (tmp_path / "conf" / "sweeps" / "halving.yaml").write_text(
        "# @package _global_\n"
        "defaults:\n"
        "  - override /hydra/sweeper: optuna_async\n"
        "  - override /hydra/sweeper/pruner: hyperband\n"
        "hydra: {sweeper: {pruner: {min_resource: 2}, params: {seed: 'choice(0,1)'}}}\n"
    )
    command = [*small(tmp_path, 9), "--config-dir", str(tmp_path / "conf"), "sweeps=halving", "--cfg", "hydra"]
    shown = train(*[argument for argument in command if argument != "-m"], "-p", "hydra.sweeper.pruner")
    assert shown.code == 0, shown.err
    assert "HyperbandPruner\nmin_resource: 2\nmax_resource: ${trainer.epochs}\nreduction_factor: 3" in shown.out


REFUSED = {
    "hydra.sweeper.pruner.min_resorce=2": "hydra.sweeper.pruner.min_resorce: no such key",
    "hydra.sweeper.pruner.min_resource=abc": "hydra/sweeper/pruner: ",
    "hydra.sweeper.pruner.reduction_factor=1": "hydra/sweeper/pruner: ",
    "hydra/sweeper/pruner=threshold": "hydra/sweeper/pruner: TypeError: Either lower or upper must be specified",
    "hydra/sweeper/pruner=halving": "successive_halving",
    "hydra.sweeper.pruner._target_=own_search.Nothing": "own_search",
    "hydra/sweeper/pruner=none hydra.sweeper.pruner._target_=optuna.samplers.RandomSampler": "no optuna.pruners.BasePr",
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_a_mistake_is_one_line(train: Door, tmp_path: Path, arguments: str) -> None:
    pruner = [] if arguments.startswith("hydra/sweeper/pruner=") else ["hydra/sweeper/pruner=hyperband"]
    result = train(*small(tmp_path), *SEARCH, *pruner, *arguments.split())
    assert result.code == 2 and REFUSED[arguments] in result.err and result.err.count("\n") == 1, result.err
    assert not (tmp_path / "outputs").exists()


def test_a_pruner_and_a_sampler_from_outside(train: Door, tmp_path: Path) -> None:
    for group, text in {
        "pruner": "_target_: own_search.After\nepochs: 9\n",
        "sampler": "_target_: own_search.Fixed\nvalue: 0.01\n",
    }.items():
        file = tmp_path / "conf" / "hydra" / "sweeper" / group / "mine.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(text)
    chosen = ["hydra/sweeper=optuna_async", "hydra/sweeper/pruner=mine", "hydra/sweeper/sampler=mine"]
    command = [*small(tmp_path, 3), "--config-dir", str(tmp_path / "conf"), *chosen, "hydra.sweeper.pruner.epochs=2"]
    result = train(*command, "optimizer.lr=interval(1e-4,1e-1)", "hydra.sweeper.n_trials=1")
    assert result.code == 0, result.err
    (folder,) = run_folders(tmp_path / "outputs")
    record = record_of(folder)
    assert (record["status"], record["epochs_run"], record["config"]["optimizer"]["lr"]) == ("pruned", 2, 0.01)
