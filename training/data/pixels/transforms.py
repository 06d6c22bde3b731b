"""What happens to training images: crop and flip, and the random numbers of these and of bulk_augmentation.

Every image's random numbers derive from (seed, epoch, its row in the training set), never from what ran before.
"""

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


def augment(images: Tensor, draws: np.ndarray, config: AugmentConfig, preprocessing: Preprocessing) -> Tensor:
    """Crop, flip and normalize: uint8 [B, 3, S, S] and uniform draws [B, 5] to float32 [B, 3, size, size]."""
    if config.crop_scale is None:
        images = centre(images, preprocessing.size)
        if config.flip:  # before they are numbers of four bytes each
            flipped = to_device(torch.from_numpy(np.flatnonzero(draws[:, 4] < config.flip)), images.device)
            images = images.clone()
            images[flipped] = images[flipped].flip(3)
        return preprocessing.normalize(images)
    left, top, width, height = crop_boxes(draws[:, :4], config).T
    mirror = np.where(draws[:, 4] < config.flip, -1.0, 1.0)
    theta = np.zeros((len(draws), 2, 3), dtype=np.float32)
    theta[:, 0, 0], theta[:, 1, 1] = width * mirror, height
    theta[:, 0, 2], theta[:, 1, 2] = 2 * left + width - 1, 2 * top + height - 1
    shape = [len(draws), 3, preprocessing.size, preprocessing.size]
    grid = functional.affine_grid(to_device(torch.from_numpy(theta), images.device), shape, align_corners=False)
    pixels = preprocessing.normalize(images)
    return functional.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)
