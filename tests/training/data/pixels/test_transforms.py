"""Crops, flips, TrivialAugmentWide and erasing: what they do, and that it depends on (seed, epoch, image) alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from batching import PLAIN, batches, by_image, dataset, noise
from conftest import Door
from mending import unbroken_and_mended
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as reference

from training.data.pixels.bulk_augmentation import erase, trivial
from training.data.pixels.preprocessing import Preprocessing
from training.data.pixels.transforms import augment, crop_boxes, epoch_table, image_seeds
from training.schema.data_config import AugmentConfig

STANDARD = AugmentConfig(flip=0.5, crop_scale=[0.35, 1.0])


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


MORE = AugmentConfig(trivial=True, erasing=0.5)


def seeds(count: int, kind: int = 1) -> np.ndarray:
    return image_seeds(0, 1, count, kind)


def test_trivial_does_one_of_many_things_to_each_image() -> None:
    """The same picture 400 times: it is left alone once in 14 or a little more, and comes out in many ways."""
    picture = torch.nn.functional.interpolate(noise(1, 8).float(), 32, mode="bilinear").byte().expand(400, 3, 32, 32)
    found = trivial(picture, seeds(400))
    assert found.dtype == torch.uint8 and found.shape == picture.shape
    alone = [torch.equal(image, picture[0]) for image in found]
    assert 400 / 14 * 0.5 < sum(alone) < 400 / 14 * 3.5
    assert len({image.numpy().tobytes() for image in found}) > 200
    kept = [torch.equal(image.flatten(1).sort().values, picture[0].flatten(1).sort().values) for image in found]
    assert sum(kept) < 100, "a shift, a rotation, a colour: few leave the values of the pixels as they are"


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_erasing_takes_rectangles_from_this_share_of_images(probability: float) -> None:
    found = erase(torch.ones(1000, 3, 32, 32), seeds(1000), probability)
    areas = (found[:, 0] == 0).float().mean((1, 2))
    assert (areas > 0).float().mean() == pytest.approx(probability, abs=0.05)
    erased = areas[areas > 0]
    assert ((erased > 0.01) & (erased < 0.36)).all(), "2 to 33 % of the area, to a pixel"
    if len(erased):
        assert erased.min() < 0.05 and erased.max() > 0.28
    for image, area in zip(found, areas.tolist(), strict=True):
        rows, columns = (image[0] == 0).any(1).sum(), (image[0] == 0).any(0).sum()
        assert rows * columns == round(area * 1024), "one rectangle"
        assert torch.equal(image[0], image[1]) and torch.equal(image[0], image[2]), "in all channels"


def epoch_of(size: int, seed: int = 3, epoch: int = 2, config: AugmentConfig = MORE) -> Tensor:
    data = dataset(30)
    found = list(batches(data).train(seed, epoch, size, config))
    return by_image(found, epoch_table(seed, epoch, 30))


def test_each_image_is_changed_by_seed_epoch_and_index_alone() -> None:
    first = epoch_of(4)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert torch.equal(epoch_of(7), first) and torch.equal(epoch_of(30), first), "of any batch size"
    assert torch.equal(torch.get_rng_state(), before), "dropout must not notice"
    for other in (epoch_of(4, seed=4), epoch_of(4, epoch=3), epoch_of(4, config=AugmentConfig())):
        assert sum(not torch.equal(a, b) for a, b in zip(first, other, strict=True)) > 20
    apart = epoch_of(4, config=AugmentConfig(trivial=True))
    erased = epoch_of(4, config=AugmentConfig(erasing=0.5))
    plain = epoch_of(4, config=AugmentConfig())
    for both, one, other, image in zip(first, apart, erased, plain, strict=True):
        where = (other == 0) & (image != 0)
        assert torch.equal(both, torch.where(where.any(0), torch.zeros(()), one)), "the two don't mix their draws"


def test_run_with_both_resumes_to_the_bit(train: Door, tmp_path: Path) -> None:
    unbroken_and_mended(train, tmp_path, "augment.trivial=true", "augment.erasing=0.3")


def test_no_probability_is_refused(train: Door) -> None:
    result = train("augment.erasing=1.2")
    assert (result.code, result.err) == (2, "error: augment.erasing=1.2: expected a probability, 0 to 1\n")
