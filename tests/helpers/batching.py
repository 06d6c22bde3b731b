"""A small data set of noise, and its batches."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from training.data.batches import Batches
from training.data.dataset import Dataset
from training.data.image_store import ImageStore
from training.data.pixels.preprocessing import Preprocessing
from training.device import Compute
from training.schema.data_config import DataConfig

PLAIN = Preprocessing(16, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


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
