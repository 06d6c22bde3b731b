"""trainer.monitor and trainer.patience: which epoch is selected, when training ends, and what a search goes by."""

from pathlib import Path

import optuna
import pytest
from conftest import QUICK, Door
from mending import MOVING, unbroken_and_mended
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from outcome import TINY, history_of, only_run, record_of

from sweeps.sweepers.objective import directions

SMOOTH = "model._target_=own_parts.smooth"  # nothing in it moves at a learning rate of nothing
STILL = [*QUICK, SMOOTH, "optimizer.lr=1e-20", "scheduler=none", "trainer.epochs=9"]
KEYS = {"val_acc": "acc", "val_balanced_acc": "balanced_acc", "val_macro_f1": "macro_f1", "val_loss": "loss"}


@pytest.mark.parametrize("monitor", KEYS)
def test_best_epoch_is_the_monitors(train: Door, tmp_path: Path, monitor: str) -> None:
    """A learning rate that is too large: accuracy and loss go up and down, each in its own way."""
    wild = ["trainer.epochs=8", "optimizer.lr=0.3", "debug.max_steps=4", "scheduler=none", f"trainer.monitor={monitor}"]
    result = train(*MOVING, *wild)
    assert result.code == 0, result.err
    folder = only_run(tmp_path / "outputs")
    record, rows = record_of(folder), history_of(folder)
    sign = -1 if monitor == "val_loss" else 1
    values = [sign * row[monitor] for row in rows]
    best = max(range(8), key=lambda epoch: (values[epoch], epoch))
    assert record["best_epoch"] == best + 1
    assert record["val"][KEYS[monitor]] == pytest.approx(rows[best][monitor])
    assert len(rows[0]) == 9 + (monitor in ("val_balanced_acc", "val_macro_f1"))
    assert record["epochs_run"] == 8 and record["stopped_early"] is False


@pytest.mark.parametrize("monitor", ["val_acc", "val_loss"])
def test_training_ends_when_nothing_improves_and_the_last_of_equals_is_kept(
    train: Door, tmp_path: Path, monitor: str
) -> None:
    result = train(*STILL, "trainer.patience=2", f"trainer.monitor={monitor}")
    assert result.code == 0 and f"no better {monitor} in 2 epochs" in result.out
    record = record_of(only_run(tmp_path / "outputs"))
    assert (record["status"], record["epochs_run"], record["stopped_early"]) == ("done", 3, True)
    assert record["best_epoch"] == 3, "the later one on a tie"
    again = train(*STILL, "trainer.patience=2", f"trainer.monitor={monitor}")
    assert again.code == 0 and "is finished already" in again.out


def test_patience_lasts_while_something_improves(train: Door, tmp_path: Path) -> None:
    arguments = ["optimizer.lr=1e-4", "trainer.patience=1", "trainer.monitor=val_loss", "trainer.epochs=5"]
    assert train(*STILL, *arguments).code == 0
    folder = only_run(tmp_path / "outputs")
    losses = [row["val_loss"] for row in history_of(folder)]
    assert losses == sorted(losses, reverse=True) and len(losses) == 5
    assert record_of(folder)["stopped_early"] is False


def test_patience_survives_a_break(train: Door, tmp_path: Path) -> None:
    """What was best, and when, is counted on by the process that goes on."""
    wild = ["optimizer.lr=20", "trainer.patience=2", "trainer.monitor=val_macro_f1"]
    mended = unbroken_and_mended(train, tmp_path, *wild)[1]
    record, rows = record_of(mended), history_of(mended)
    values = [row["val_macro_f1"] for row in rows]
    improved = max(range(len(values)), key=lambda epoch: (values[epoch], -epoch))
    assert record["stopped_early"] is (len(rows) < 4)
    assert len(rows) == min(4, improved + 3)


@pytest.mark.slow
def test_search_goes_by_the_monitor(train: Door, tmp_path: Path) -> None:
    """By default, and it hears of it after every epoch."""
    command = ["-m", "hydra/sweeper=optuna_async", "hydra/sweeper/pruner=median", *QUICK, TINY, "sweep.name=study"]
    command += ["optimizer.lr=choice(1e-3,3e-2)", "hydra.sweeper.n_trials=2", "hydra.sweeper.sampler.seed=1"]
    result = train(*command, "trainer.monitor=val_macro_f1")
    assert result.code == 0, result.err
    sweep = tmp_path / "outputs" / "study"
    storage = JournalStorage(JournalFileBackend(str(sweep / "study.journal")))
    study = optuna.load_study(study_name="study", storage=storage)
    assert study.direction.name == "MAXIMIZE" and study.metric_names == ["val_macro_f1"]
    assert any(trial.intermediate_values for trial in study.trials)
    for trial in study.trials:
        folder = sweep / trial.user_attrs["run_folder"]
        assert trial.values == [record_of(folder)["val"]["macro_f1"]]
        if trial.intermediate_values:
            assert [*trial.intermediate_values.values()] == [row["val_macro_f1"] for row in history_of(folder)]
    other = train(*command, "trainer.monitor=val_loss")
    assert other.code == 2 and "objective was val_macro_f1, now val_loss" in other.err
    assert directions(["val_loss"]) == ["minimize"]
    refused = train(*command, "trainer.monitor=choice(val_acc,val_loss)")
    assert refused.code == 2 and "trainer.monitor is searched over" in refused.err


@pytest.mark.parametrize(
    ("argument", "message"),
    [("trainer.patience=0", "trainer.patience=0: expected 1 or more"), ("trainer.monitor=test_acc", "trainer.monitor")],
)
def test_nonsense_is_refused(train: Door, argument: str, message: str) -> None:
    result = train(argument)
    assert result.code == 2 and message in result.err and "Traceback" not in result.err
