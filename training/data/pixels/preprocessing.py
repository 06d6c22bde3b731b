"""From a stored image to what the network sees: the centre, in numbers of mean 0 and standard deviation 1."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

Triple = tuple[float, float, float]  # red, green, blue


@dataclass(frozen=True)
class Preprocessing:
    """`size` in px. `mean` and `std` are per channel, on a scale of 0 to 1."""

    size: int
    mean: Triple
    std: Triple

    def normalize(self, images: Tensor) -> Tensor:
        """uint8 [B, 3, S, S] to float32 of the same shape. Line by line, red, green and blue by turns as they lie in
        memory, so that a CPU works on long rows."""
        width = images.shape[3]
        mean, std = _lines((*self.mean,), (*self.std,), width, images.device)  # lists, where a file told them
        lines = images.permute(0, 2, 3, 1).flatten(2).float().sub_(mean).div_(std)
        return lines.view(*lines.shape[:2], width, 3).permute(0, 3, 1, 2)

    def plain(self, images: Tensor) -> Tensor:
        """uint8 [B, 3, S, S] to float32 [B, 3, size, size]: the centre, normalized."""
        return self.normalize(centre(images, self.size))


@lru_cache(maxsize=16)
def _lines(mean: Triple, std: Triple, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and deviation of a line of `width` px, float32 [3 * width] each, on a scale of 0 to 255. They stay on the
    device: a CUDA graph reads them where they lie."""
    lines = to_device(torch.tensor([mean, std]).mul(255).repeat(1, width), device)
    return lines[0], lines[1]


def centre(images: Tensor, size: int) -> Tensor:
    """The middle `size` x `size` of square images."""
    start = (images.shape[-1] - size) // 2
    return images if start == 0 else images[..., start : start + size, start : start + size]


def reduced(images: Tensor, side: int) -> Tensor:
    """uint8 [B, 3, S, S] to [B, 3, side, side], bilinear, antialiased; as they are where they have that side."""
    if images.shape[-1] == side:
        return images
    smaller = functional.interpolate(images.float(), (side, side), mode="bilinear", antialias=True)
    return smaller.round_().clamp_(0, 255).to(torch.uint8)


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Copies to a GPU go through pinned memory: others would wait for all the work that is queued there."""
    if torch.device(device).type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
