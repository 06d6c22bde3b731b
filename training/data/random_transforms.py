"""Augmentations of torchvision's that draw their own random numbers, each image's from (seed, epoch, its row)."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2

TRIVIAL, ERASING = 1, 2  # so that the two of an image have random numbers of their own


def image_seeds(seed: int, epoch: int, count: int, kind: int) -> np.ndarray:
    """A seed for each image of an epoch, int64 [count]: entry i belongs to row i of epoch_table."""
    return np.random.Generator(np.random.Philox(key=[seed + (kind << 32), epoch])).integers(0, 2**63, count)


def trivial(images: Tensor, seeds: np.ndarray) -> Tensor:
    """TrivialAugmentWide (Müller & Hutter 2021, arXiv 2103.10158): one operation of random strength an image, such as
    a rotation, a shift, other colours or contrast. uint8 [B, 3, S, S] to the same."""
    return _each(v2.TrivialAugmentWide(interpolation=v2.InterpolationMode.BILINEAR), images, seeds)


def erase(images: Tensor, seeds: np.ndarray, probability: float) -> Tensor:
    """Random erasing (Zhong et al. 2017, arXiv 1708.04896): with this probability a rectangle of 2 to 33 % of the area
    becomes 0, which is the mean colour of normalized images float32 [B, 3, S, S]."""
    return _each(v2.RandomErasing(p=probability), images, seeds)


def _each(change: Callable[[Tensor], Tensor], images: Tensor, seeds: np.ndarray) -> Tensor:
    """`change` of every image, under its own seed; torch's own random numbers stay as they were."""
    with torch.random.fork_rng(devices=[]):
        changed = []
        for image, seed in zip(images, seeds.tolist(), strict=True):
            torch.default_generator.manual_seed(seed)  # of the CPU alone, from which torchvision draws
            changed.append(change(image))
    return torch.stack(changed)
