"""wandb and MLflow, read back from the files that they keep without a network."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import QUICK, Door, run_folders
from outcome import TINY, history_of, only_run, outcome, record_of
from wandb_file import wandb_runs

import training.engine.session

wandb = pytest.importorskip("wandb")
mlflow = pytest.importorskip("mlflow")

BOTH = ["tracking=wandb", "tracking.mlflow=true"]
CURVES = {"loss/train": "train_loss", "acc/val": "val_acc", "gradient_norm": "grad_norm"}


@pytest.fixture(autouse=True)
def nobody_is_logged_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_API_KEY", "WANDB_DIR", "WANDB_PROJECT", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # for the reader
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def mlflow_runs(root: Path) -> list[dict[str, Any]]:
    """The runs in <root>/mlruns: experiment, name, params, tags, status, curves (step -> value), files."""
    client = mlflow.tracking.MlflowClient(tracking_uri=(root / "mlruns").absolute().as_uri())
    found = []
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id]):
            metrics = {key: client.get_metric_history(run.info.run_id, key) for key in run.data.metrics}
            curves = {key: {point.step: point.value for point in points} for key, points in metrics.items()}
            assert all(len(curves[key]) == len(points) for key, points in metrics.items()), "a step twice"
            files = {path.name: path for path in Path(run.info.artifact_uri.removeprefix("file://")).iterdir()}
            one = {"experiment": experiment.name, "name": run.info.run_name, "status": run.info.status}
            found.append(one | {"params": run.data.params, "tags": run.data.tags, "curves": curves, "files": files})
    return sorted(found, key=lambda one: str(one["name"]))


def test_what_both_get_to_see_of_a_sweep(train: Door, tmp_path: Path) -> None:
    root = tmp_path / "outputs"
    done = train("-m", *QUICK, TINY, *BOTH, "seed=0,1", "sweep.name=two", "hydra.launcher.slots=2")
    assert done.code == 0, done
    folders = run_folders(root)
    names = ["/".join(folder.parts[-2:]) for folder in folders]
    in_wandb, in_mlflow = sorted(wandb_runs(root), key=lambda one: str(one["name"])), mlflow_runs(root)
    assert [one["name"] for one in in_wandb] == [one["name"] for one in in_mlflow] == names
    for folder, one, other in zip(folders, in_wandb, in_mlflow, strict=True):
        record, history = record_of(folder), history_of(folder)
        assert not list(folder.glob("events.out.*")), "TensorBoard was not asked for"
        assert one["group"] == "two" and other["experiment"] == other["tags"]["sweep"] == "two"
        assert one["config"]["optimizer"]["lr"] == 1e-3 and other["params"]["optimizer.lr"] == "0.001"
        assert one["config"]["identity"] == other["tags"]["identity"] == record["identity"]
        for name, column in CURVES.items():
            wanted = {int(row["epoch"]): row[column] for row in history}
            assert {row["epoch"]: row[name] for row in one["rows"] if name in row} == pytest.approx(wanted)
            assert other["curves"][name] == pytest.approx(wanted)
        rates = {
            row["optimizer_step"]: row["learning_rate/all_weights"] for row in one["rows"] if "optimizer_step" in row
        }
        assert sorted(rates) == [0, 1, 2, 3] and other["curves"]["learning_rate/all_weights"] == pytest.approx(rates)
        for name, split in (("val_acc", "val"), ("test_acc", "test")):
            assert one["summary"][name] == pytest.approx(record[split]["acc"])
            assert list(other["curves"][name].values()) == pytest.approx([record[split]["acc"]])
        assert one["summary"]["status"] == other["tags"]["status"] == "done"
        assert one["exit"] == 0 and other["status"] == "FINISHED"
        assert json.loads(other["files"]["record.json"].read_text())["test"] == record["test"]
        table = json.loads(other["files"]["per_class.json"].read_text())
        assert table["columns"] == ["class", "val_acc", "test_acc"] and len(table["data"]) == 10
        assert one["summary"]["per_class/nrows"] == 10


@pytest.mark.parametrize("stopped", ["epoch", "record"])
def test_a_broken_off_run_goes_on_in_the_same_place(
    train: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: str
) -> None:
    """It ends when the second epoch has been told and isn't saved yet, or when its end is to be told."""
    root = tmp_path / "outputs"
    command = [*QUICK, TINY, "trainer.epochs=3", "trainer.save_every_s=0", *BOTH]
    where = training.engine.session.Saver if stopped == "epoch" else training.engine.session.Elsewhere
    original = where.save if stopped == "epoch" else None  # type: ignore[attr-defined]

    def stop(self: Any, state: Any, *rest: Any) -> Any:
        if stopped == "epoch" and state.epoch < 2:
            return original(self, state, *rest)  # type: ignore[misc]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(where, "save" if stopped == "epoch" else "record", stop)
        assert train(*command).code == 130
    folder = only_run(root)
    before = json.loads((folder / "trackers.json").read_text())
    assert train(*command).code == 0
    after = json.loads((folder / "trackers.json").read_text())
    assert [after[one]["id"] for one in after] == [before[one]["id"] for one in before]
    assert {one["ended"] for one in after.values()} == {True}
    rows = [row for one in wandb_runs(root) for row in one["rows"]]
    assert [row["epoch"] for row in rows if "loss/train" in row] == [1, 2, 3]
    assert len({one["id"] for one in wandb_runs(root)}) == 1
    (one,) = mlflow_runs(root)
    assert sorted(one["curves"]["loss/train"]) == [1, 2, 3] and one["status"] == "FINISHED"
    assert sorted(one["curves"]["learning_rate/all_weights"]) == [0, 1, 2, 3, 4, 5]


def test_a_tracker_that_fails_ends_no_run(train: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that can't be reached is told once; results are those of a run without trackers."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "file" / "below").as_uri())
    done = train(*QUICK, TINY, "tracking=mlflow", "sweep.name=broken")
    assert done.code == 0 and done.out.count("mlflow: ") == 1 and "goes on without it" in done.out, done
    assert train(*QUICK, TINY, "tracking=none", "sweep.name=plain").code == 0
    broken, plain = run_folders(tmp_path / "outputs")
    assert broken.parent.name == plain.parent.name
    left, right = outcome(broken), outcome(plain)
    for one in (left, right):
        del one["record"]["config"]["tracking"]
    assert left == right


def test_tensorboard_by_its_name_is_the_default(train: Door) -> None:
    shown = [train(*line, "--cfg", "job", "--package", "tracking").out for line in ([], ["tracking=tensorboard"])]
    assert shown[0] == shown[1] and "tensorboard: true" in shown[0]
