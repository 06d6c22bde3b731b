"""From stored pixels to normalized ones: the centre, mean and standard deviation by channel."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors
import torch
from batching import PLAIN, noise
from conftest import QUICK, Door
from outcome import TINY, only_run

from training.data.dataset import open_dataset
from training.data.image_store import ImageStore
from training.data.pixels.preprocessing import Preprocessing, centre
from training.data.pixels.transforms import augment
from training.schema.data_config import AugmentConfig, DataConfig


def test_normalization_is_by_channel() -> None:
    pixels = torch.tensor([0, 128, 255], dtype=torch.uint8).view(1, 3, 1, 1).expand(2, 3, 16, 16)
    given = Preprocessing(16, (0.1, 0.2, 0.3), (0.5, 0.25, 0.125)).plain(pixels)
    expected = [(0 - 0.1) / 0.5, (128 / 255 - 0.2) / 0.25, (1 - 0.3) / 0.125]
    assert given[:, :, 3, 5].tolist() == [pytest.approx(expected)] * 2
    assert given.dtype == torch.float32


@pytest.mark.parametrize(("stored", "start"), [(16, 0), (18, 1), (19, 1), (24, 4)])
def test_centre_is_the_middle(stored: int, start: int) -> None:
    images = noise(2, stored)
    assert torch.equal(centre(images, 16), images[:, :, start : start + 16, start : start + 16])
    flipped = augment(images, np.full((2, 5), 0.5), AugmentConfig(), PLAIN)
    assert torch.equal(flipped, PLAIN.plain(images)) and flipped.shape == (2, 3, 16, 16)


def of_the_train_images() -> tuple[np.ndarray, np.ndarray]:
    data, config = open_dataset(DataConfig(size=16)), DataConfig(size=16)
    pixels = ImageStore(data, config).batch(data.split["train"]) / 255
    return pixels.mean((0, 1, 2)), pixels.std((0, 1, 2))


@pytest.mark.parametrize("normalize", ["auto", "dataset", "none", "imagenet"])
def test_normalization_of_a_run(train: Door, tmp_path: Path, normalize: str) -> None:
    assert train(*QUICK, TINY, "data.size=16", f"data.normalize={normalize}", "trainer.epochs=1").code == 0
    with safetensors.safe_open(only_run(tmp_path / "outputs") / "best.safetensors", "pt") as file:
        said = json.loads(file.metadata()["finegrid"])["preprocessing"]
    mean, std = {
        "none": ([0, 0, 0], [1, 1, 1]),
        "imagenet": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    }.get(normalize) or of_the_train_images()  # auto: without weights there is nothing else to go by
    assert said["mean"] == pytest.approx(mean, abs=1e-6) and said["std"] == pytest.approx(std, abs=1e-6)
