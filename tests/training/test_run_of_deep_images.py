"""Runs on 16-bit images of 12 bits: the range stands in record and weights file, and new images are read by it."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import Door, run_folders
from outcome import TINY
from PIL import Image

from training.finished.exporters import metadata
from training.models.trained_model import TrainedModel
from training.predict import main


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Dark and bright halves, 0..4087; one image of a single value."""
    random = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 4), ("test", 5)):
        for label in ("left", "right"):
            folder = tmp_path / "photos" / split / label
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 400, (20, 24))
                pixels[:, slice(0, 12) if label == "left" else slice(12, 24)] += 3687
                Image.fromarray(pixels.astype(np.uint16)).save(folder / f"{label}-{number}.png")
    Image.fromarray(np.full((20, 24), 4087, np.uint16)).save(tmp_path / "photos/train/left/plain.png")
    return tmp_path / "photos"


def test_the_range_of_a_run_is_kept_and_used(
    train: Door, tmp_path: Path, photos: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    quick = ["data.size=16", "trainer.batch_size=8", "trainer.epochs=8", "optimizer.lr=0.02", "trainer.precision=fp32"]
    result = train(TINY, "data=folder", f"data.root={photos}", *quick, "tracking=none", "trainer.threads=1")
    assert result.code == 0, result.err
    line = "16-bit grey images hold 0..4086: read as 0..4095 (12 bit)"
    (folder,) = run_folders(tmp_path / "outputs")
    data = json.loads((folder / "record.json").read_text())["data"]
    assert data["value_range"] == {"integer": [0, 4095]} and data["read_as"][0].split(":")[1] == line.split(":")[1]
    assert data["single_valued"] == {"n": 1, "blank_on_white": 0, "names": ["train/left/plain.png"]}
    assert "read as 0..4095 (12 bit)" in (folder / "run.log").read_text()
    assert "train/left/plain.png" in (folder / "run.log").read_text()

    trained = TrainedModel.load(folder)
    assert trained.about["preprocessing"]["value_range"] == {"integer": [0, 4095]}
    assert "0..4095 read as 0..255" in metadata(trained)["input"]
    dark = Image.fromarray(np.full((8, 8), 819, np.uint16))  # says nothing of 12 bits by itself
    assert np.unique(trained.stored(dark)).tolist() == [51]

    out = tmp_path / "ID_result.csv"
    assert main([str(folder), str(photos / "test"), "--out", str(out), "--indices"]) == 0
    stored = np.load(folder / "predictions_test.npz")
    own = {Path(name).stem: int(row.argmax()) for name, row in zip(stored["id"], stored["logits"], strict=True)}
    found = dict(row.split(",") for row in out.read_text().splitlines()[1:])
    assert {Path(name).name: int(label) for name, label in found.items()} == own

    from analysis.report import main as report

    capfd.readouterr()
    assert report([str(tmp_path / "outputs")]) == 0
    assert "1 of the images are of one single colour as the networks see them" in capfd.readouterr().out
