"""From stored images to batches: the order of an epoch, crops and flips, normalization.

All of it derives from (seed, epoch, index of the image), never from what ran before, so that a run gives the same
batches alone, in a sweep, or resumed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.config import AugmentConfig
from training.data.dataset import Dataset
from training.data.image_store import ImageStore
from training.data.own_transform import OwnTransform
from training.data.prefetch import ahead
from training.data.random_transforms import ERASING, TRIVIAL, erase, image_seeds, trivial
from training.data.sampling import balanced_draws
from training.device import Compute, layout

EVAL_BATCH = 256  # images at once in evaluation, at most, and at most four times as many as in training
CPU_BATCH, CPU_PIXELS = 64, 2**20  # and on a CPU, whose caches are small: measured with ResNets and Swins, 32 to 224 px


@dataclass(frozen=True)
class Preprocessing:
    """From a stored image to what the network sees. `mean` and `std` are per channel, on a scale of 0 to 1."""

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def normalize(self, images: Tensor) -> Tensor:
        """uint8 [B, 3, S, S] to float32 of the same shape. Line by line, red, green and blue by turns as they lie in
        memory, so that a CPU works on long rows."""
        width = images.shape[3]
        mean, std = to_device(torch.tensor([self.mean, self.std]).mul(255).repeat(1, width), images.device)
        lines = images.permute(0, 2, 3, 1).flatten(2).float().sub_(mean).div_(std)
        return lines.view(*lines.shape[:2], width, 3).permute(0, 3, 1, 2)

    def plain(self, images: Tensor) -> Tensor:
        """uint8 [B, 3, S, S] to float32 [B, 3, size, size]: the centre, normalized."""
        return self.normalize(centre(images, self.size))


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Copies to a GPU go through pinned memory: others would wait for all the work that is queued there."""
    if torch.device(device).type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def centre(images: Tensor, size: int) -> Tensor:
    """The middle `size` x `size` of square images."""
    start = (images.shape[-1] - size) // 2
    return images if start == 0 else images[..., start : start + size, start : start + size]


def epoch_table(seed: int, epoch: int, count: int) -> np.ndarray:
    """Uniform random numbers [count, 6] for the images of one epoch: row i belongs to image i of the training set."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).random((count, 6))


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


class Batches:
    """The batches of one data set, on one device: images float32 [B, 3, size, size], labels int64 [B]."""

    def __init__(self, dataset: Dataset, store: ImageStore, preprocessing: Preprocessing, compute: Compute) -> None:
        self.dataset, self.store, self.preprocessing = dataset, store, preprocessing
        self.device, self.layout = compute.device, layout(compute)
        self.labels = torch.from_numpy(dataset.labels)
        self.resident = store.on_device(self.device)

    def _images(self, batches: list[np.ndarray]) -> Iterator[Tensor]:
        """uint8 [B, 3, S, S] on the device, for indices [B]: at once where they lie in memory, else made ready while
        the batches before are worked on."""
        if self.resident is not None:
            for indices in batches:
                yield self.resident[to_device(torch.from_numpy(indices), self.device)].permute(0, 3, 1, 2)
            return
        fetched = map(self._fetched, batches)
        at_hand = self.device == "cpu" and all(map(self.store.at_hand, batches))
        for images in fetched if at_hand else ahead(fetched):
            yield images.to(self.device, non_blocking=True).permute(0, 3, 1, 2)

    def _fetched(self, indices: np.ndarray) -> Tensor:
        images = torch.from_numpy(self.store.batch(indices))
        return images.pin_memory() if torch.device(self.device).type == "cuda" else images

    def train(self, seed: int, epoch: int, batch_size: int, config: AugmentConfig) -> Iterator[tuple[Tensor, Tensor]]:
        """The training set once, in the order of this epoch; or with data.sampling=balanced as many draws from it."""
        indices = self.dataset.split["train"]
        if self.store.config.sampling == "balanced":
            indices = indices[balanced_draws(self.dataset.labels[indices], seed, epoch)]
        table = epoch_table(seed, epoch, len(indices))
        own = OwnTransform(config.own) if config.own else None
        trivial_seeds, erasing_seeds = (image_seeds(seed, epoch, len(indices), kind) for kind in (TRIVIAL, ERASING))
        order = split_batches(np.argsort(table[:, 5], kind="stable"), batch_size)
        for rows, images in zip(order, self._images([indices[rows] for rows in order]), strict=True):
            if own is not None:
                images = own(images, seed, epoch, rows)
            if config.trivial:
                images = trivial(images, trivial_seeds[rows])
            images = augment(images, table[rows, :5], config, self.preprocessing)
            if config.erasing:
                images = erase(images, erasing_seeds[rows], config.erasing)
            yield images.contiguous(memory_format=self.layout), to_device(self.labels[indices[rows]], self.device)

    def evaluate(self, split: str, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """A split in the order of its names, without augmentation. `batch_size` is the one of training."""
        indices, size = self.dataset.split[split], min(EVAL_BATCH, 4 * batch_size)
        if torch.device(self.device).type == "cpu":
            size = min(size, CPU_BATCH, max(1, CPU_PIXELS // self.preprocessing.size**2))
            size -= size % batch_size if size > batch_size else 0  # a size that training has made memory ready for
        order = [indices[start : start + size] for start in range(0, len(indices), size)]
        for chosen, pixels in zip(order, self._images(order), strict=True):
            images = self.preprocessing.plain(pixels)
            yield images.contiguous(memory_format=self.layout), to_device(self.labels[chosen], self.device)


def split_batches(order: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Cut an epoch's order into batches. A last batch of one image joins the one before: BatchNorm can't take it."""
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    if batch_size > 1 and len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [np.concatenate(batches[-2:])]
    return batches


def one_batch(dataset: Dataset, batch_size: int, seed: int) -> Dataset:
    """For debug.overfit_batch: the same few images to train on and to validate on. The test images stay."""
    few = np.sort(np.random.default_rng(seed).permutation(dataset.split["train"])[:batch_size])
    return replace(dataset, split=dataset.split | {"train": few, "val": few})
