"""Where a run gets its stored images from: the disk, its memory, or their files."""

import logging
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from training.data.dataset import Dataset
from training.data.files import decode_memory
from training.data.files.decoding import BadImage
from training.data.parallel import in_threads
from training.data.pixel_cache import decoded, mapped, size_of, wanted
from training.data.pixels.preprocessing import Triple
from training.device import resolve_threads
from training.schema.data_config import DataConfig

log = logging.getLogger(__name__)


class ImageStore:
    """The stored images of a data set: on disk for all runs (pixel_cache.py), or decoded when first asked for and
    then kept in memory, or decoded in each epoch; config.cache says which, and where it doesn't, what fits does."""

    def __init__(self, dataset: Dataset, config: DataConfig) -> None:
        decode_memory.set_limit(config.memory_gb)
        count, side = len(dataset.names), config.stored
        self.dataset, self.config = dataset, config
        self._kept = np.zeros(count, dtype=bool)
        self._decoders = ThreadPoolExecutor(resolve_threads("auto"), thread_name_prefix="decode")
        self._pixels: np.ndarray | None = None
        size, kind = size_of(dataset, config), config.cache
        if wanted(dataset, config):
            try:
                self._pixels = mapped(dataset, config, self.stored_image)
                self._kept[:] = True
            except BadImage:
                raise
            except OSError as error:
                if kind == "disk":
                    raise
                log.info("no images are kept on disk: %s", error)
        if self._pixels is None and kind != "none":
            if size <= config.memory_gb * 1e9:
                self._pixels = np.empty((count, side, side, 3), dtype=np.uint8)  # untouched pages cost nothing
            else:
                log.info(
                    "data.memory_gb=%g is too little for %d images: decoding in each epoch", config.memory_gb, count
                )

    @property
    def is_shared(self) -> bool:
        """Whether all images come from the file on disk that all runs share, not from their own files."""
        return isinstance(self._pixels, np.memmap)

    def stored_image(self, index: int) -> np.ndarray:
        """uint8 [S, S, 3]. Raises BadImage (an OSError) with the path if the file has vanished or broken since."""
        if self._pixels is not None and self._kept[index]:
            kept: np.ndarray = self._pixels[index]
            return kept
        pixels = decoded(self.dataset, self.config, index)
        if self._pixels is not None:  # incomplete, so it is the one in memory, not the file that all runs share
            self._pixels[index] = pixels
            self._kept[index] = True
        return pixels

    def batch(self, indices: np.ndarray) -> np.ndarray:
        """Images of a data set by their indices [B]: uint8 [B, S, S, 3], a copy. Raises BadImage."""
        if self._pixels is not None and self.decoded_all(indices):
            chosen: np.ndarray = self._pixels[indices]
            return chosen
        side = self.config.stored
        found = list(self._decoders.map(self.stored_image, indices.tolist()))
        return np.stack(found) if found else np.empty((0, side, side, 3), dtype=np.uint8)

    def decoded_all(self, indices: np.ndarray) -> bool:
        """Whether none of these has to be decoded."""
        return bool(self._kept[indices].all())

    def on_device(self, device: str) -> torch.Tensor | None:
        """All images, uint8 [N, S, S, 3], on a GPU; None where there is none, or they would take more than a quarter of
        the memory that is free there. Several runs may share it."""
        if torch.device(device).type != "cuda" or self._pixels is None:
            return None
        if self._pixels.nbytes > torch.cuda.mem_get_info(device)[0] / 4:
            return None
        return self.copied_to(device)

    def copied_to(self, device: str) -> torch.Tensor:
        """All images, uint8 [N, S, S, 3], on `device`."""
        count, side = len(self._kept), self.config.stored
        copies = torch.empty((count, side, side, 3), dtype=torch.uint8, device=device)
        for start in range(0, count, 512):
            rows = np.arange(start, min(start + 512, count))
            copies[start : start + len(rows)].copy_(torch.from_numpy(self.batch(rows)))
        return copies

    def mean_std(self, indices: np.ndarray) -> tuple[Triple, Triple]:
        """Mean and standard deviation per channel, on a scale of 0 to 1, over all pixels of the images.

        Exact: counted in whole numbers, so neither order nor threads matter. A channel that never changes has std 0.
        """
        counts = np.zeros((3, 256), dtype=np.int64)
        for start in range(0, len(indices), 4096):
            counts += sum(in_threads(self._levels, indices[start : start + 4096].tolist(), "measuring colours"))
        levels = np.arange(256)
        total = int(counts[0].sum())
        sums, squares = (counts @ levels).tolist(), (counts @ levels**2).tolist()
        mean = [value / total / 255 for value in sums]
        std = [(total * square - value**2) ** 0.5 / total / 255 for value, square in zip(sums, squares, strict=True)]
        return (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])

    def _levels(self, index: int) -> np.ndarray:
        """How often each value occurs in each channel of an image: int64 [3, 256]."""
        pixels = self.stored_image(index).reshape(-1, 3)
        return np.stack([np.bincount(pixels[:, channel], minlength=256) for channel in range(3)])
