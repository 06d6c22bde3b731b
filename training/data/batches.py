"""From stored images to the batches of an epoch, and in which order.

The order derives from (seed, epoch), never from what ran before, so that a run gives the same batches alone, in a
sweep, or resumed.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from training.data.dataset import Dataset
from training.data.image_store import ImageStore
from training.data.pixels.bulk_augmentation import erase, trivial
from training.data.pixels.preprocessing import Preprocessing, centre, reduced, to_device
from training.data.pixels.transforms import ERASING, TRIVIAL, epoch_table, image_seeds, viewed, views
from training.data.pixels.user_transforms import UserTransforms
from training.data.prefetch import prefetch
from training.data.resident import ResidentRows, Slice
from training.data.sampling import balanced_draws
from training.device import Compute, layout
from training.schema.data_config import AugmentConfig

__all__ = ["Batches", "Preprocessing", "centre", "one_batch", "split_batches", "to_device"]
EVAL_BATCH = 256  # images at once in evaluation, at most, and at most four times as many as in training
CPU_BATCH, CPU_PIXELS = 64, 2**20  # and on a CPU, whose caches are small: measured with ResNets and Swins, 32 to 224 px


class Batches:
    """The batches of one data set, on one device: images float32 [B, 3, size, size], labels int64 [B]."""

    def __init__(self, dataset: Dataset, store: ImageStore, preprocessing: Preprocessing, compute: Compute) -> None:
        self.dataset, self.store, self.preprocessing = dataset, store, preprocessing  # this one is of evaluation
        self.train_preprocessing, self.train_side = preprocessing, store.config.stored
        if store.config.test_size is not None:
            self.train_preprocessing = replace(preprocessing, size=store.config.size)
            self.train_side = store.config.train_side
        self.device, self.layout = compute.device, layout(compute)
        self.labels = torch.from_numpy(dataset.labels)
        self.use(store.on_device(self.device))

    def use(self, resident: Tensor | None) -> None:
        """All stored images of the data set, uint8 [N, S, S, 3], where they lie on the device."""
        self.resident = resident
        self.all_labels = self.labels if resident is None else to_device(self.labels, resident.device)
        self.rows: dict[str, ResidentRows] = {}  # by split

    def _images(self, batches: list[np.ndarray]) -> Iterator[Tensor]:
        """uint8 [B, 3, S, S] on the device, for indices [B]: at once where they lie in memory, else made ready while
        the batches before are worked on."""
        if self.resident is not None:
            for indices in batches:
                yield self.resident[to_device(torch.from_numpy(indices), self.device)].permute(0, 3, 1, 2)
            return
        fetched = map(self._fetched, batches)
        all_decoded = self.device == "cpu" and all(map(self.store.decoded_all, batches))
        for images in fetched if all_decoded else prefetch(fetched):
            yield images.to(self.device, non_blocking=True).permute(0, 3, 1, 2)

    def _fetched(self, indices: np.ndarray) -> Tensor:
        images = torch.from_numpy(self.store.batch(indices))
        return images.pin_memory() if torch.device(self.device).type == "cuda" else images

    def train(self, seed: int, epoch: int, batch_size: int, config: AugmentConfig) -> Iterator[tuple[Tensor, Tensor]]:
        """The training set once, in the order of this epoch; or with data.sampling=balanced as many draws from it."""
        slices = self.train_slices(seed, epoch, batch_size, config)
        if slices is not None:
            yield from (one.load() for one in slices)
            return
        indices, table = self._drawn(seed, epoch)
        user_transforms = UserTransforms(config.own) if config.own else None
        trivial_seeds, erasing_seeds = (image_seeds(seed, epoch, len(indices), kind) for kind in (TRIVIAL, ERASING))
        order = split_batches(np.argsort(table[:, 5], kind="stable"), batch_size)
        seen, done = views(table[np.concatenate(order), :5], config).to(self.device), 0
        for rows, images in zip(order, self._images([indices[rows] for rows in order]), strict=True):
            images = reduced(images, self.train_side)
            if user_transforms is not None:
                images = user_transforms(images, seed, epoch, rows)
            if config.trivial:
                images = trivial(images, trivial_seeds[rows])
            images = viewed(images, seen.rows(slice(done, done + len(rows))), self.train_preprocessing)
            done += len(rows)
            if config.erasing:
                images = erase(images, erasing_seeds[rows], config.erasing)
            yield images.contiguous(memory_format=self.layout), to_device(self.labels[indices[rows]], self.device)

    def train_order(self, seed: int, epoch: int, batch_size: int) -> list[np.ndarray]:
        """Of the batches that `train` gives: the places of their images in the train split, int64 [B]."""
        split = self.dataset.split["train"]
        places = np.zeros(len(self.dataset.labels), dtype=np.int64)
        places[split] = np.arange(len(split))
        indices, table = self._drawn(seed, epoch)
        order = split_batches(np.argsort(table[:, 5], kind="stable"), batch_size)
        return [places[indices[rows]] for rows in order]

    def train_slices(self, seed: int, epoch: int, batch_size: int, config: AugmentConfig) -> list[Slice] | None:
        """The same batches, to be made on the device one after the other; None where the images don't lie there, or
        are changed by what looks at single ones."""
        if self.resident is None or config.own or config.trivial or config.erasing:
            return None
        indices, table = self._drawn(seed, epoch)
        order = split_batches(np.argsort(table[:, 5], kind="stable"), batch_size)
        flat = np.concatenate(order)
        rows = self._resident_rows("train", len(indices), self.train_preprocessing, self.train_side)
        rows.begin(indices[flat], views(table[flat, :5], config))
        return [Slice(rows, len(one)) for one in order]

    def _drawn(self, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """An epoch's images by their indices [N], and the random numbers [N, 6] of each."""
        indices = self.dataset.split["train"]
        if self.store.config.sampling == "balanced":
            indices = indices[balanced_draws(self.dataset.labels[indices], seed, epoch)]
        return indices, epoch_table(seed, epoch, len(indices))

    def evaluate(self, split: str, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """A split in the order of its names, without augmentation. `batch_size` is the one of training."""
        order = self._eval_order(split, batch_size)
        for chosen, pixels in zip(order, self._images(order), strict=True):
            images = self.preprocessing.plain(pixels)
            yield images.contiguous(memory_format=self.layout), to_device(self.labels[chosen], self.device)

    def eval_slices(self, split: str, batch_size: int) -> list[Slice] | None:
        """The same batches, to be made on the device; None where the images don't lie there."""
        if self.resident is None:
            return None
        count = len(self.dataset.split[split])
        rows = self._resident_rows(f"{split} plain", count, self.preprocessing, self.store.config.stored)
        rows.begin(self.dataset.split[split], None)
        return [Slice(rows, len(one)) for one in self._eval_order(split, batch_size)]

    def _eval_order(self, split: str, batch_size: int) -> list[np.ndarray]:
        indices, size = self.dataset.split[split], min(EVAL_BATCH, 4 * batch_size)
        if torch.device(self.device).type == "cpu":
            size = min(size, CPU_BATCH, max(1, CPU_PIXELS // self.preprocessing.size**2))
            size -= size % batch_size if size > batch_size else 0  # a size that training has made memory ready for
        return [indices[start : start + size] for start in range(0, len(indices), size)]

    def _resident_rows(self, name: str, count: int, preprocessing: Preprocessing, side: int) -> ResidentRows:
        assert self.resident is not None
        if name not in self.rows:
            given = self.resident, self.all_labels, count, preprocessing, self.layout, side
            self.rows[name] = ResidentRows(*given)
        return self.rows[name]


def split_batches(order: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Cut an epoch's order into batches. A last batch of one image joins the one before: BatchNorm can't take it."""
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    if batch_size > 1 and len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [np.concatenate(batches[-2:])]
    return batches


def one_batch(dataset: Dataset, batch_size: int, seed: int) -> Dataset:
    """For debug.overfit_batch: the same few images to train on and to validate on. The test images stay."""
    few = np.sort(np.random.default_rng(seed).permutation(dataset.split["train"])[:batch_size])
    return replace(dataset, split=dataset.split | {"train": few, "val": few}, in_train={})
