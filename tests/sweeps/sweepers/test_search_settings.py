"""Mistakes in a search's settings and space: one line with the key, before anything starts, in the plan too."""

import sys
from pathlib import Path

import pytest
from conftest import Door
from sweeping import small, without

SEARCH = ["hydra/sweeper=optuna_async", "hydra/sweeper/sampler=random"]
RATE = "optimizer.lr=interval(1e-4,1e-1)"
STORAGES = {
    "nonsense://x/y": "there is no database of this kind",
    "nonsense": "hydra.sweeper.storage=nonsense: ",
    "postgresql://me:secret@localhost/x": "me:***@localhost",
    "postgresql://me@localhost/x?password=secret": "x?password=***",
    "mysql://me@localhost/x": "pip install mysqlclient",
    "mysql+pymysql://me@localhost/x": "pip install pymysql",
    "sqlite:////nowhere/at.all": "there is no folder /nowhere",
    "redis://localhost": "hydra.sweeper.storage=redis",
}
SETTINGS = {
    "hydra.sweeper.sampler.n_startup_trials=-1": "hydra.sweeper.sampler.n_startup_trials=-1: expected 0 or more",
    "hydra.sweeper.sampler.n_ei_candidates=0": "n_ei_candidates=0: expected 1 or more",
    "hydra.sweeper.sampler.n_startup=1": "n_startup: no such key",
    "+hydra.sweeper.sampler.n_startup=1": "hydra/sweeper/sampler: TypeError",
    "hydra.sweeper.sampler.group=true": "hydra/sweeper/sampler: ValueError",
    "hydra/sweeper/sampler=qmc hydra.sweeper.sampler.qmc_type=sable": "hydra/sweeper/sampler: ",
    "hydra/sweeper/sampler=nsgaii hydra.sweeper.sampler.population_size=1": "population_size=1: expected 2 or more",
    "hydra/sweeper/sampler=motpe": "Use 'hydra/sweeper/sampler=tpe' instead",
    "hydra/sweeper/sampler=random +hydra.sweeper.sampler.x=1": "hydra/sweeper/sampler: TypeError",
    "hydra/sweeper/pruner=median hydra.sweeper.pruner.n_startup_trials=-1": "n_startup_trials",
    "hydra/sweeper/pruner=none hydra.sweeper.pruner._target_=missing_package.Pruner": "pip install missing_package",
}
SPACES = {
    "optimizer.lr=interval(1e-2,1e-4)": "optimizer.lr=interval(1e-2,1e-4): ",
    "optimizer.lr=tag(log,interval(0,1e-1))": "a logarithm needs an interval above 0",
    "optimizer.lr=tag(log,interval(-1.0,1e-1))": "optimizer.lr=tag(log,interval(-1.0,1e-1)): ",
    "optimizer.lr=interval(0,inf)": "optimizer.lr=interval(0,inf): both ends have to be finite",
    "trainer.epochs=range(0,0)": "trainer.epochs=range(0,0): An Optuna range sweep must contain at least one value",
    "trainer.epochs=interval(1.0,5)": "trainer.epochs is a whole number; write int(interval(1.0,5))",
    "trainer.epochs=interval(1,5)": "trainer.epochs is a whole number; write int(interval(1,5))",
    "scheduler=glob(x*)": "no choice of scheduler matches",
}


def plan(train: Door, tmp_path: Path, *arguments: str) -> tuple[int, str, str]:
    command = without(small(tmp_path, 1), "trainer.batch_size")
    result = train(*command, SEARCH[0], *arguments, "sweep.plan=true")
    assert not (tmp_path / "outputs").exists()
    return result.code, result.out, result.err


def refused(found: tuple[int, str, str], told: str) -> None:
    code, _, err = found
    assert code == 2 and told in err and err.count("\n") == 1, err


@pytest.mark.parametrize("url", STORAGES)
def test_a_storage_that_can_not_be_had(train: Door, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for driver in ("psycopg2", "MySQLdb", "pymysql"):
        monkeypatch.setitem(sys.modules, driver, None)  # as if it weren't installed, wherever it is
    refused(plan(train, tmp_path, SEARCH[1], RATE, f"hydra.sweeper.storage='{url}'"), STORAGES[url])


def test_a_file_that_is_no_database(train: Door, tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database, " * 100)
    for file in ("text.db", "."):
        url = f"hydra.sweeper.storage='sqlite:///{tmp_path / file}'"
        refused(plan(train, tmp_path, SEARCH[1], RATE, url), "hydra.sweeper.storage=sqlite:///")


@pytest.mark.parametrize("arguments", SETTINGS)
def test_settings_of_samplers_and_pruners(train: Door, tmp_path: Path, arguments: str) -> None:
    refused(plan(train, tmp_path, RATE, *arguments.split(" ")), SETTINGS[arguments])


def test_a_missing_package_is_found_by_the_plan(train: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cmaes", None)  # as if it weren't installed, wherever it is
    refused(plan(train, tmp_path, RATE, "hydra/sweeper/sampler=cmaes"), "pip install cmaes")


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp", "qmc", "nsgaii", "nsgaiii"])
def test_every_sampler_that_is_offered_can_be_chosen(train: Door, tmp_path: Path, sampler: str) -> None:
    code, _, err = plan(train, tmp_path, RATE, "optimizer=sgd,adamw", f"hydra/sweeper/sampler={sampler}")
    assert code == 0, err


@pytest.mark.parametrize("space", SPACES)
def test_a_space_that_can_not_be_searched(train: Door, tmp_path: Path, space: str) -> None:
    refused(plan(train, tmp_path, SEARCH[1], space), SPACES[space])


TAKEN = {
    "scheduler=glob(c*)": "scheduler: CategoricalDistribution(choices=('cosine',))",
    "scheduler=glob(*,exclude=[s*,e*])": "choices=('cosine', 'none', 'onecycle')",
    "trainer.epochs=int(interval(1.0,5))": "trainer.epochs: IntDistribution(high=5, log=False, low=1",
    "optimizer.lr=choice(0.1)": "CategoricalDistribution(choices=(0.1,))",
    "optimizer.lr=choice(0.1,0.2) optimizer.lr=choice(0.3)": "choices=(0.3,)",
    "optimizer.lr=0.1 optimizer.lr=choice(0.3)": "choices=(0.3,)",
}


@pytest.mark.parametrize("space", TAKEN)
def test_a_space_that_can(train: Door, tmp_path: Path, space: str) -> None:
    code, out, err = plan(train, tmp_path, SEARCH[1], *space.split(" "))
    assert code == 0 and TAKEN[space] in out, out + err


@pytest.mark.parametrize("value", ["0.1", "choice(0.1,0.2)"])
def test_the_command_line_wins_over_a_recipe(train: Door, tmp_path: Path, value: str) -> None:
    file = tmp_path / "conf" / "sweeps" / "mine.yaml"
    file.parent.mkdir(parents=True)
    choice = "defaults: [{override /hydra/sweeper: optuna_async}]"
    file.write_text(
        f"# @package _global_\n{choice}\nhydra: {{sweeper: {{params: {{optimizer: {{lr: '{value}'}}}}}}}}\n"
    )
    recipe = ["--config-dir", str(tmp_path / "conf"), "sweeps=mine", "sweep.plan=true"]
    network = without(small(tmp_path, 1), "trainer.batch_size")
    result = train(*network, *recipe, "optimizer.lr=choice(0.3)")
    assert result.code == 0 and "optimizer.lr: CategoricalDistribution(choices=(0.3,))" in result.out, result.err
