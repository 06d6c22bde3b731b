"""Predictions for unlabelled images, by `python -m training.predict`."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, Door, run_folders
from outcome import TINY
from PIL import ExifTags, Image
from safetensors.torch import save_file

from training.models.trained_model import TrainedModel
from training.predict import main, predict


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Pictures of two colours, in class folders with given splits; the test images are what is predicted."""
    random = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 4), ("test", 5)):
        for label, colour in (("blue", (20, 20, 220)), ("red", (220, 20, 20))):
            folder = tmp_path / "photos" / split / label
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = np.clip(np.array(colour) + random.normal(0, 30, (20, 24, 3)), 0, 255)
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{label}-{number}.png")
    return tmp_path / "photos"


@pytest.fixture
def run_folder(train: Door, tmp_path: Path, photos: Path) -> Path:
    """A run on them."""
    quick = ["data.size=16", "trainer.batch_size=8", "trainer.epochs=8", "optimizer.lr=0.02", "trainer.precision=fp32"]
    result = train(TINY, "data=folder", f"data.root={photos}", *quick, "tracking=none", "trainer.threads=1")
    assert result.code == 0, result.err
    return run_folders(tmp_path / "outputs")[0]


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as text:
        return list(csv.DictReader(text))


def test_same_answers_as_the_run_itself(
    run_folder: Path, photos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ID_result.csv"
    assert main([str(run_folder), str(photos / "test"), "--out", str(out)]) == 0
    assert "10 predictions" in capfd.readouterr().out
    assert out.read_text().startswith("ID,label\n")
    stored = np.load(run_folder / "predictions_test.npz")
    names = [f"{Path(str(name)).parent.name}/{Path(str(name)).stem}" for name in stored["id"]]
    assert [row["ID"] for row in rows(out)] == names == sorted(names)
    assert [int(row["label"]) for row in rows(out)] == stored["logits"].argmax(1).tolist()
    assert set(stored["logits"].argmax(1).tolist()) == {0, 1}, "or this test shows little"

    assert main([str(run_folder), str(photos / "test"), "--out", str(out), "--names", "--batch-size", "3"]) == 0
    assert [row["label"] for row in rows(out)] == [["blue", "red"][i] for i in stored["logits"].argmax(1)]


def test_images_of_every_mode_and_names_that_would_collide(run_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    for mode, name in (("L", "a.png"), ("RGBA", "b.png"), ("P", "c.gif"), ("CMYK", "d.jpg"), ("I;16", "e.png")):
        Image.new(mode, (30, 20)).save(folder / name)
    out = tmp_path / "odd.csv"
    assert main([str(run_folder), str(folder), "--out", str(out)]) == 0
    assert [row["ID"] for row in rows(out)] == ["a", "b", "c", "d", "e"]
    Image.new("L", (30, 20)).save(folder / "a.jpg")
    assert main([str(run_folder), str(folder), "--out", str(out)]) == 0
    assert [row["ID"] for row in rows(out)][:2] == ["a.jpg", "a.png"], "two a: the ending is kept"


def test_mistakes_are_one_line(run_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    empty, bad = tmp_path / "empty", tmp_path / "bad"
    empty.mkdir()
    bad.mkdir()
    (bad / "x.jpg").write_text("no picture")
    out = tmp_path / "never.csv"
    cases = [
        ([str(run_folder), str(empty)], "no images"),
        ([str(run_folder), str(tmp_path / "nowhere")], "no such folder"),
        ([str(tmp_path / "nowhere"), str(bad)], "no such run folder"),
        ([str(empty), str(bad)], "best.safetensors"),
        ([str(run_folder), str(bad)], "x.jpg"),
        ([str(run_folder), str(bad), "--batch-size", "0"], "--batch-size 0"),
    ]
    for arguments, words in cases:
        capfd.readouterr()
        assert main([*arguments, "--out", str(out)]) == 2
        err = capfd.readouterr().err
        assert err.startswith("error: ") and err.count("\n") == 1 and words in err, err
    assert not out.exists()


def test_as_a_program(run_folder: Path, tmp_path: Path, photos: Path, shell: Door) -> None:
    """In a folder with other things in it, and subfolders; the run folder's path is all that it is told."""
    images = tmp_path / "my photos"
    shutil.copytree(photos / "test/red", images / "sub")
    shutil.copy(photos / "test/blue/blue-0.png", images / "zz.PNG")
    (images / "notes.txt").write_text("no image")
    (images / ".thumbs").mkdir()
    shutil.copy(images / "zz.PNG", images / ".thumbs/hidden.png")
    out = tmp_path / "new folder/answers.csv"
    arguments = ["-m", "training.predict", str(run_folder), str(images), "--names", "--out", str(out)]
    result = shell(*arguments, PYTHONPATH=str(ROOT / "tests"))  # where the run's own model is
    assert (result.code, result.err) == (0, ""), result
    assert result.out == f"6 predictions in {out}\n"
    labels = ["red"] * 5 + ["blue"]
    ids = [f"sub/red-{number}" for number in range(5)] + ["zz"]
    assert out.read_text() == "".join(f"{a},{b}\n" for a, b in [("ID", "label"), *zip(ids, labels, strict=True)])


def test_a_checkpoint_of_others_is_no_run(run_folder: Path, photos: Path, capfd: pytest.CaptureFixture[str]) -> None:
    save_file({"weight": torch.zeros(2)}, run_folder / "best.safetensors")
    capfd.readouterr()
    assert main([str(run_folder), str(photos / "test")]) == 2
    said = capfd.readouterr().err
    assert said == f"error: {run_folder}/best.safetensors: not written by a run (no classes in its metadata)\n"


def test_an_image_lies_as_it_was_held(run_folder: Path, tmp_path: Path) -> None:
    """A photograph with an EXIF rotation gets the label of the same one stored upright."""
    half = Image.new("RGB", (40, 30), (220, 20, 20))
    half.paste((20, 20, 220), (0, 0, 40, 12))
    folder = tmp_path / "turned"
    folder.mkdir()
    half.save(folder / "a.png")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 3
    half.rotate(180).save(folder / "b.png", exif=exif)
    trained = TrainedModel.load(run_folder)
    seen = []
    trained.model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    predict(trained, [folder / "a.png", folder / "b.png"])
    assert torch.equal(seen[0][0], seen[0][1])
