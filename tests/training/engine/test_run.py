"""One run through its door: what it leaves, that it comes out the same again, and that it is not done twice."""

import base64
import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.torch
import sklearn.metrics
import torch
from conftest import QUICK, ROOT, Door, Result, run_folders
from outcome import TINY, history_of, only_run, outcome, record_of
from own_parts import smooth, tiny
from PIL import Image
from torch import Tensor, nn

from training.data.batches import Preprocessing
from training.data.dataset import Dataset, open_dataset
from training.data.image_store import ImageStore
from training.schema.data_config import DataConfig

CONFIG = [*QUICK, TINY, "data.size=16", "data.resize=crop", "trainer.epochs=3", "optimizer.lr=0.01"]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A finished run's folder and what its process said."""
    root = tmp_path_factory.mktemp("done")
    command = [sys.executable, "train.py", *CONFIG, f"sweep.root={root}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "FINEGRID_CACHE": str(root / "cache")}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return only_run(root), Result(ended.returncode, ended.stdout, ended.stderr)


@pytest.fixture
def copy(done: tuple[Path, Result], tmp_path: Path) -> Path:
    """The same finished run, where the `train` fixture's command finds it."""
    folder = tmp_path / "outputs" / done[0].relative_to(done[0].parents[2])
    shutil.copytree(done[0], folder)
    return folder


def left(folder: Path) -> dict[str, bytes]:
    """All files of a run folder but those that tell who was there last."""
    files = [path for path in folder.iterdir() if path.is_file() and path.name not in ("run.log", ".lock")]
    return {path.name: path.read_bytes() for path in files}


def dataset() -> Dataset:
    return open_dataset(DataConfig(size=16, resize="crop"))


def test_run_leaves_its_files_and_nothing_else(done: tuple[Path, Result]) -> None:
    folder, result = done
    assert result.code == 0, result.err
    assert result.err == ""
    found = {path.name for path in folder.iterdir()}
    (events,) = (name for name in found if name.startswith("events.out.tfevents."))
    predictions = {"predictions_val.npz", "predictions_test.npz"}
    texts = {"record.json", "config.json", "history.csv", "mistakes.json", "run.log", "README.md"}
    assert found == {".hydra", ".lock", "best.safetensors", events, *predictions, *texts}
    assert "epoch 3/3" in (folder / "run.log").read_text()
    assert "epochs: 3" in (folder / ".hydra" / "config.yaml").read_text()
    assert folder.name == "seed=0" and folder.parent.name.startswith("tiny-none-adamw-lr0.01-onecycle-")


def test_the_worst_mistakes_are_kept_as_thumbnails(done: tuple[Path, Result]) -> None:
    images = json.loads((done[0] / "mistakes.json").read_text())["images"]
    with np.load(done[0] / "predictions_test.npz") as content:
        names, labels = content["id"].tolist(), content["label"]
        shares = torch.from_numpy(content["logits"]).double().softmax(1).numpy()
    wrong = [row for row in range(len(names)) if shares[row].argmax() != labels[row]]
    wrong = sorted(wrong, key=lambda row: -shares[row].max())[:24]
    assert [image["id"] for image in images] == [names[row] for row in wrong] and len(images) > 2
    for image, row in zip(images, wrong, strict=True):
        assert (image["label"], image["guess"]) == (str(labels[row]), str(shares[row].argmax()))
        assert image["probability"] == pytest.approx(shares[row].max(), abs=1e-4)
        picture = Image.open(io.BytesIO(base64.b64decode(image["jpeg"])))
        assert picture.format == "JPEG" and max(picture.size) <= 96


def test_record_says_what_the_run_was(done: tuple[Path, Result]) -> None:
    record = record_of(done[0])
    assert record["status"] == "done" and record["failure"] is None
    assert (record["schema"], record["seed"], record["sweep"]) == (1, 0, "runs")
    assert record["identity"] == done[0].parent.name.rpartition("-")[2]
    assert record["config"]["optimizer"]["lr"] == 0.01 and record["config"]["data"]["size"] == 16
    resolved = record["resolved"]
    assert (resolved["weights"], resolved["normalize"], resolved["device"]) == ("none", "dataset", "cpu")
    assert resolved["precision"] in ("fp32", "bf16") and resolved["memory_format"] == "channels_last"
    digits = dataset()
    assert record["data"]["fingerprint"] == digits.fingerprint
    assert record["data"]["classes"] == [str(digit) for digit in range(10)]
    assert record["data"]["n"] == {name: len(rows) for name, rows in digits.split.items()}
    assert record["params"] == sum(parameter.numel() for parameter in tiny(10).parameters())
    assert (record["threads"], record["epochs_run"]) == (1, 3)
    assert record["versions"]["torch"] == torch.__version__
    times = record["time"]
    assert len(times["epoch_seconds"]) == 3
    assert sum(times["epoch_seconds"]) < times["minutes"] * 60
    assert times["images_per_s"] == pytest.approx(3 * 64 / sum(times["epoch_seconds"]))
    assert json.loads((done[0] / "config.json").read_text()).items() <= record.items()


@pytest.mark.parametrize("split", ["val", "test"])
def test_figures_are_those_of_the_stored_predictions(done: tuple[Path, Result], split: str) -> None:
    record = record_of(done[0])
    figures = record[split]
    stored = np.load(done[0] / f"predictions_{split}.npz")
    digits = dataset()
    assert stored["id"].tolist() == [digits.names[index] for index in digits.split[split]]
    assert stored["label"].tolist() == digits.labels[digits.split[split]].tolist()
    labels, guesses = stored["label"], stored["logits"].argmax(1)
    scores = torch.from_numpy(stored["logits"]).double().softmax(1).numpy()
    matrix = sklearn.metrics.confusion_matrix(labels, guesses, labels=range(10))
    assert 0 < figures["acc"] < 100
    assert figures["acc"] == pytest.approx(100 * sklearn.metrics.accuracy_score(labels, guesses))
    assert figures["balanced_acc"] == pytest.approx(100 * sklearn.metrics.balanced_accuracy_score(labels, guesses))
    assert figures["macro_f1"] == pytest.approx(100 * sklearn.metrics.f1_score(labels, guesses, average="macro"))
    assert figures["loss"] == pytest.approx(sklearn.metrics.log_loss(labels, scores), rel=1e-5)
    assert list(figures["per_class_acc"]) == record["data"]["classes"]
    assert list(figures["per_class_acc"].values()) == pytest.approx(100 * matrix.diagonal() / matrix.sum(1))
    assert figures["n"] == len(labels)


def test_history_has_a_row_an_epoch_and_the_best_is_chosen_from_it(done: tuple[Path, Result]) -> None:
    record, rows = record_of(done[0]), history_of(done[0])
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    accuracies = [row["val_acc"] for row in rows]
    assert record["best_epoch"] == max(range(3), key=lambda index: (accuracies[index], index)) + 1
    best = rows[record["best_epoch"] - 1]
    assert (record["val"]["acc"], record["val"]["loss"]) == (best["val_acc"], best["val_loss"])
    assert [row["images_per_s"] * row["seconds"] for row in rows] == pytest.approx([64, 64, 64])
    assert all(row["grad_norm"] > 0 and row["lr"] > 0 for row in rows)


def scores_by_the_weights_file(folder: Path, model: nn.Module, split: str) -> np.ndarray:
    """What best.safetensors makes of a split's images, prepared as it says itself."""
    with safetensors.safe_open(folder / "best.safetensors", "pt") as opened:
        said = json.loads(opened.metadata()["finegrid"])["preprocessing"]
    digits = dataset()
    store = ImageStore(digits, DataConfig(size=said["size"], stored_size=said["stored_size"], resize=said["resize"]))
    images = torch.from_numpy(store.batch(digits.split[split])).permute(0, 3, 1, 2)
    model.load_state_dict(safetensors.torch.load_file(folder / "best.safetensors"))
    with torch.no_grad():
        scores: Tensor = model.eval()(Preprocessing(said["size"], said["mean"], said["std"]).plain(images))
    return scores.numpy()


def check_scores(folder: Path, model: nn.Module) -> None:
    """Weights and predictions belong together."""
    exact = record_of(folder)["resolved"]["precision"] == "fp32"
    for split in ("val", "test"):
        stored = np.load(folder / f"predictions_{split}.npz")["logits"]
        np.testing.assert_allclose(
            stored, scores_by_the_weights_file(folder, model, split), atol=1e-5 if exact else 0.1
        )


def test_weights_file_gives_the_stored_predictions_by_what_it_says_itself(done: tuple[Path, Result]) -> None:
    with safetensors.safe_open(done[0] / "best.safetensors", "pt") as opened:
        about = json.loads(opened.metadata()["finegrid"])
    assert about["classes"] == list(dataset().classes)
    said = about["preprocessing"]
    assert (said["size"], said["stored_size"], said["resize"]) == (16, 18, "crop")
    pixels = ImageStore(dataset(), DataConfig(size=16, resize="crop")).batch(dataset().split["train"]) / 255
    assert said["mean"] == pytest.approx(pixels.mean((0, 1, 2)), abs=1e-6)
    assert said["std"] == pytest.approx(pixels.std((0, 1, 2)), abs=1e-6)
    check_scores(done[0], tiny(10))


def test_same_config_again_is_the_same_bit_for_bit(done: tuple[Path, Result], train: Door, tmp_path: Path) -> None:
    assert train(*CONFIG).code == 0
    assert train(*CONFIG, "seed=1").code == 0
    first, other = run_folders(tmp_path / "outputs")
    assert first.parent == other.parent, "a replicate has the same identity"
    assert outcome(first) == outcome(done[0])
    assert all(outcome(first)[key] != outcome(other)[key] for key in outcome(first))


def test_tracking_and_threads_leave_the_result_alone(done: tuple[Path, Result], train: Door, tmp_path: Path) -> None:
    assert train(*CONFIG, "tracking=none").code == 0
    folder = only_run(tmp_path / "outputs")
    assert folder.parent.name == done[0].parent.name
    assert not list(folder.glob("events*"))
    assert outcome(folder)["best.safetensors"] == outcome(done[0])["best.safetensors"]


def test_finished_run_is_not_trained_again(copy: Path, train: Door) -> None:
    before = left(copy)
    result = train(*CONFIG)
    assert result.code == 0, result.err
    assert "is finished already: done" in result.out and "epoch 1/3" not in result.out
    assert left(copy) == before


def test_what_kills_left_is_cleared_away(copy: Path, train: Door) -> None:
    (copy / "resume.pt").write_bytes(b"killed after its record was written")
    (copy / ".resume.pt.4711.part").write_bytes(b"killed while writing this")
    assert train(*CONFIG).code == 0
    assert not (copy / "resume.pt").exists() and not list(copy.glob(".*.part"))


def test_record_of_older_code_is_used_with_a_warning_or_made_anew(copy: Path, train: Door) -> None:
    made = outcome(copy)
    old = record_of(copy) | {"code_version": "00000000", "val": {"acc": 1.0}}
    (copy / "record.json").write_text(json.dumps(old))
    result = train(*CONFIG)
    assert result.code == 0 and "sweep.stale=rerun" in result.out
    assert record_of(copy) == old
    result = train(*CONFIG, "sweep.stale=rerun")
    assert result.code == 0 and "epoch 1/3" in result.out
    assert outcome(copy)["record"] == made["record"]


def test_of_equal_epochs_the_later_one_is_chosen(train: Door, tmp_path: Path) -> None:
    arguments = ["model._target_=own_parts.smooth", "optimizer=sgd", "optimizer.lr=1e-20", "trainer.epochs=4"]
    assert train(*QUICK, *arguments).code == 0
    folder = only_run(tmp_path / "outputs")
    accuracies = {row["val_acc"] for row in history_of(folder)}
    assert len(accuracies) == 1
    assert record_of(folder)["best_epoch"] == 4


def test_earlier_epoch_is_chosen_if_better(train: Door, tmp_path: Path) -> None:
    steps = ["scheduler=step", "scheduler.kwargs.step_size=2", "scheduler.kwargs.gamma=1e4"]  # ruins it from epoch 3 on
    arguments = ["debug.max_steps=30", "optimizer=sgd", "optimizer.lr=0.05", "trainer.epochs=4", *steps]
    assert train(*QUICK, *arguments, "model._target_=own_parts.smooth", "trainer.clip_norm=1").code == 0
    folder = only_run(tmp_path / "outputs")
    accuracies = [row["val_acc"] for row in history_of(folder)]
    record = record_of(folder)
    assert record["best_epoch"] == accuracies.index(max(accuracies)) + 1 <= 2
    assert record["val"]["acc"] == max(accuracies) > accuracies[-1]
    assert record["test"]["acc"] > accuracies[-1] + 5, "that of the chosen epoch too"
    check_scores(folder, smooth(10))


def test_test_images_are_looked_at_once_and_after_the_last_epoch(train: Door, tmp_path: Path) -> None:
    log, outputs = tmp_path / "log", tmp_path / "outputs"
    outputs.mkdir()
    source = ["data._target_=own_parts.watched", f"+data.kwargs.log={log}", f"+data.kwargs.outputs={outputs}"]
    source += ["data.memory_gb=0"]  # nothing is kept, so every look is a load
    assert train(*QUICK, TINY, *source, "trainer.epochs=3").code == 0
    loads = log.read_text().splitlines()
    looks = [line for line in loads if line.startswith("test")]
    wrong = len(json.loads((only_run(outputs) / "mistakes.json").read_text())["images"])
    assert len(looks) == 6 + 6 + wrong, "to check the file before the run, at its end, and for a thumbnail of a mistake"
    assert looks[6:] == ["test 3"] * (6 + wrong)
    assert loads[-len(looks[6:]) :] == looks[6:]
    for rows in (1, 2):
        assert {line for line in loads if line.endswith(f" {rows}")} == {f"train {rows}", f"val {rows}"}


@pytest.mark.slow
def test_sweep_gives_the_records_of_single_runs(shell: Door, tmp_path: Path) -> None:
    words, path = ["train.py", *QUICK, TINY, f"sweep.root={tmp_path}/outputs"], str(ROOT / "tests")
    result = shell(*words, "-m", "optimizer.lr=0.01,0.001", PYTHONPATH=path)
    assert result.code == 0, result.err
    swept = run_folders(tmp_path / "outputs" / "grid")
    assert len(swept) == 2
    for lr in ("0.001", "0.01"):
        assert shell(*words, f"optimizer.lr={lr}", PYTHONPATH=path).code == 0
    alone = run_folders(tmp_path / "outputs" / "runs")
    assert [folder.parent.name for folder in alone] == [folder.parent.name for folder in swept]
    assert [outcome(folder) for folder in alone] == [outcome(folder) for folder in swept]


def test_history_is_plain_csv(done: tuple[Path, Result]) -> None:
    with (done[0] / "history.csv").open(newline="") as file:
        header = next(csv.reader(file))
    losses = ["train_loss", "train_acc", "val_loss", "val_acc"]
    assert header == ["epoch", "lr", *losses, "grad_norm", "seconds", "images_per_s"]
