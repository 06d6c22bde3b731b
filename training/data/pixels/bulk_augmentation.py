"""TrivialAugmentWide and random erasing of a whole batch at once.

The draws are torchvision's, image by image from a seed each; the pixels are changed in one go per operation. What
torchvision makes of each image alone comes out (tests/training/data/pixels/test_bulk_augmentation.py).
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2 import functional as single

from training.data.pixels.preprocessing import to_device

BINS = 31  # strengths of an operation, as in the paper
AREA, RATIO, TRIES = (0.02, 0.33), (0.3, 3.3), 10  # of the rectangle that is erased
Change = Callable[[Tensor, list[float]], Tensor]


def trivial(images: Tensor, seeds: np.ndarray) -> Tensor:
    """TrivialAugmentWide (Müller & Hutter 2021, arXiv 2103.10158): one operation of random strength an image, such as
    a rotation, a shift, other colours or contrast. uint8 [B, 3, S, S] and a seed an image, int64 [B], to the same."""
    drawn: dict[str, list[tuple[int, float]]] = {}
    draw = torch.Generator()
    for index, seed in enumerate(seeds.tolist()):
        name, strength = _operation(draw.manual_seed(seed))
        drawn.setdefault(name, []).append((index, strength))
    changed = images.clone()
    for name, chosen in drawn.items():
        if name != "Identity":
            rows = to_device(torch.tensor([index for index, _ in chosen]), images.device)
            changed[rows] = OPERATIONS[name](images[rows], [strength for _, strength in chosen])
    return changed


def erase(images: Tensor, seeds: np.ndarray, probability: float) -> Tensor:
    """Random erasing (Zhong et al. 2017, arXiv 1708.04896): with this probability a rectangle of 2 to 33 % of the area
    becomes 0, which is the mean colour of normalized images float32 [B, 3, S, S]. `seeds`: int64 [B]."""
    height, width = images.shape[-2:]
    draw = torch.Generator()
    boxes = torch.tensor([_rectangle(draw.manual_seed(seed), probability, height, width) for seed in seeds.tolist()])
    top, left, tall, wide = to_device(boxes, images.device).view(-1, 4, 1, 1, 1).unbind(1)
    y = torch.arange(height, device=images.device).view(-1, 1)
    x = torch.arange(width, device=images.device)
    inside = (y >= top) & (y < top + tall) & (x >= left) & (x < left + wide)
    return images.masked_fill(inside, 0)


def _operation(draw: torch.Generator) -> tuple[str, float]:
    name, strengths, signed = SPACE[int(torch.randint(len(SPACE), (), generator=draw))]
    if not strengths:
        return name, 0.0
    strength = strengths[int(torch.randint(BINS, (), generator=draw))]
    return name, -strength if signed and torch.rand((), generator=draw) <= 0.5 else strength


def _rectangle(draw: torch.Generator, probability: float, height: int, width: int) -> tuple[int, int, int, int]:
    """Top, left, height and width in px; no pixel where nothing is to be erased or no rectangle has fitted."""
    if torch.rand(1, generator=draw) >= probability:
        return 0, 0, 0, 0
    least, most = torch.log(torch.tensor(RATIO)).tolist()
    for _ in range(TRIES):
        area = height * width * torch.empty(1).uniform_(*AREA, generator=draw).item()
        ratio = torch.exp(torch.empty(1).uniform_(least, most, generator=draw)).item()
        tall, wide = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if tall < height and wide < width:
            top = int(torch.randint(0, height - tall + 1, (1,), generator=draw))
            left = int(torch.randint(0, width - wide + 1, (1,), generator=draw))
            return top, left, tall, wide
    return 0, 0, 0, 0


def _column(values: list[float], images: Tensor) -> Tensor:
    """float32 [B, 1, 1, 1] on the device of the images."""
    return to_device(torch.tensor(values, dtype=torch.float32), images.device).view(-1, 1, 1, 1)


def _blend(images: Tensor, others: Tensor, factors: list[float]) -> Tensor:
    """`factor` of the one and 1 - `factor` of the other, float32 [B, ...]. One by one, since a factor that is a number
    and one that lies in a tensor round differently."""
    mixed = images.mul(_column(factors, images))
    for one, other, factor in zip(mixed, others, factors, strict=True):
        one.add_(other, alpha=1.0 - factor)
    return mixed.clamp_(0, 255).to(images.dtype)


def _grey(images: Tensor) -> Tensor:
    """float32 [B, 1, S, S], whole numbers."""
    red, green, blue = images.unbind(-3)
    return red.mul(0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114).unsqueeze(-3).floor_()


def _brightness(images: Tensor, strengths: list[float]) -> Tensor:
    return images.mul(_column([1 + one for one in strengths], images)).clamp_(0, 255).to(images.dtype)


def _colour(images: Tensor, strengths: list[float]) -> Tensor:
    return _blend(images, _grey(images), [1 + one for one in strengths])


def _contrast(images: Tensor, strengths: list[float]) -> Tensor:
    return _blend(images, _grey(images).mean((-3, -2, -1), keepdim=True), [1 + one for one in strengths])


def _sharpness(images: Tensor, strengths: list[float]) -> Tensor:
    if min(images.shape[-2:]) <= 2:
        return images
    kernel = torch.full((3, 1, 3, 3), 1 / 13, device=images.device)
    kernel[:, :, 1, 1].fill_(5 / 13)
    sharp = images.float()
    inner = sharp[..., 1:-1, 1:-1]
    blurred = functional.conv2d(sharp, kernel, groups=3).round_()
    for one, change, strength in zip(inner, blurred.sub_(inner), strengths, strict=True):
        one.add_(change, alpha=1.0 - (1.0 + strength))
    return sharp.clamp_(0, 255).to(images.dtype)


def _posterize(images: Tensor, bits: list[float]) -> Tensor:
    masks = torch.tensor([256 - (1 << (8 - int(one))) for one in bits], dtype=torch.uint8)
    return images & to_device(masks, images.device).view(-1, 1, 1, 1)


def _solarize(images: Tensor, thresholds: list[float]) -> Tensor:
    bounds = _column([255 * one for one in thresholds], images)
    return torch.where(images >= bounds, 255 - images, images)


def _moved(images: Tensor, matrices: list[list[float]]) -> Tensor:
    """Each image seen through its inverse affine matrix [6], in px from the centre; black beyond its edges."""
    count, _, height, width = images.shape
    theta = torch.tensor(matrices, dtype=torch.float32).view(count, 2, 3).transpose(1, 2)
    theta = to_device(theta / torch.tensor([0.5 * width, 0.5 * height]), images.device)
    grid = torch.ones(height, width, 3, device=images.device)
    grid[..., 0] = torch.linspace((1 - width) * 0.5, (width - 1) * 0.5, width, device=images.device)
    grid[..., 1] = torch.linspace((1 - height) * 0.5, (height - 1) * 0.5, height, device=images.device)[:, None]
    places = grid.view(1, height * width, 3).expand(count, -1, -1).bmm(theta).view(count, height, width, 2)
    return functional.grid_sample(images.float(), places, align_corners=False).round_().to(images.dtype)


def _shear_x(images: Tensor, strengths: list[float]) -> Tensor:
    """About the upper left corner, as torchvision does."""
    top = -0.5 * images.shape[-2]
    slopes = [math.tan(_angle(strength)) for strength in strengths]
    return _moved(images, [[1, slope, -slope * top, 0, 1, 0] for slope in slopes])


def _shear_y(images: Tensor, strengths: list[float]) -> Tensor:
    left = -0.5 * images.shape[-1]
    turns = [_angle(strength) for strength in strengths]
    slopes = [-math.sin(-turn) / math.cos(turn) for turn in turns]  # torchvision's terms, for its last digits
    return _moved(images, [[1, 0, 0, slope, 1, left - slope * left - left] for slope in slopes])


def _angle(strength: float) -> float:
    return math.radians(math.degrees(math.atan(strength)))


def _shift_x(images: Tensor, pixels: list[float]) -> Tensor:
    return _moved(images, [[1, 0, -float(int(one)), 0, 1, 0] for one in pixels])


def _shift_y(images: Tensor, pixels: list[float]) -> Tensor:
    return _moved(images, [[1, 0, 0, 0, 1, -float(int(one))] for one in pixels])


def _rotate(images: Tensor, degrees: list[float]) -> Tensor:
    turns = [math.radians(-(one % 360)) for one in degrees]
    return _moved(images, [[math.cos(turn), math.sin(turn), 0, -math.sin(turn), math.cos(turn), 0] for turn in turns])


OPERATIONS: dict[str, Change] = {
    "ShearX": _shear_x,
    "ShearY": _shear_y,
    "TranslateX": _shift_x,
    "TranslateY": _shift_y,
    "Rotate": _rotate,
    "Brightness": _brightness,
    "Color": _colour,
    "Contrast": _contrast,
    "Sharpness": _sharpness,
    "Posterize": _posterize,
    "Solarize": _solarize,
    "AutoContrast": lambda images, _: single.autocontrast(images),
    "Equalize": lambda images, _: single.equalize(images),
}


def _strengths(first: float, last: float) -> list[float]:
    return torch.linspace(first, last, BINS).tolist()


# Name, strengths, and whether they have a sign too, in torchvision's order: a draw chooses by the place in it
SPACE: list[tuple[str, list[float], bool]] = [
    ("Identity", [], False),
    ("ShearX", _strengths(0, 0.99), True),
    ("ShearY", _strengths(0, 0.99), True),
    ("TranslateX", _strengths(0, 32), True),
    ("TranslateY", _strengths(0, 32), True),
    ("Rotate", _strengths(0, 135), True),
    ("Brightness", _strengths(0, 0.99), True),
    ("Color", _strengths(0, 0.99), True),
    ("Contrast", _strengths(0, 0.99), True),
    ("Sharpness", _strengths(0, 0.99), True),
    ("Posterize", (8 - torch.arange(BINS) / ((BINS - 1) / 6)).round().tolist(), False),
    ("Solarize", _strengths(1, 0), False),
    ("AutoContrast", [], False),
    ("Equalize", [], False),
]
