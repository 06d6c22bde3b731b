"""Batches: the order of an epoch, crops, flips, normalization, and what each of them may depend on."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors
import torch
from conftest import QUICK, Door
from outcome import TINY, only_run
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as reference

from training.config import AugmentConfig, DataConfig
from training.data.batches import Batches, one_batch, split_batches
from training.data.dataset import Dataset, open_dataset
from training.data.image_store import ImageStore
from training.data.preprocessing import Preprocessing, centre
from training.data.transforms import augment, crop_boxes, epoch_table
from training.device import Compute

PLAIN = Preprocessing(16, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
STANDARD = AugmentConfig(flip=0.5, crop_scale=[0.35, 1.0])


def noise(count: int, size: int) -> Tensor:
    """Random images [count, 3, size, size], uint8."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, 3, size, size), dtype=np.uint8)
    return torch.from_numpy(pixels)


def dataset(count: int) -> Dataset:
    """`count` train images, each with a shade of grey of its own, and two for val and test."""
    rows = np.arange(count + 4)
    split = {"train": rows[:count], "val": rows[count : count + 2], "test": rows[count + 2 :]}
    pictures = np.random.default_rng(1).integers(0, 256, (count + 4, 16, 16, 3), dtype=np.uint8)
    names = tuple(f"{row:03}" for row in rows)

    def load(index: int) -> Image.Image:
        return Image.fromarray(pictures[index])

    return Dataset(("a", "b"), names, rows % 2, split, "", {}, (), (), load, None)


def batches(data: Dataset, channels_last: bool = False) -> Batches:
    compute = Compute("cpu", "fp32", "channels_last" if channels_last else "contiguous")
    return Batches(data, ImageStore(data, DataConfig(size=16)), PLAIN, compute)


def by_image(found: list[tuple[Tensor, Tensor]], table: np.ndarray) -> Tensor:
    """The images of an epoch, sorted back from the order of `table` to that of their rows."""
    images = torch.cat([images for images, _ in found])
    back = torch.empty_like(images)
    back[torch.from_numpy(np.argsort(table[:, 5], kind="stable"))] = images
    return back


def test_augmentation_depends_on_seed_epoch_and_image_alone() -> None:
    data = dataset(30)
    table = epoch_table(seed=5, epoch=2, count=30)
    by_7 = by_image(list(batches(data).train(5, 2, 7, STANDARD)), table)
    by_30 = by_image(list(batches(data).train(5, 2, 30, STANDARD)), table)
    assert torch.equal(by_7, by_30), "whatever the batch"
    used = batches(data)
    for epoch in (1, 7):
        list(used.train(5, epoch, 4, STANDARD))
    torch.manual_seed(99)
    np.random.seed(99)
    assert torch.equal(by_image(list(used.train(5, 2, 30, STANDARD)), table), by_30), "whatever came before"
    for seed, epoch in ((5, 3), (6, 2)):
        other = by_image(list(batches(data).train(seed, epoch, 30, STANDARD)), epoch_table(seed, epoch, 30))
        changed = (other - by_30).flatten(1).abs().amax(1) > 0
        assert changed.all(), "another epoch, another seed: other crops"


def test_epoch_has_every_image_once_in_an_order_of_its_own() -> None:
    data = dataset(50)
    images = {data.load(index).getpixel((0, 0)): index for index in range(50)}  # by the first pixel
    assert len(images) == 50
    orders = []
    for epoch in (1, 2):
        order = []
        for pixels, labels in batches(data).train(0, epoch, 8, AugmentConfig()):
            found = [images[tuple(round(value) for value in pixel)] for pixel in (pixels[:, :, 0, 0] * 255).tolist()]
            assert labels.tolist() == data.labels[found].tolist()
            order += found
        assert sorted(order) == list(range(50))
        orders.append(order)
    assert orders[0] != orders[1] and orders[0] != sorted(orders[0])


@pytest.mark.parametrize(
    ("count", "size", "expected"), [(9, 4, [4, 5]), (8, 4, [4, 4]), (3, 4, [3]), (1, 4, [1]), (3, 1, [1, 1, 1])]
)
def test_no_batch_of_one_image_is_left_over(count: int, size: int, expected: list[int]) -> None:
    assert [len(batch) for batch in split_batches(np.arange(count), size)] == expected
    assert np.concatenate(split_batches(np.arange(count), size)).tolist() == list(range(count))


def test_evaluation_keeps_the_order_of_names_and_changes_nothing() -> None:
    data = dataset(10)
    ((images, labels),) = batches(data, channels_last=True).evaluate("train", 8)
    assert labels.tolist() == data.labels[:10].tolist()
    assert images.is_contiguous(memory_format=torch.channels_last)
    expected = torch.from_numpy(np.stack([np.asarray(data.load(index)) for index in range(10)])).permute(0, 3, 1, 2)
    assert torch.equal(images.mul(255).round().byte(), expected)
    assert [len(labels) for _, labels in batches(data).evaluate("train", 1)] == [4, 4, 2], "four times the training's"
    assert len(next(batches(data).evaluate("val", 8))[1]) == 2


def test_flip_is_exact() -> None:
    images = noise(40, 16)
    draws = np.random.default_rng(0).random((40, 5))
    half = augment(images, draws, AugmentConfig(flip=0.5), PLAIN)
    plain = PLAIN.plain(images)
    flipped = draws[:, 4] < 0.5
    assert 10 < flipped.sum() < 30
    for index, mirrored in enumerate(flipped):
        assert torch.equal(half[index], plain[index].flip(2) if mirrored else plain[index])
    assert torch.equal(augment(images, draws, AugmentConfig(flip=1.0), PLAIN), plain.flip(3))
    cropped = AugmentConfig(crop_scale=[1, 1], crop_ratio=[1, 1], flip=1.0)
    torch.testing.assert_close(augment(images, draws, cropped, PLAIN), plain.flip(3), atol=1e-4, rtol=0)


def test_whole_image_is_the_plain_one() -> None:
    images = noise(8, 16)
    whole = AugmentConfig(crop_scale=[1.0, 1.0], crop_ratio=[1.0, 1.0])
    given = augment(images, np.random.default_rng(0).random((8, 5)), whole, PLAIN)
    torch.testing.assert_close(given, PLAIN.plain(images), atol=1e-4, rtol=0)


@pytest.mark.parametrize("scale", [(0.08, 1.0), (0.35, 1.0), (0.9, 1.0), (0.25, 0.25)])
def test_boxes_lie_inside_and_have_the_area_that_was_asked_for(scale: tuple[float, float]) -> None:
    draws = np.random.default_rng(0).random((20_000, 4))
    left, top, width, height = crop_boxes(draws, AugmentConfig(crop_scale=list(scale))).T
    assert min(left.min(), top.min()) >= -1e-9
    assert max((left + width).max(), (top + height).max()) <= 1 + 1e-9
    area, ratio = width * height, width / height
    least, largest = scale
    assert least - 1e-9 <= area.min() and area.max() <= largest + 1e-9
    assert ratio.min() >= 0.75 - 1e-9 and ratio.max() <= 1.3333 + 1e-9
    quantiles = np.quantile(area, [0.1, 0.5, 0.9])
    assert quantiles == pytest.approx(least + np.array([0.1, 0.5, 0.9]) * (largest - least), abs=0.01), "uniform"
    assert np.median(ratio) == pytest.approx(1, abs=0.02)
    if largest < 0.5:
        assert np.quantile(np.log(ratio), 0.75) == pytest.approx(np.log(1.3333) / 2, abs=0.01), "log-uniform"
        spare = 1 - width
        assert np.quantile(left / spare, [0.1, 0.9]) == pytest.approx([0.1, 0.9], abs=0.02), "anywhere"


def box_draws(left: int, top: int, width: int, height: int, side: int) -> tuple[np.ndarray, AugmentConfig]:
    """What makes `augment` cut out this box, in pixels of an image of `side`."""
    area, ratio = width * height / side**2, width / height
    config = AugmentConfig(crop_scale=[area, area], crop_ratio=[ratio, ratio])
    return np.array([[0.0, 0.0, left / (side - width), top / (side - height), 0.9]]), config


@pytest.mark.parametrize("box", [(4, 6, 16, 16), (3, 8, 24, 20), (10, 1, 13, 17)])
def test_crop_is_torchvisions(box: tuple[int, int, int, int]) -> None:
    soft = Image.fromarray(noise(1, 8)[0].permute(1, 2, 0).numpy()).resize((40, 40), Image.Resampling.BICUBIC)
    images = torch.from_numpy(np.array(soft)).permute(2, 0, 1)[None]
    left, top, width, height = box
    draws, config = box_draws(*box, side=40)
    assert crop_boxes(draws[:, :4], config)[0] * 40 == pytest.approx(np.array(box))
    preprocessing = Preprocessing(24, PLAIN.mean, PLAIN.std)
    found = augment(images, draws, config, preprocessing)
    pixels = images.float() / 255
    bilinear = InterpolationMode.BILINEAR
    wanted = reference.resized_crop(pixels, top, left, height, width, [24, 24], bilinear, antialias=False)
    inner = (slice(None), slice(None), slice(1, -1), slice(1, -1))  # at its edges ours sees the pixels beyond the box
    torch.testing.assert_close(found[inner], wanted[inner], atol=2e-4, rtol=0)
    shifted = reference.resized_crop(pixels, top, left + 1, height, width, [24, 24], bilinear, antialias=False)
    assert (found[inner] - shifted[inner]).abs().max() > 0.02, "a pixel beside it, and this would fail"


def test_crop_sees_the_normalized_picture() -> None:
    """Colours at the edges too: what lies beyond the image is its mirror, not black."""
    white = torch.full((4, 3, 16, 16), 255, dtype=torch.uint8)
    given = augment(
        white, np.random.default_rng(0).random((4, 5)), STANDARD, Preprocessing(16, (0.5,) * 3, (0.25,) * 3)
    )
    torch.testing.assert_close(given, torch.full_like(given, 2.0))


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


def test_one_batch_is_one_of_many_classes_and_leaves_the_test_images() -> None:
    data = dataset(40)
    few = one_batch(data, 8, seed=3)
    assert few.split["train"].tolist() == few.split["val"].tolist() == one_batch(data, 8, seed=3).split["val"].tolist()
    assert len(few.split["train"]) == 8 and set(few.split["train"]) <= set(data.split["train"])
    assert few.split["test"].tolist() == data.split["test"].tolist()
    assert len(data.split["train"]) == 40


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
