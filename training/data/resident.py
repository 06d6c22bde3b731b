"""Images that lie on the device, read row by row of an epoch.

All that a batch is made from stays where it is from epoch to epoch: pixels, labels, the order of the epoch, its draws,
and a counter of the rows that have been read. So the making of a batch can be part of a CUDA graph, which knows
addresses and no values. Nothing here depends on a GPU.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.data.pixels.preprocessing import Preprocessing, reduced, to_device
from training.data.pixels.transforms import Views, viewed

Batch = tuple[Tensor, Tensor]


class ResidentRows:
    """An epoch's images, or a split's: `count` rows of `pixels` uint8 [N, S, S, 3], whose `labels` are int64 [N].
    `side`: what images are reduced to first; None: they stay as they are."""

    def __init__(
        self,
        pixels: Tensor,
        labels: Tensor,
        count: int,
        preprocessing: Preprocessing,
        layout: torch.memory_format,
        side: int | None = None,
    ) -> None:
        self.side = side or pixels.shape[1]
        self.pixels, self.labels, self.preprocessing, self.layout = pixels, labels, preprocessing, layout
        self.places = torch.arange(count, device=pixels.device)
        self.indices = torch.zeros_like(self.places)
        self.position = torch.zeros((), dtype=torch.int64, device=pixels.device)
        self.seen: Views | None = None

    def begin(self, indices: np.ndarray, seen: Views | None) -> None:
        """From the first row again, with other images: `indices` [count] and how they are seen (None: the centre)."""
        device = self.pixels.device
        self.indices.copy_(to_device(torch.from_numpy(np.ascontiguousarray(indices)), device))
        self.position.zero_()
        if seen is None:
            return
        new = seen.to(device)
        if self.seen is None:
            self.seen = new
            return
        for old, now in ((self.seen.theta, new.theta), (self.seen.flipped, new.flipped)):
            if old is not None and now is not None:
                old.copy_(now)

    def load(self, count: int) -> Batch:
        """The next `count` rows: images float32 [count, 3, size, size] and their labels int64 [count]."""
        rows = self.places[:count] + self.position
        self.position += count
        chosen = self.indices[rows]
        pixels = reduced(self.pixels[chosen].permute(0, 3, 1, 2), self.side)
        if self.seen is None:
            images = self.preprocessing.plain(pixels)
        else:
            images = viewed(pixels, self.seen.rows(rows), self.preprocessing)
        return images.contiguous(memory_format=self.layout), self.labels[chosen]


@dataclass(frozen=True)
class Slice:
    """The next `count` rows, which are made into a batch where it is asked for."""

    rows: ResidentRows
    count: int

    def load(self) -> Batch:
        """As ResidentRows.load."""
        return self.rows.load(self.count)
