"""The data set of a run: its classes and bad images, and what is known of it without opening it again."""

import io
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from pictures import fresh as fresh
from pictures import opened, problem, tree
from PIL import Image

from training.data.dataset import open_dataset
from training.schema.data_config import DataConfig


def test_complaints_about_classes(tmp_path: Path) -> None:
    given = {f"{split}/{label}": 2 for split in ("train", "val", "test") for label in "ab"}
    message = problem(tree(tmp_path / "differ", given | {"train/dog": 1, "test/wolf": 1}))
    assert "train and test have different classes" in message
    assert "only in train: dog; only in test: wolf" in message
    message = problem(tree(tmp_path / "hollow", given | {"val/b": 0}))
    assert "class without images in val: b" in message and str(tmp_path / "hollow") in message
    assert "class without images: c" in problem(tree(tmp_path / "alone", {"a": 3, "b": 3, "c": 0}))
    message = problem(tree(tmp_path / "few", {"cat": 9, "dog": 2}))
    assert "class dog has 2 image(s)" in message and "needs 3 or more" in message


# ---- bad images


def truncated(path: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(stream, "JPEG")
    path.write_bytes(stream.getvalue()[: len(stream.getvalue()) // 2])


def text(path: Path) -> None:
    path.write_text("<html>404 not found</html>")


def postscript(path: Path) -> None:
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n9 9 lineto\n%%EOF\n")


@pytest.mark.parametrize(
    "spoil, why",
    [
        (truncated, "truncated"),
        (text, "an HTML page, as a failed download leaves it"),
        (Path.touch, "an empty file"),
        (postscript, "not an image that"),  # Pillow would hand it to Ghostscript, a program that it can program
    ],
)
def test_a_bad_image_is_found_before_training(tmp_path: Path, spoil: Callable[[Path], None], why: str) -> None:
    tree(tmp_path, {"a": 4, "b": 4})
    spoil(tmp_path / "a/x.jpg")
    message = problem(tmp_path)
    assert str(tmp_path / "a/x.jpg") in message and why in message and "data.on_bad=skip" in message
    assert "more bad" not in message
    text(tmp_path / "b/y.jpg")
    text(tmp_path / "b/z.jpg")
    assert "and 2 more bad images" in problem(tmp_path)


def test_skipping_bad_images(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tree(tmp_path, {"a": 4, "b": 4})
    clean = opened(tmp_path)
    truncated(tmp_path / "a/0005.jpg")
    dataset = opened(tmp_path, on_bad="skip")
    assert dataset.skipped == ("a/0005.jpg",) and "a/0005.jpg" in caplog.text
    assert dataset.names == clean.names and dataset.fingerprint == clean.fingerprint
    assert np.array_equal(np.asarray(dataset.load(4)), np.asarray(Image.open(dataset.path_or_name(4))))
    for image in (tmp_path / "b").iterdir():
        text(image)
    message = problem(tmp_path, on_bad="skip")
    assert "class without images: b" in message and "without its 5 bad images" in message


def test_a_decompression_bomb_is_a_bad_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (Image.MAX_IMAGE_PIXELS or 0) > 200e6  # photographs of today's phones pass
    tree(tmp_path, {"a": 4, "b": 4})
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert "a/000.png: DecompressionBombError" in problem(tmp_path)


def test_the_same_picture_in_train_and_test_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tree(tmp_path, {"train/a": 6, "train/b": 6, "val/a": 2, "val/b": 2, "test/a": 3, "test/b": 3})
    assert opened(root).shared == {"val": 0, "test": 0}
    shutil.copy(root / "train/a/001.png", root / "test/a/copied.png")
    shutil.copy(root / "train/b/002.png", root / "test/b/copied.png")
    with caplog.at_level("WARNING"):
        assert opened(root).shared == {"val": 0, "test": 2}
    assert "2 of the test images are in train too" in caplog.text


def test_opening_twice_gives_the_same_object(tmp_path: Path) -> None:
    config = DataConfig(_target_="training.sources.folder", root=str(tree(tmp_path, {"a": 4, "b": 4})))
    assert open_dataset(config) is open_dataset(DataConfig(**vars(config)))


def test_neither_torch_nor_hydra_is_imported() -> None:
    modules = "training.data.dataset, training.data.files.decoding"
    code = f"import sys, {modules}; print({{'torch', 'hydra', 'sklearn'}} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).strip() == "set()"
