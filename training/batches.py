"""From stored images to batches: the order of an epoch, crops and flips, normalization.

All of it derives from (seed, epoch, index of the image), never from what ran before, so that a run gives the same
batches alone, in a sweep, or resumed.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.config import AugmentConfig
from training.dataset import Dataset
from training.images import ImageStore

EVAL_BATCH = 256  # images at once in evaluation: no gradients are kept, so more fit than in training


@dataclass(frozen=True)
class Preprocessing:
    """From a stored image to what the network sees. `mean` and `std` are per channel, on a scale of 0 to 1."""

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def normalize(self, images: Tensor) -> Tensor:
        """uint8 [B, 3, S, S] to float32 of the same shape."""
        mean = torch.tensor(self.mean, device=images.device).mul(255).view(1, 3, 1, 1)
        std = torch.tensor(self.std, device=images.device).mul(255).view(1, 3, 1, 1)
        return images.float().sub_(mean).div_(std)

    def plain(self, images: Tensor) -> Tensor:
        """uint8 [B, 3, S, S] to float32 [B, 3, size, size]: the centre, normalized."""
        return self.normalize(centre(images, self.size))


def centre(images: Tensor, size: int) -> Tensor:
    """The middle `size` x `size` of square images."""
    start = (images.shape[-1] - size) // 2
    return images if start == 0 else images[..., start : start + size, start : start + size]


def epoch_table(seed: int, epoch: int, count: int) -> np.ndarray:
    """Uniform random numbers [count, 6] for the images of one epoch: row i belongs to image i of the training set."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).random((count, 6))


def augment(images: Tensor, draws: np.ndarray, config: AugmentConfig, preprocessing: Preprocessing) -> Tensor:
    """Crop, flip and normalize: uint8 [B, 3, S, S] and uniform draws [B, 5] to float32 [B, 3, size, size].

    The crop is Inception's (Szegedy et al. 2014, arXiv 1409.4842), as in torchvision's RandomResizedCrop: a share of
    the area and a log-uniform aspect ratio; where that box doesn't fit, its long side is cut to the image.
    """
    if config.crop_scale is None:
        images = preprocessing.plain(images)
        if config.flip:
            flipped = torch.from_numpy(draws[:, 4] < config.flip).to(images.device)
            images = torch.where(flipped[:, None, None, None], images.flip(3), images)
        return images
    least, largest = config.crop_scale
    area = least + draws[:, 0] * (largest - least)
    ratio = np.exp(math.log(config.crop_ratio[0]) + draws[:, 1] * math.log(config.crop_ratio[1] / config.crop_ratio[0]))
    width, height = np.minimum(np.sqrt(area * ratio), 1), np.minimum(np.sqrt(area / ratio), 1)
    mirror = np.where(draws[:, 4] < config.flip, -1.0, 1.0)
    theta = np.zeros((len(draws), 2, 3), dtype=np.float32)
    theta[:, 0, 0], theta[:, 1, 1] = width * mirror, height
    theta[:, 0, 2] = (2 * draws[:, 2] - 1) * (1 - width)
    theta[:, 1, 2] = (2 * draws[:, 3] - 1) * (1 - height)
    shape = [len(draws), 3, preprocessing.size, preprocessing.size]
    grid = functional.affine_grid(torch.from_numpy(theta).to(images.device), shape, align_corners=False)
    pixels = preprocessing.normalize(images)
    return functional.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)


class Batches:
    """The batches of one data set, on one device: images float32 [B, 3, size, size], labels int64 [B]."""

    def __init__(
        self, dataset: Dataset, store: ImageStore, preprocessing: Preprocessing, device: str, channels_last: bool
    ) -> None:
        self.dataset, self.store, self.preprocessing, self.device = dataset, store, preprocessing, device
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.labels = torch.from_numpy(dataset.labels)

    def _images(self, indices: np.ndarray) -> Tensor:
        return torch.from_numpy(self.store.batch(indices)).to(self.device).permute(0, 3, 1, 2)

    def train(
        self, seed: int, epoch: int, batch_size: int, config: AugmentConfig, only_first: bool = False
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The training set once, in the order of this epoch (`only_first`: one batch, always the same)."""
        indices = self.dataset.split["train"]
        table = epoch_table(seed, epoch, len(indices))
        order = np.arange(min(batch_size, len(indices))) if only_first else np.argsort(table[:, 5], kind="stable")
        for rows in split_batches(order, batch_size):
            chosen = indices[rows]
            images = augment(self._images(chosen), table[rows, :5], config, self.preprocessing)
            yield images.contiguous(memory_format=self.layout), self.labels[chosen].to(self.device)

    def evaluate(self, split: str, first: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """A split in the order of its names, without augmentation (`first`: only so many images)."""
        indices = self.dataset.split[split][:first]
        for start in range(0, len(indices), EVAL_BATCH):
            chosen = indices[start : start + EVAL_BATCH]
            images = self.preprocessing.plain(self._images(chosen))
            yield images.contiguous(memory_format=self.layout), self.labels[chosen].to(self.device)


def split_batches(order: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Cut an epoch's order into batches. A last batch of one image joins the one before: BatchNorm can't take it."""
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [np.concatenate(batches[-2:])]
    return batches
