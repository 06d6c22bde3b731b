"""Averaged weights of a sweep's runs, by `python -m training.soup`, and what the report makes of them."""

import contextlib
import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT, Door, run_folders
from digit_images import write_digits
from merging import BASICS, GRID, accuracy, begun_at, door, folded, made, stored, tuned
from own_parts import tiny
from safetensors.torch import load_file
from torch import Tensor

from analysis.report import main as report
from training.data.dataset import open_dataset
from training.data.files.decoding import stored as stored_image
from training.ensemble import main as ensemble
from training.models.trained_model import TrainedModel, weights_file
from training.predict import main as predict
from training.schema.data_config import DataConfig
from training.soup import main

pytestmark = pytest.mark.slow

__all__ = ["folded", "made", "tuned"]


def soup_of(sweep: Path, *arguments: str) -> tuple[Path, dict[str, Any]]:
    """Make one; gives its folder and record."""
    assert main([str(sweep), *arguments]) == 0
    (folder,) = sweep.glob("soup-*/seed=0")
    return folder, json.loads((folder / "record.json").read_text())


def averaged(folders: list[Path]) -> dict[str, Tensor]:
    """The mean of every tensor of floats; the others are the first one's."""
    states = [load_file(folder / "best.safetensors") for folder in folders]
    return {
        name: torch.stack([state[name] for state in states]).mean(0) if one.is_floating_point() else one
        for name, one in states[0].items()
    }


def test_its_logits_are_those_of_averaged_weights(tuned: Path) -> None:
    folder, record = soup_of(tuned)
    members = record["soup"]["members"]
    assert 2 <= len(members) == record["soup"]["size"] <= record["soup"]["candidates"] == 4
    wanted = averaged([tuned / one["run"] for one in members])
    found = load_file(folder / "best.safetensors")
    assert found.keys() == wanted.keys() and "norm.running_var" in found
    assert all(torch.allclose(found[name], wanted[name], atol=1e-7) for name in wanted)
    assert not torch.equal(
        found["head.weight"], load_file(tuned / members[0]["run"] / "best.safetensors")["head.weight"]
    )

    network = tiny(10).eval()
    network.load_state_dict(wanted)
    about = TrainedModel.load(folder).about["preprocessing"]
    data = DataConfig(size=16)
    dataset = open_dataset(data)
    mean, std = (torch.tensor(about[key]).view(3, 1, 1) for key in ("mean", "std"))
    for split in ("val", "test"):
        images = [np.asarray(stored_image(dataset.load(index), data)) for index in dataset.split[split]]
        pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 255
        with torch.no_grad():
            logits = network((pixels - mean) / std).numpy()
        content = stored(folder, split)
        assert content["id"].tolist() == [dataset.names[index] for index in dataset.split[split]]
        assert np.allclose(content["logits"], logits, atol=1e-4)
        assert accuracy(content) == pytest.approx(record[split]["acc"])


def test_it_grows_while_val_does_not_fall(tuned: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _, record = soup_of(tuned)
    members = record["soup"]["members"]
    singles = [json.loads(file.read_text()) for file in tuned.glob("tiny-checkpoint-*/seed=*/record.json")]
    before = members[0]["val_acc"]
    assert before == max(one["val"]["acc"] for one in singles if one["config"]["data"]["split_seed"] == 0)
    for step in record["soup"]["tried"]:
        assert step["taken"] == (step["val_acc"] >= before)
        before = max(before, step["val_acc"])
    assert record["val"]["acc"] == before
    assert [one["run"] for one in members[1:]] == [one["run"] for one in record["soup"]["tried"] if one["taken"]]
    out, err = capfd.readouterr()
    assert "2 of the 6 finished runs can't be averaged" in err, "one from nowhere, one on another split"
    assert f"soup of {len(members)} of 4" in out and "exact McNemar p" in out
    single, ours = (stored(tuned / name, "test") for name in (members[0]["run"], next(tuned.glob("soup-*/seed=0"))))
    assert accuracy(single) == pytest.approx(record["soup"]["best_single"]["test_acc"])
    points = record["soup"]["against_best_single"]["points"]
    assert points == pytest.approx(accuracy(ours) - accuracy(single))


def test_runs_that_would_spoil_it_are_not_taken(tuned: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Where all others do, there is no soup."""
    _, record = soup_of(tuned, "--out", str(tuned / "soup-first/seed=0"))
    best = record["soup"]["members"][0]["run"]
    for file in tuned.glob("tiny-*/seed=*/best.safetensors"):
        if str(file.parent.relative_to(tuned)) != best:
            meta = TrainedModel.load(file.parent).about
            state = {name: -one if one.is_floating_point() else one for name, one in load_file(file).items()}
            file.write_bytes(weights_file(state, meta))
    capfd.readouterr()
    assert main([str(tuned), "--out", str(tuned.parent / "never")]) == 0
    assert f"there is no soup, take {tuned / best}" in capfd.readouterr().out
    assert not (tuned.parent / "never").exists()


def test_folds_are_not_mixed(folded: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The val images of one are among the train images of the other."""
    assert main([str(folded), "--out", str(tmp_path / "soup")]) == 0
    assert "2 of the 4 finished runs can't be averaged" in capfd.readouterr().err


def test_test_images_are_looked_at_last_and_stored_test_results_never(tmp_path: Path) -> None:
    log, root = tmp_path / "log", tmp_path / "outputs"
    source = ["data._target_=own_parts.watched", f"+data.kwargs.log={log}", f"+data.kwargs.outputs={tmp_path / 'none'}"]
    basics = [*BASICS, *source, "data.size=8", "data.cache=memory", "trainer.epochs=1", "trainer.batch_size=4"]
    assert door(root, *basics, "sweep.name=base") == 0
    for seed in (0, 1, 2):
        assert door(root, *basics, *begun_at(root), f"seed={seed}", "optimizer.lr=1e-5", "sweep.name=tuned") == 0
    for file in (root / "tuned").rglob("predictions_test.npz"):
        file.unlink()
    log.unlink()
    folder, record = soup_of(root / "tuned")
    assert record["soup"]["size"] == 3 and len(stored(folder, "test")["id"]) == 6
    looked = [line.split()[0] for line in log.read_text().splitlines()]
    assert looked[:12] == ["val"] * 6 + ["test"] * 6 and set(looked[12:]) <= {"test"}, "thumbnails of mistakes"


@pytest.fixture
def told(tuned: Path) -> Any:
    """The report on the sweep in a format."""

    def tell(*arguments: str) -> str:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            assert report([str(tuned), *arguments]) == 0
        return out.getvalue()

    return tell


def test_the_report_shows_it_and_judges_the_runs_without_it(tuned: Path, told: Any) -> None:
    before, said_before = list(csv.DictReader(io.StringIO(told("--format", "csv")))), told()
    _, record = soup_of(tuned)
    after, said = list(csv.DictReader(io.StringIO(told("--format", "csv")))), told("--html", str(tuned / "page.html"))
    ours = [row for row in after if row["weights_resolved"].startswith("soup of ")]
    assert [row for row in after if row not in ours] == before, "to the last digit"
    (row,) = ours
    assert (row["weights_resolved"], row["seeds"]) == (f"soup of {record['soup']['size']}", "1")
    assert float(row["val_acc"]) == pytest.approx(record["val"]["acc"], abs=1e-4)
    assert row["mark"] in ("not separated", "better", "worse"), "against the reference, which it never is itself"
    assert row["diff"]
    assert [one["test_set"] for one in after if one["mark"] == "reference"] == ["1", "2"], "one of each test set"

    def sentences(text: str) -> str:
        said = text.partition("About configurations")[2].partition("caution: ")[0]
        return " ".join(said.partition("Classify new images")[0].split())  # which cautions may precede

    assert sentences(said) == sentences(said_before) != ""
    assert "chosen on the same val images" in " ".join(said.split())
    page = (tuned / "page-2.html").read_text()  # of the test set that it was tested on
    assert "chosen on the same val images" in page and f"soup of {record['soup']['size']}" in page


def test_the_sweep_goes_on_and_a_soup_is_no_member(made: Path, tuned: Path) -> None:
    first, record = soup_of(tuned)
    assert ensemble([str(tuned)]) == 0
    content = json.loads((tuned / "ensemble.json").read_text())
    assert not [name for name in content["selection"]["candidates"] if name.startswith("soup-")]
    times = {file: file.stat().st_mtime_ns for file in tuned.rglob("*") if file.name == "record.json"}
    assert door(tuned.parent, "-m", *BASICS, *begun_at(made), *GRID, "seed=0,1") == 0
    assert {file: file.stat().st_mtime_ns for file in tuned.rglob("*") if file.name == "record.json"} == times
    bytes_before = (first / "best.safetensors").read_bytes()
    again, same = soup_of(tuned)
    assert again == first and same["identity"] == record["identity"]
    assert (again / "best.safetensors").read_bytes() == bytes_before
    identities = {one["identity"] for one in record["soup"]["members"]}
    assert record["identity"] not in identities and record["config"]["seed"] == record["seed"] == 0


def test_it_predicts_and_is_a_place_to_begin_at(tuned: Path, tmp_path: Path) -> None:
    folder, record = soup_of(tuned)
    photos = write_digits(tmp_path / "photos", range(10), 1, 1, 30) / "test"
    out = tmp_path / "answers.csv"
    assert predict([str(folder), str(photos), "--out", str(out)]) == 0
    with out.open(newline="") as file:
        answers = [(row["ID"].partition("/")[0], row["label"]) for row in csv.DictReader(file)]
    right = 100 * np.mean([label == digit for digit, label in answers])
    assert len(answers) == 300 and abs(right - record["val"]["acc"]) < 15, right
    root = tmp_path / "next"
    begin = ["weights=checkpoint", f"weights.path={folder}", "optimizer.lr=1e-9", "trainer.epochs=1"]
    assert door(root, *BASICS, *begin) == 0
    (next_run,) = run_folders(root)
    found = json.loads((next_run / "record.json").read_text())
    assert found["val"]["acc"] == pytest.approx(record["val"]["acc"], abs=3), "that is where it began"


def test_mistakes_are_one_line(tuned: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (lonely,) = tuned.glob("tiny-none-*")
    (split,) = (tuned.parent / "base").glob("tiny-*")
    run = next(tuned.glob("tiny-checkpoint-*lr0.002*/seed=0"))
    cases = [
        ([str(tuned / "nowhere")], "no such folder"),
        ([str(lonely)], "weights=none"),
        ([str(split)], "different valleys"),
        ([str(run)], "no two finished runs share"),
        ([str(tuned), "--model", "resnet18"], "there are tiny"),
        ([str(tuned), "--out", str(run)], "a run lies there already"),
        ([str(tuned), "--device", "abacus"], "trainer.device=abacus"),
    ]
    for arguments, words in cases:
        capfd.readouterr()
        assert main(arguments) == 2, arguments
        errors = [line for line in capfd.readouterr().err.splitlines() if not line.startswith("warning: ")]
        assert len(errors) == 1 and errors[0].startswith("error: ") and words in errors[0], errors
    assert not list(tuned.glob("soup-*"))


def test_as_a_program(tuned: Path, tmp_path: Path, shell: Door) -> None:
    path = str(ROOT / "tests")  # where the runs' own model is
    result = shell(
        "-m", "training.soup", str(tuned), "--model", "tiny", "--out", str(tmp_path / "soup"), PYTHONPATH=path
    )
    assert result.code == 0 and result.out.endswith(f"wrote {tmp_path / 'soup'}\n"), result
    assert TrainedModel.load(tmp_path / "soup").classes == [str(digit) for digit in range(10)]
