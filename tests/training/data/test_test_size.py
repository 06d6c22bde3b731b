"""data.test_size: val, test and predictions see larger images than training, and the same part of each."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import QUICK, Door
from mending import unbroken_and_mended
from outcome import TINY, only_run
from PIL import Image
from sklearn.datasets import load_digits

from finegrid import load_model
from training.data.batches import Batches, Preprocessing
from training.data.dataset import Dataset
from training.data.image_store import ImageStore
from training.device import Compute
from training.models.checkpoint_file import read_checkpoint
from training.schema.data_config import AugmentConfig, DataConfig


def gradients(**settings: object) -> Batches:
    """Ten smooth images, all of them train and val."""
    rows = np.arange(10)
    ramp = np.linspace(0, 255, 96)

    def load(index: int) -> Image.Image:
        across, down = np.meshgrid(ramp, ramp)
        return Image.fromarray(np.stack([across, down, np.full_like(across, 20 * index)], 2).astype(np.uint8))

    split = {"train": rows, "val": rows, "test": rows}
    data = Dataset(("a", "b"), tuple(f"{row}" for row in rows), rows % 2, split, "", {}, (), (), load, None)
    config = DataConfig(size=32, **settings)  # type: ignore[arg-type]
    plain = Preprocessing(config.eval_size, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    return Batches(data, ImageStore(data, config), plain, Compute("cpu", "fp32", "contiguous"))


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize("resize", ["stretch", "crop"])
def test_training_sees_small_images_and_evaluation_large_ones_of_the_same_part(resize: str, resident: bool) -> None:
    usual, larger = gradients(resize=resize), gradients(resize=resize, test_size=48)
    for batches in (usual, larger):
        if resident:
            batches.use(batches.store.copied_to("cpu"))
    augment = AugmentConfig()
    (trained,), (known,) = (list(batches.train(0, 1, 16, augment)) for batches in (larger, usual))
    (seen,) = list(larger.evaluate("val", 16))
    assert trained[0].shape == (10, 3, 32, 32) and seen[0].shape == (10, 3, 48, 48)
    assert torch.equal(trained[1], known[1]), "the same images in the same order"
    torch.testing.assert_close(trained[0], known[0], atol=0.03, rtol=0)
    order = np.argsort(trained[0][:, 2].mean((1, 2)).numpy())
    small = torch.nn.functional.interpolate(seen[0], (32, 32), mode="bilinear", antialias=True)
    torch.testing.assert_close(trained[0][order], small, atol=0.03, rtol=0)


def test_random_crops_are_as_without_it() -> None:
    augment = AugmentConfig(crop_scale=[0.3, 1.0], flip=0.5)
    (one,), (other,) = (list(batches.train(0, 1, 16, augment)) for batches in (gradients(), gradients(test_size=48)))
    assert one[0].shape == other[0].shape
    torch.testing.assert_close(one[0], other[0], atol=0.05, rtol=0)


def test_sides() -> None:
    config = DataConfig(size=224, resize="crop", test_size=288)
    assert (config.eval_size, config.stored, config.train_side) == (288, 329, 256)
    plain = DataConfig(size=224, resize="crop")
    assert (plain.eval_size, plain.stored, plain.train_side) == (224, 256, 256)
    assert DataConfig(size=224, test_size=288, stored_size=288).train_side == 224


def test_run_and_load_model_see_the_test_size(train: Door, tmp_path: Path) -> None:
    result = train(*QUICK, TINY, "data.size=16", "data.test_size=24", "trainer.precision=fp32")
    assert result.code == 0, result.err
    folder = only_run(tmp_path / "outputs")
    about = read_checkpoint(folder / "best.safetensors")[1]
    assert about["preprocessing"]["size"] == 24 and about["preprocessing"]["stored_size"] == 24
    model, transform, _ = load_model(folder, trust=["own_parts"])
    assert transform(Image.new("RGB", (50, 50))).shape == (3, 24, 24)
    stored = np.load(folder / "predictions_test.npz")
    digits = {row: image for row, image in enumerate(load_digits().images)}
    names = [int("".join(filter(str.isdigit, str(name)))) for name in stored["id"]]
    pictures = [Image.fromarray(np.rint(digits[row] * (255 / 16)).astype(np.uint8)) for row in names[:5]]
    with torch.no_grad():
        scores = model(torch.stack([transform(picture) for picture in pictures]))
    np.testing.assert_allclose(scores.numpy(), stored["logits"][:5], atol=0.05)


@pytest.mark.slow
def test_run_resumes_to_the_bit(train: Door, tmp_path: Path) -> None:
    unbroken_and_mended(train, tmp_path, "data.stored_size=null", "data.test_size=24", "augment.trivial=true")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["data.test_size=16"], "data.test_size=16: expected data.size=32 to 4096 px, or null"),
        (["data.test_size=48", "data.stored_size=40"], "data.stored_size=40: expected 48 to 8192"),
        (
            ["model=torchvision", "model.name=vit_b_16", "data.size=224", "data.test_size=288"],
            "data.test_size=288: vit_b_16 can't take such images",
        ),
    ],
)
def test_nonsense_is_refused(train: Door, more: list[str], message: str) -> None:
    result = train(*more)
    assert result.code == 2 and message in result.err, result.err
