"""What happens to training images: crop and flip, and the random numbers of these and of bulk_augmentation.

Every image's random numbers derive from (seed, epoch, its row in the training set), never from what ran before.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.data.pixels.preprocessing import Preprocessing, centre, to_device
from training.schema.data_config import AugmentConfig

TRIVIAL, ERASING = 1, 2  # so that the two of an image have random numbers of their own


def epoch_table(seed: int, epoch: int, count: int) -> np.ndarray:
    """Uniform random numbers [count, 6] for the images of one epoch: row i belongs to image i of the training set."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).random((count, 6))


def image_seeds(seed: int, epoch: int, count: int, kind: int) -> np.ndarray:
    """A seed for each image of an epoch, int64 [count]: entry i belongs to row i of epoch_table."""
    return np.random.Generator(np.random.Philox(key=[seed + (kind << 32), epoch])).integers(0, 2**63, count)


def crop_boxes(draws: np.ndarray, config: AugmentConfig) -> np.ndarray:
    """Uniform draws [B, 4] to boxes [B, 4]: left, top, width, height, on a scale of 0 to 1.

    Inception's crop (Szegedy et al. 2014, arXiv 1409.4842), as in torchvision's RandomResizedCrop: a share of the area
    and a log-uniform aspect ratio. A box longer than the image is made squarer, by no more than it takes to fit.
    """
    least, largest = config.crop_scale or (1.0, 1.0)
    area = least + draws[:, 0] * (largest - least)
    narrowest, widest = np.log(config.crop_ratio)
    ratio = np.clip(np.exp(narrowest + draws[:, 1] * (widest - narrowest)), area, 1 / area)
    width, height = np.sqrt(area * ratio), np.sqrt(area / ratio)
    return np.stack([draws[:, 2] * (1 - width), draws[:, 3] * (1 - height), width, height], axis=1)


@dataclass(frozen=True)
class Views:
    """How images are cropped and flipped, a row an image: affine matrices float32 [B, 2, 3] of what the network sees in
    the stored image, or whether its centre is mirrored, bool [B]; None where that is left out."""

    theta: Tensor | None
    flipped: Tensor | None

    def to(self, device: torch.device | str) -> "Views":
        """On a device."""
        theta, flipped = (None if one is None else to_device(one, device) for one in (self.theta, self.flipped))
        return Views(theta, flipped)

    def rows(self, chosen: slice | Tensor) -> "Views":
        """Those of some images."""
        theta, flipped = (None if one is None else one[chosen] for one in (self.theta, self.flipped))
        return Views(theta, flipped)


def views(draws: np.ndarray, config: AugmentConfig) -> Views:
    """What uniform draws [B, 5] make of `config`."""
    if config.crop_scale is None:
        return Views(None, torch.from_numpy(draws[:, 4] < config.flip) if config.flip else None)
    left, top, width, height = crop_boxes(draws[:, :4], config).T
    mirror = np.where(draws[:, 4] < config.flip, -1.0, 1.0)
    theta = np.zeros((len(draws), 2, 3), dtype=np.float32)
    theta[:, 0, 0], theta[:, 1, 1] = width * mirror, height
    theta[:, 0, 2], theta[:, 1, 2] = 2 * left + width - 1, 2 * top + height - 1
    return Views(torch.from_numpy(theta), None)


def viewed(images: Tensor, seen: Views, preprocessing: Preprocessing) -> Tensor:
    """Crop, flip and normalize: uint8 [B, 3, S, S] to float32 [B, 3, size, size]. `seen` lies on their device; no value
    is looked at, so that a CUDA graph can be recorded."""
    if seen.theta is None:
        images = centre(images, preprocessing.size)
        if seen.flipped is not None:  # before they are numbers of four bytes each
            images = torch.where(seen.flipped.view(-1, 1, 1, 1), images.flip(3), images)
        return preprocessing.normalize(images)
    shape = [len(images), 3, preprocessing.size, preprocessing.size]
    grid = functional.affine_grid(seen.theta, shape, align_corners=False)
    pixels = preprocessing.normalize(images)
    return functional.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)


def augment(images: Tensor, draws: np.ndarray, config: AugmentConfig, preprocessing: Preprocessing) -> Tensor:
    """Crop, flip and normalize: uint8 [B, 3, S, S] and uniform draws [B, 5] to float32 [B, 3, size, size]."""
    return viewed(images, views(draws, config).to(images.device), preprocessing)
