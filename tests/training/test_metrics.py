"""Metrics are lines of one table, and one of a user's own is all that those are."""

import csv
import json
from pathlib import Path

import numpy as np
import optuna
import pytest
import sklearn.metrics
from conftest import QUICK, Door
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from outcome import TINY, history_of, only_run, record_of
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from analysis import load
from sweeps.sweepers import objective
from training.engine.predictions import Predictions, summarize
from training.metrics import METRICS

RUN = [*QUICK, TINY, "trainer.precision=fp32"]
TOP = "trainer.metrics.top3={_target_: own_training.top, k: 3}"
SURPRISE = "trainer.metrics.surprise={_target_: own_training.surprise, direction: minimize}"


def test_every_line_of_the_table_is_scikit_learns() -> None:
    draws = np.random.default_rng(0)
    labels, logits = draws.integers(0, 4, 200), draws.normal(size=(200, 5)).astype(np.float32)
    guesses = logits.argmax(1)
    found = summarize(Predictions(labels, logits, 1.5), tuple("abcde"))
    kept = {"labels": range(5), "zero_division": 0.0}
    recalls = sklearn.metrics.recall_score(labels, guesses, average=None, **kept)
    assert found == {
        "acc": pytest.approx(100 * sklearn.metrics.accuracy_score(labels, guesses)),
        "loss": 1.5,
        "balanced_acc": pytest.approx(100 * recalls.mean()),
        "macro_f1": pytest.approx(100 * sklearn.metrics.f1_score(labels, guesses, average="macro", **kept)),
        "per_class_acc": pytest.approx(dict(zip("abcde", 100 * recalls, strict=True))),
        "n": 200,
    }
    assert list(METRICS) == [name for name in found if name not in ("per_class_acc", "n")]


def test_objectives_are_the_tables() -> None:
    ways = {metric.monitor: metric.direction for metric in METRICS.values()}
    assert ways.items() <= objective.known().items()
    assert ways == {"val_acc": "maximize", "val_loss": "minimize"} | {
        name: "maximize" for name in ("val_balanced_acc", "val_macro_f1")
    }


@pytest.mark.parametrize(("name", "least"), [("top3", False), ("surprise", True)])
def test_one_of_ones_own_is_monitored_recorded_drawn_and_loaded(
    train: Door, tmp_path: Path, name: str, least: bool
) -> None:
    wild = ["trainer.epochs=4", "optimizer.lr=0.3", "debug.max_steps=4", "scheduler=none"]
    done = train(*RUN, *wild, TOP, SURPRISE, f"trainer.monitor=val_{name}")
    assert done.code == 0, done.err
    folder = only_run(tmp_path / "outputs")
    record, rows = record_of(folder), history_of(folder)
    values = [-row[f"val_{name}"] if least else row[f"val_{name}"] for row in rows]
    assert record["best_epoch"] == 1 + max(range(4), key=lambda epoch: (values[epoch], epoch))
    with np.load(folder / "predictions_test.npz") as content:
        best = np.argsort(-content["logits"], axis=1)[:, :3]
        top3 = 100 * np.mean([label in row for label, row in zip(content["label"], best, strict=True)])
    assert record["test"]["top3"] == pytest.approx(top3)
    assert record["val"][name] == pytest.approx(rows[record["best_epoch"] - 1][f"val_{name}"])
    (row,) = load(folder).to_dict("records")
    for split in ("val", "test"):
        for own in ("top3", "surprise"):
            assert row[f"{split}_{own}"] == record[split][own]
    events = EventAccumulator(str(folder)).Reload()
    for own in ("top3", "surprise"):
        drawn = [event.value for event in events.Scalars(f"{own}/val")]
        assert drawn == pytest.approx([row[f"val_{own}"] for row in rows])


@pytest.mark.slow
def test_a_search_goes_by_one_of_ones_own(train: Door, shell: Door, tmp_path: Path) -> None:
    """As an objective by name, and through the monitor; the table has the runs in its order."""
    command = ["-m", "hydra/sweeper=optuna_async", *RUN, TOP, SURPRISE, "optimizer.lr=choice(1e-3,3e-2)"]
    command += ["tracking=none", "hydra.sweeper.n_trials=2", "hydra.sweeper.sampler.seed=1"]
    for name, way, more in (
        ("surprise", "MINIMIZE", ["hydra.sweeper.objective=val_surprise"]),
        ("top3", "MAXIMIZE", ["trainer.monitor=val_top3", "hydra/sweeper/pruner=median"]),
    ):
        result = train(*command, *more, f"sweep.name={name}")
        assert result.code == 0, result.err
        sweep = tmp_path / "outputs" / name
        journal = next(sweep.glob("*.journal"), None) or next(file for file in sweep.iterdir() if "study" in file.name)
        study = optuna.load_study(study_name=name, storage=JournalStorage(JournalFileBackend(str(journal))))
        assert study.direction.name == way and study.metric_names == [f"val_{name}"]
        for trial in study.trials:
            if trial.values:
                assert trial.values == [record_of(sweep / trial.user_attrs["run_folder"])["val"][name]]
        table = shell("-m", "analysis.report", str(sweep), "--format", "json")
        assert table.code == 0 and len(json.loads(table.out)) == 2


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["trainer.monitor=val_f1"],
            "trainer.monitor=val_f1: no such metric; choose from val_acc, val_loss, val_balanced_acc, val_macro_f1",
        ),
        ([TOP, "trainer.monitor=val_top5"], "choose from val_acc, val_loss, val_balanced_acc, val_macro_f1, val_top3"),
        (["trainer.metrics.acc={_target_: own_training.top}"], "trainer.metrics.acc: expected a new name"),
        (["trainer.metrics.top=own_training.top"], "expected {_target_: module.function, direction"),
        ([f"{SURPRISE[:-9]}less}}"], "trainer.metrics.surprise.direction=less: expected maximize or minimize"),
        (["trainer.metrics.top={_target_: own_training.to}"], "did you mean own_training.top?"),
        (["trainer.metrics.top={_target_: own_training.top, n: 3}"], "top refuses these settings"),
        (["trainer.metrics.bad={_target_: own_training.no_number}"], "own_training.no_number raises ValueError"),
    ],
)
def test_mistakes_are_told_before_the_run(train: Door, tmp_path: Path, lines: list[str], message: str) -> None:
    result = train(*RUN, *lines)
    assert result.code == 2 and message in result.err, result.err
    assert result.err.count("\n") == 1 and not (tmp_path / "outputs").exists()


def test_a_search_refuses_what_nobody_measures(train: Door, tmp_path: Path) -> None:
    command = ["-m", "hydra/sweeper=optuna_async", *RUN, TOP, "optimizer.lr=choice(1e-3,3e-2)"]
    result = train(*command, "hydra.sweeper.objective=val_top5")
    assert result.code == 2 and "objective=val_top5: no such objective; choose from val_acc" in result.err
    assert "val_top3" in result.err and not (tmp_path / "outputs").exists()


def test_a_monitor_that_does_not_exist_costs_no_import_of_torch(shell: Door) -> None:
    """A slip of the pen is told at once."""
    told = shell("-X", "importtime", "train.py", "trainer.monitor=val_f1")
    assert told.code == 2 and "choose from val_acc" in told.err
    assert not [line for line in told.err.splitlines() if line.rpartition("|")[2].strip() in ("torch", "sklearn")]


def test_columns_of_own_metrics_are_there_for_the_runs_that_have_them(train: Door, tmp_path: Path) -> None:
    assert train(*RUN, TOP, "tracking=none").code == 0
    assert train(*RUN, "tracking=none").code == 0
    runs = load(tmp_path / "outputs")
    assert runs["val_top3"].notna().sum() == 1 and len(runs) == 2
    with (next((tmp_path / "outputs").rglob("history.csv"))).open() as file:
        assert next(csv.reader(file))[0] == "epoch"
