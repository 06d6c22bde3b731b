"""TrivialAugmentWide and erasing of whole batches: for each image what torchvision makes of it alone."""

import numpy as np
import pytest
import torch
from batching import noise
from torch import Tensor
from torchvision.transforms import v2

from training.data.pixels.bulk_augmentation import OPERATIONS, SPACE, erase, trivial
from training.data.pixels.transforms import image_seeds

REFERENCE = v2.TrivialAugmentWide(interpolation=v2.InterpolationMode.BILINEAR)
STRENGTHS = [(name, strength) for name, strengths, _ in SPACE for strength in (*strengths[::6], *strengths[-1:])]


def soft(count: int, height: int, width: int) -> Tensor:
    """Pictures with slopes, edges and areas of one colour, uint8 [count, 3, height, width]."""
    pixels = torch.nn.functional.interpolate(noise(count, 6).float(), (height, width), mode="bicubic")
    pixels[:, :, : height // 4] = pixels[:, :, : height // 4].round(decimals=-2)
    return pixels.clamp(0, 255).byte()


def one_by_one(change: torch.nn.Module, images: Tensor, seeds: np.ndarray) -> Tensor:
    changed = []
    with torch.random.fork_rng(devices=[]):
        for image, seed in zip(images, seeds.tolist(), strict=True):
            torch.manual_seed(seed)
            changed.append(change(image))
    return torch.stack(changed)


def is_the_same_to_a_level(found: Tensor, wanted: Tensor) -> None:
    away = (found.int() - wanted.int()).abs()
    assert away.max() <= 1 and (away > 0).float().mean() < 0.001


def test_the_space_is_torchvisions() -> None:
    """A private name of torchvision's, in this test alone: should it go, the strengths stay as they are."""
    theirs = REFERENCE._AUGMENTATION_SPACE
    assert [name for name, _, _ in SPACE] == list(theirs)
    for name, strengths, signed in SPACE:
        make, their_sign = theirs[name]
        values = make(31, 32, 32)
        assert (strengths, signed) == ([] if values is None else values.float().tolist(), their_sign)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (45, 61), (2, 2)])
def test_trivial_is_torchvisions(height: int, width: int) -> None:
    images, seeds = soft(500, height, width), image_seeds(3, 1, 500, 1)
    is_the_same_to_a_level(trivial(images, seeds), one_by_one(REFERENCE, images, seeds))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_is_torchvisions_at_each_strength(name: str, sign: int) -> None:
    (signed,) = (signed for known, _, signed in SPACE if known == name)
    strengths = [sign**signed * strength for known, strength in STRENGTHS if known == name] or [0.0]
    images = soft(len(strengths), 40, 40)
    wanted = [
        REFERENCE._apply_image_or_video_transform(image, name, strength, REFERENCE.interpolation, {})
        for image, strength in zip(images, strengths, strict=True)
    ]
    found = OPERATIONS[name](images.clone(), strengths)
    is_the_same_to_a_level(found, torch.stack(wanted))
    if name != "AutoContrast":  # they span the whole range already
        assert not torch.equal(found[-1], images[-1])


@pytest.mark.parametrize(("height", "width"), [(32, 32), (45, 61), (3, 200)])
@pytest.mark.parametrize("probability", [0.0, 0.4, 1.0])
def test_erasing_is_torchvisions(height: int, width: int, probability: float) -> None:
    images, seeds = torch.randn(200, 3, height, width), image_seeds(3, 1, 200, 2)
    assert torch.equal(erase(images, seeds, probability), one_by_one(v2.RandomErasing(probability), images, seeds))


def test_the_images_that_were_given_stay() -> None:
    images, numbers = soft(60, 16, 16), torch.randn(60, 3, 16, 16)
    kept = images.clone(), numbers.clone()
    trivial(images, image_seeds(0, 1, 60, 1))
    erase(numbers, image_seeds(0, 1, 60, 2), 1.0)
    assert torch.equal(images, kept[0]) and torch.equal(numbers, kept[1])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_nothing_waits_for_the_device() -> None:
    images, seeds = soft(200, 32, 32), image_seeds(3, 1, 200, 1)
    on_device, numbers = images.cuda(), torch.randn(200, 3, 32, 32, device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        found, erased = trivial(on_device, seeds), erase(numbers, seeds, 0.5)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    is_the_same_to_a_level(found.cpu(), trivial(images, seeds))
    assert torch.equal(erased.cpu(), erase(numbers.cpu(), seeds, 0.5))
