"""python -m training.reproduce: the same numbers to the bit, and what it says where they are not, or can't be had."""

import csv
import json
import logging
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import QUICK, ROOT, Door, Result, run_folders
from digit_images import write_digits
from outcome import TINY, outcome, record_of

from training.reproduce import main

SAME, DIFFERS, CANT = 0, 1, 2


@pytest.fixture
def reproduce(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Door:
    """The program, which must leave the folders of the runs as they are."""

    def call(*arguments: str) -> Result:
        monkeypatch.setenv("FINEGRID_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(logging.root, "handlers", [])  # those of train.py: its run.log, and streams that are closed
        before = content(tmp_path / "outputs")
        capfd.readouterr()
        code = main(list(arguments))
        found = Result(code, *capfd.readouterr())
        assert content(tmp_path / "outputs") == before, "the folder of the run is only read"
        assert "Traceback" not in found.err
        return found

    return call


@pytest.fixture
def afresh(shell: Door) -> Door:
    """The program in a process of its own, which remembers no images."""
    return lambda *arguments: shell("-m", "training.reproduce", *arguments, PYTHONPATH=str(ROOT / "tests"))


def content(root: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in root.rglob("*") if file.is_file()}


def made(train: Door, tmp_path: Path, *overrides: str) -> Path:
    """A run folder, of a network that trains in no time."""
    before = set(run_folders(tmp_path / "outputs"))
    done = train(*QUICK, TINY, "tracking=none", *overrides)
    assert done.code == 0, done.err
    (folder,) = set(run_folders(tmp_path / "outputs")) - before
    return folder


def edit(folder: Path, change: Any) -> None:
    """Tamper with a record."""
    record = record_of(folder)
    change(record)
    (folder / "record.json").write_text(json.dumps(record))


def test_the_same_to_the_bit(train: Door, reproduce: Door, tmp_path: Path) -> None:
    folder = made(train, tmp_path, "optimizer.lr=auto", "trainer.ema=0.9", "seed=3")
    again = reproduce(str(folder), "--out", str(tmp_path / "again"))
    assert again.code == SAME, again.out + again.err
    assert again.err.count(": the same") == 2
    line = again.out.splitlines()[0]
    for word in ("The same to the bit: 2 epochs", "train_loss", "logits of", "val images", "test images", "weights ("):
        assert word in line
    assert "Nothing else that is recorded differs" in again.out
    (new,) = run_folders(tmp_path / "again")
    one, other = outcome(folder), outcome(new)
    for found in (one, other):
        del found["record"]["config"], found["record"]["machine"]
    assert one == other
    assert reproduce(str(folder), "--out", str(tmp_path / "again")).code == CANT, "it is not compared with itself"


def test_folds_seeds_and_a_search_s_pruned_run(train: Door, reproduce: Door, tmp_path: Path) -> None:
    folder = made(train, tmp_path, "data.folds=3", "data.fold=1", "seed=2", "trainer.epochs=3")
    assert reproduce(str(folder)).code == SAME

    def prune(record: dict[str, Any]) -> None:
        record.update(status="pruned", epochs_run=2)
        for key in ("val", "test", "best_epoch", "stopped_early"):
            del record[key]

    edit(folder, prune)
    lines = (folder / "history.csv").read_text().splitlines()
    (folder / "history.csv").write_text("\n".join(lines[:3]) + "\n")
    again = reproduce(str(folder))
    assert again.code == SAME, again.out + again.err
    assert "pruned after epoch 2" in again.err and "epoch 3" not in again.err and "2 epochs (" in again.out


def test_other_threads_are_said(train: Door, reproduce: Door, tmp_path: Path) -> None:
    folder = made(train, tmp_path)
    again = reproduce(str(folder), "--threads", "2")
    assert again.code in (SAME, DIFFERS), again.err  # whether the bits differ is up to the machine
    assert "threads: 1, now 2" in again.out
    assert ("The numbers differ:" in again.out) == (again.code == DIFFERS)


def test_a_tampered_record_is_found_out(train: Door, reproduce: Door, tmp_path: Path) -> None:
    folder = made(train, tmp_path)
    truth = record_of(folder)
    edit(folder, lambda record: record["test"].update(loss=0.01))
    again = reproduce(str(folder))
    assert again.code == DIFFERS
    assert f"test loss: 0.01 recorded, {truth['test']['loss']!r} now" in again.out
    assert "weights (sha256" in again.out and "logits of test" not in again.out.split("The same to the bit")[0]

    (folder / "record.json").write_text(json.dumps(truth))
    edit(folder, lambda record: record["config"]["optimizer"].update(lr=0.5))
    again = reproduce(str(folder))
    assert again.code == DIFFERS
    assert "warning: identity" in again.err and "the record was edited" in again.out
    assert "train_loss, epoch" in again.out and "logits of test: by " in again.out and "weights: by " in again.out
    assert "command: today it gives another config, optimizer.lr=" in again.out

    for part, value in (("trainer", []), ("trainer", {"epochs": "many"}), ("data", {"root": 5}), ("model", 1)):
        (folder / "record.json").write_text(json.dumps(truth))
        edit(folder, lambda record: record["config"].update({part: value}))  # noqa: B023 (called at once)
        refused = reproduce(str(folder))
        assert refused.code == CANT and refused.err.startswith("error: "), refused.err
    (folder / "record.json").write_text("{")
    assert reproduce(str(folder)).code == CANT


@pytest.mark.slow
def test_images_that_changed_are_named(train: Door, reproduce: Door, afresh: Door, tmp_path: Path) -> None:
    photos = write_digits(tmp_path / "photos", range(2), 8, 4, 4)
    folder = made(train, tmp_path, "data=folder", f"data.root={photos}")
    assert reproduce(str(folder)).code == SAME
    exported = tmp_path / "exported"
    assert reproduce(str(folder), "--write", str(exported)).code == 0

    file = photos / "train" / "1" / "003.png"
    shutil.copyfile(photos / "train" / "0" / "002.png", file)
    again = afresh(str(folder))
    assert again.code == CANT and "written since the run began: train/1/003.png" in again.err
    assert again.err.splitlines()[-1].startswith("error: ")
    (photos / "val" / "0" / "001.png").unlink()
    again = afresh(str(exported), "--data", str(photos))
    assert again.code == CANT
    assert "1 missing: val/0/001.png" in again.err and "1 with another content: train/1/003.png" in again.err

    shutil.rmtree(photos)
    again = afresh(str(folder))
    assert again.code == CANT and "photos" in again.err and "--data ROOT" in again.err


def test_an_exported_folder_is_all_that_it_takes(train: Door, reproduce: Door, afresh: Door, tmp_path: Path) -> None:
    photos = write_digits(tmp_path / "photos", range(2), 8, 4, 4)
    folder = made(train, tmp_path, "data=folder", f"data.root={photos}", "seed=1")
    exported, elsewhere = tmp_path / "exported", tmp_path / "elsewhere"
    done = reproduce(str(folder), "--write", str(exported))
    assert done.code == 0 and "32 images in manifest.csv (32 of them files)" in done.out, done.err
    text = (exported / "README.md").read_text()
    assert "--data ROOT --trust own_parts" in text and "seed=1" in text
    lock = (exported / "requirements.txt").read_text().splitlines()
    assert any(line.startswith("torch==") for line in lock) and not any(line.startswith("finegrid") for line in lock)
    with (exported / "manifest.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 32 and {row["split"] for row in rows} == {"train", "val", "test"}
    assert all(len(row["sha256"]) == 64 and row["name"].split("/")[1] == row["class"] for row in rows)

    shutil.rmtree(tmp_path / "outputs")
    shutil.move(photos, elsewhere)
    again = afresh(str(exported), "--data", str(elsewhere))
    assert again.code == SAME, again.out + again.err
    assert "weights (sha256" in again.out and "logits of 8 test images" in again.out
    refused = reproduce(str(exported), "--write", str(exported))
    assert refused.code == CANT


def test_a_csv_of_images_is_exported_along(train: Door, reproduce: Door, afresh: Door, tmp_path: Path) -> None:
    photos = write_digits(tmp_path / "photos", range(2), 8, 4, 4)
    files = sorted(file.relative_to(photos) for file in photos.rglob("*.png"))
    table = tmp_path / "table.csv"
    table.write_text("path,label\n" + "".join(f"{file},{file.parts[1]}\n" for file in files))
    folder = made(train, tmp_path, "data=folder", f"data.csv={table}", f"data.root={photos}")
    assert reproduce(str(folder), "--write", str(tmp_path / "exported")).code == 0
    table.unlink()
    assert afresh(str(folder)).code == CANT
    again = afresh(str(tmp_path / "exported"), "--data", str(photos))
    assert again.code == SAME, again.err


def test_initial_weights_that_are_gone_or_others(train: Door, reproduce: Door, tmp_path: Path) -> None:
    first, other = made(train, tmp_path), made(train, tmp_path, "seed=1")
    kept = tmp_path / "first.safetensors"
    shutil.copyfile(first / "best.safetensors", kept)
    folder = made(train, tmp_path, "weights=checkpoint", f"weights.path={kept}")
    assert reproduce(str(folder)).code == SAME
    moved = kept.rename(tmp_path / "moved.safetensors")
    again = reproduce(str(folder))
    assert again.code == CANT and "no such file" in again.err and "--weights FILE" in again.err
    assert reproduce(str(folder), "--weights", str(moved)).code == SAME
    again = reproduce(str(folder), "--weights", str(other / "best.safetensors"))
    assert again.code == CANT and "not those of the run" in again.err


def test_pieces_of_a_batch_are_those_of_the_run(train: Door, reproduce: Door, tmp_path: Path) -> None:
    folder = made(train, tmp_path)
    edit(folder, lambda record: record["resolved"].update(micro_batch=8))
    again = reproduce(str(folder))
    assert again.code in (SAME, DIFFERS) and "in pieces of 8 images" in again.out
    assert "micro_batch: " not in again.out


def test_without_weights_or_predictions(train: Door, reproduce: Door, tmp_path: Path) -> None:
    folder = made(train, tmp_path)
    (folder / "best.safetensors").unlink()
    (folder / "predictions_val.npz").unlink()
    again = reproduce(str(folder))
    assert again.code == SAME and "Not compared: logits of val" in again.out and "best.safetensors" in again.out
    with np.load(folder / "predictions_test.npz") as found:
        arrays = dict(found)
    arrays["logits"] = arrays["logits"] + np.float32(0.5)
    np.savez(folder / "predictions_test.npz", **arrays)
    again = reproduce(str(folder))
    assert again.code == DIFFERS and "logits of test: by 0.5 at most" in again.out
    assert "0 in the class that is guessed" in again.out


def test_what_can_t_be_trained_again_is_one_line(train: Door, reproduce: Door, tmp_path: Path) -> None:
    folder = made(train, tmp_path)
    for arguments, word in (
        ([str(tmp_path / "nothing")], "no such folder"),
        ([str(tmp_path)], "no run"),
        ([str(folder), "--out", str(folder / "inside")], "only read"),
        ([str(folder), "--data", str(tmp_path)], "lie in no folder"),
        ([str(folder), "--weights", str(tmp_path)], "began with no checkpoint"),
        ([str(folder), "--threads", "0"], "expected 1 or more"),
        ([str(folder), "--write", str(tmp_path / "x"), "--threads", "1"], "nothing is trained"),
    ):
        refused = reproduce(*arguments)
        assert refused.code == CANT and word in refused.err, refused.err
        assert refused.err.startswith("error: ") and refused.err.count("\n") == 1
    if not Path("/dev/nvidiactl").exists():
        edit(folder, lambda record: record["resolved"].update(device="cuda", device_name="NVIDIA H100"))
        refused = reproduce(str(folder))
        assert refused.code == CANT and "NVIDIA H100" in refused.err and "--device cpu" in refused.err
    edit(folder, lambda record: record.update(status="failed", failure={"kind": "disk", "message": "full"}))
    refused = reproduce(str(folder))
    assert refused.code == CANT and "failed (disk: full)" in refused.err
    (folder / "record.json").unlink()
    assert "no record yet" in reproduce(str(folder)).err


def test_runs_of_earlier_versions(reproduce: Door, tmp_path: Path) -> None:
    with tarfile.open(ROOT / "tests" / "data" / "outputs_47bee83.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    folder = next((tmp_path / "outputs" / "grid").glob("*-55fbeb43d7/seed=0"))
    again = reproduce(str(folder))
    assert again.code in (SAME, DIFFERS), again.err  # on another processor than theirs bits may differ
    assert "Not recorded by the version that trained it: system, processor, cores, instructions, packages" in again.out
    assert "known to give the same results" in again.out
    broken = next((tmp_path / "outputs" / "broken").glob("*/seed=0"))
    assert reproduce(str(broken)).code == CANT
