"""Histograms of many tensors, counted where they lie; TensorBoard's own copies every number to the CPU and sorts it
into some 1,500 bins there."""

from dataclasses import dataclass

import torch
from torch import Tensor

BINS = 64  # of equal width; TensorBoard draws 30


@dataclass(frozen=True)
class Histogram:
    """What TensorBoard keeps: `limits` are the upper ends of the bins."""

    least: float
    largest: float
    count: int
    total: float
    squares: float
    limits: list[float]
    counts: list[float]


def histograms(tensors: dict[str, Tensor]) -> dict[str, Histogram]:
    """A histogram a tensor, all on one device. A tensor with a number that is not finite has none."""
    moments = [_moments(tensor.detach().float()) for tensor in tensors.values()]
    measured = torch.stack(moments).cpu() if moments else torch.empty(0, 4)
    finite = {name: row for name, row in zip(tensors, measured.tolist(), strict=True) if all(map(_finite, row))}
    counted = [_counts(tensors[name].detach().float(), least, largest) for name, (least, largest, *_) in finite.items()]
    counts = torch.stack(counted).cpu().tolist() if counted else []
    found = {}
    for (name, (least, largest, total, squares)), bins in zip(finite.items(), counts, strict=True):
        width = (largest - least) / BINS
        limits = [least + width * (number + 1) for number in range(BINS)]
        found[name] = Histogram(least, largest, tensors[name].numel(), total, squares, limits, bins)
    return found


def _finite(value: float) -> bool:
    return abs(value) != float("inf") and value == value


def _moments(values: Tensor) -> Tensor:
    least, largest = torch.aminmax(values)
    return torch.stack([least, largest, values.sum(), values.square().sum()]).double()


def _counts(values: Tensor, least: float, largest: float) -> Tensor:
    """int64 [BINS]. (torch.histc counts in another order each time on a GPU.)"""
    scale = BINS / (largest - least) if largest > least else 0.0
    places = ((values.flatten() - least) * scale).long().clamp_(0, BINS - 1)
    return torch.bincount(places, minlength=BINS)
