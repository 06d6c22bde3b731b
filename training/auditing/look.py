"""One look at each image: its size and mode as they are in the file, and a small grey picture of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from training.data.dataset import Dataset
from training.data.files.decoding import formats
from training.data.near_copies.candidates import CLOSER_SIDE, SIDE, small_grey
from training.data.parallel import in_threads


@dataclass(frozen=True)
class Looks:
    """Of N images: `small` uint8 [N, 32, 32], grey; `sizes` int64 [N, 2], width and height; `modes`: Pillow's."""

    small: np.ndarray
    sizes: np.ndarray
    modes: list[str]


def closer(dataset: Dataset, indices: Sequence[int]) -> list[np.ndarray]:
    """Some images again, as larger grey pictures. Raises BadImage."""
    return in_threads(lambda index: small_grey(dataset.load(index), CLOSER_SIDE), indices, "a closer look")


def look_at(dataset: Dataset) -> Looks:
    """Decode every image once. Raises BadImage for one that has changed since it was checked."""
    count = len(dataset.names)
    small = np.zeros((count, SIDE, SIDE), dtype=np.uint8)
    sizes = np.ones((count, 2), dtype=np.int64)
    modes = [""] * count

    def look(index: int) -> None:
        image = dataset.load(index)
        small[index] = small_grey(image)
        sizes[index], modes[index] = image.size, image.mode
        if dataset.paths is not None:
            try:
                with Image.open(dataset.paths[index], formats=formats()) as opened:
                    sizes[index], modes[index] = opened.size, opened.mode
            except Exception:  # it could be read by other means: what came out of it has to do
                return

    in_threads(look, range(count), "looking at images")
    return Looks(small, sizes, modes)
