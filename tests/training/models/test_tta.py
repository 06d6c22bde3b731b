"""trainer.tta=flip: wherever the network is asked, the answers to an image and to its mirror image are averaged."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import QUICK, Door, run_folders
from outcome import TINY, only_run, outcome, record_of
from PIL import Image
from scipy.special import softmax

from finegrid import load_model
from training.errors import ConfigError
from training.models.build import torchvision_model
from training.models.tta import averaged
from training.predict import main as predict

RUN = [*QUICK, TINY, "data.size=16", "trainer.precision=fp32"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Noise, brighter on the left of one class and on the right of the other: a mirror image is another image."""
    random = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 6), ("test", 6)):
        for label, slope in (("left", np.linspace(200, 50, 16)), ("right", np.linspace(50, 200, 16))):
            folder = tmp_path / "photos" / split / label
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = np.clip(slope[None, :, None] + random.normal(0, 60, (16, 16, 3)), 0, 255)
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{label}-{number}.png")
    return tmp_path / "photos"


@pytest.mark.parametrize("name", ["resnet18", "swin_t"])
def test_answer_is_the_mean_of_both_probabilities(name: str) -> None:
    torch.manual_seed(0)
    model = torchvision_model(name, 4).eval()
    images = torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        one, other = model(images).softmax(1), model(images.flip(3)).softmax(1)
        found = averaged(model, "flip")(images)
    assert not torch.allclose(one, other, atol=1e-4), "or this test shows nothing"
    torch.testing.assert_close(found.softmax(1), (one + other) / 2)
    torch.testing.assert_close(found.exp(), (one + other) / 2)
    assert averaged(model, "none") is model
    with pytest.raises(ConfigError, match="tta=twice: expected none or flip"):
        averaged(model, "twice")


def test_run_predict_and_load_model_all_average(train: Door, tmp_path: Path, photos: Path) -> None:
    """One network, trained alike, asked once and twice: what is stored is the mean of what it says to both."""
    more = ["data=folder", f"data.root={photos}", "data.size=16", "data.resize=stretch", "trainer.batch_size=8"]
    folders = {}
    for tta in ("none", "flip"):
        done = train(*RUN, *more, "trainer.epochs=1", f"trainer.tta={tta}", f"sweep.name={tta}")
        assert done.code == 0, done.err
        folders[tta] = only_run(tmp_path / "outputs" / tta)
    assert folders["none"].parent.name != folders["flip"].parent.name, "another identity"
    assert record_of(folders["flip"])["config"]["trainer"]["tta"] == "flip"
    model, transform, _ = load_model(folders["none"], trust=["own_parts"])
    asked, _, _ = load_model(folders["flip"], trust=["own_parts"])
    for split in ("val", "test"):
        stored = np.load(folders["flip"] / f"predictions_{split}.npz")
        images = torch.stack([transform(Image.open(file)) for file in sorted(photos.glob(f"{split}/*/*.png"))])
        with torch.no_grad():
            one, other = model(images).softmax(1), model(images.flip(3)).softmax(1)
            torch.testing.assert_close(asked(images).softmax(1), (one + other) / 2)
        assert not torch.allclose(one, other, atol=1e-3), "or this test shows nothing"
        np.testing.assert_allclose(softmax(stored["logits"], axis=1), (one + other).numpy() / 2, atol=1e-5)
    out = tmp_path / "ID_result.csv"
    command = [str(folders["flip"]), str(photos / "test"), "--out", str(out), "--scores", "--trust", "own_parts"]
    assert predict(command) == 0
    with out.open(newline="") as file:
        told = [[float(row["probability_left"]), float(row["probability_right"])] for row in csv.DictReader(file)]
    np.testing.assert_allclose(np.array(told), softmax(stored["logits"], axis=1), atol=1e-4)
    assert "test-time augmentation | flip" in (folders["flip"] / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["onnx", "torch"])
def test_export_answers_as_the_run_did(
    train: Door, tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    """(training.export checks each val image against the run's stored scores.)"""
    pytest.importorskip("onnxscript")
    from training.export import main as export

    assert train(*RUN, "trainer.tta=flip").code == 0
    folder = only_run(tmp_path / "outputs")
    file = tmp_path / f"model.{'onnx' if kind == 'onnx' else 'pt2'}"
    assert export([str(folder), "--to", kind, "--out", str(file), "--trust", "own_parts"]) == 0
    assert "answers as the run did on all" in capfd.readouterr().out


@pytest.mark.slow
def test_with_an_average_of_the_weights_and_going_on(train: Door, tmp_path: Path) -> None:
    stop = [f"+model.kwargs.stop={tmp_path / 'stop'}", "+model.kwargs.at=3", "trainer.tta=flip", "trainer.ema=0.5"]
    assert train(*RUN, *stop, "sweep.name=whole").code == 0
    (tmp_path / "stop").write_text("break")
    assert train(*RUN, *stop, "sweep.name=broken").code == 1
    (tmp_path / "stop").unlink()
    assert train(*RUN, *stop, "sweep.name=broken").code == 0
    assert outcome(only_run(tmp_path / "outputs" / "whole")) == outcome(only_run(tmp_path / "outputs" / "broken"))


@pytest.mark.slow
def test_soup_and_ensemble_of_such_runs(train: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from training.ensemble import main as ensemble
    from training.soup import main as soup

    monkeypatch.setenv("FINEGRID_TRUST", "own_parts")
    assert train(*RUN, "sweep.name=start").code == 0
    start = shutil.copy(only_run(tmp_path / "outputs" / "start") / "best.safetensors", tmp_path)
    for seed in (0, 1):
        more = ["weights=checkpoint", f"weights.path={start}", f"seed={seed}", "trainer.tta=flip", "sweep.name=two"]
        assert train(*RUN, *more).code == 0
    sweep = tmp_path / "outputs" / "two"
    assert ensemble([str(sweep)]) == 0
    assert soup([str(sweep)]) == 0
    (made,) = [folder for folder in run_folders(tmp_path / "outputs") if record_of(folder).get("soup")]
    model, _, _ = load_model(made)
    assert type(model).__name__ == "MirrorAveraged"
