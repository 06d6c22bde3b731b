"""Networks and a data source of a user's own, for config lines such as model._target_=own_parts.tiny."""

import random
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from training.data.sources import Source
from training.schema.data_config import DataConfig


class Tiny(nn.Module):
    """A small network with everything that has a state or is random: BatchNorm, stochastic depth, dropout."""

    def __init__(self, num_classes: int, width: int, stop: Path, at: int) -> None:
        super().__init__()
        self.stop, self.at, self.calls = stop, at, 0
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.branch = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.drop_path = StochasticDepth(0.2, "row")
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(width * 4, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            self.calls += 1
            if self.calls == self.at and self.stop.is_file():
                self._happen(self.stop.read_text().strip())
        features = self.norm(self.first(images)).relu()
        features = features + self.drop_path(self.branch(features).relu())
        return self.head(self.dropout(nn.functional.adaptive_avg_pool2d(features, 2).flatten(1)))

    def _happen(self, what: str) -> None:
        if what == "hold":
            self.stop.with_suffix(".reached").touch()
            time.sleep(120)
        elif what == "memory":
            raise MemoryError("no memory, on purpose")
        raise RuntimeError("broken on purpose")


def tiny(num_classes: int, width: int = 8, stop: str = "none", at: int = 0) -> nn.Module:
    """In the training batch number `at` of a process it does what the file `stop` says, if there is one."""
    return Tiny(num_classes, width, Path(stop), at)


def smooth(num_classes: int) -> nn.Module:
    """No BatchNorm and nothing random: what it learns from an image doesn't depend on the others in the batch."""
    layers = (nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    return nn.Sequential(*layers, nn.Linear(32, num_classes))


def watched(config: DataConfig) -> Source:
    """24 images with given splits; whenever one is loaded, a line `split rows` is added to the file kwargs.log, with
    the number of rows that the history.csv below kwargs.outputs has by then."""
    splits = np.array(["train"] * 12 + ["val"] * 6 + ["test"] * 6)
    log, outputs = Path(config.kwargs["log"]), Path(config.kwargs["outputs"])

    def load(index: int) -> Image.Image:
        rows = sum(len(file.read_text().splitlines()) - 1 for file in outputs.rglob("history.csv"))
        with log.open("a") as file:
            file.write(f"{splits[index]} {rows}\n")
        return Image.fromarray(np.random.default_rng(index).integers(0, 256, (8, 8, 3), dtype=np.uint8))

    names = tuple(f"{index:02}" for index in range(len(splits)))
    return Source(("even", "odd"), names, np.arange(len(splits)) % 2, splits, load)


class Curious(nn.Module):
    """Looks at the numbers in its tensors, as they are made and as they pass."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.rates = [rate.item() for rate in torch.linspace(0.1, 0.2, 2)]
        self.head = nn.Linear(3, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        colours = images.mean((2, 3))
        return self.head(colours * self.rates[colours.sum().item() > 0])


def uneven(config: DataConfig) -> Source:
    """200 grey images that say nothing about their class, which is `rare` for one in ten; given splits."""
    labels = (np.arange(200) % 10 == 0).astype(np.int64)
    splits = np.array(["train"] * 120 + ["val"] * 40 + ["test"] * 40)
    names = tuple(f"{index:03}" for index in range(200))
    return Source(("common", "rare"), names, labels, splits, lambda index: Image.new("RGB", (8, 8), "grey"))


class Hungry(nn.Module):
    """Like `smooth`, but from training batch `at` on it asks for a million GB to train on more than `largest` images,
    or to evaluate four times as many."""

    def __init__(self, num_classes: int, largest: int, at: int) -> None:
        super().__init__()
        self.network, self.largest, self.at, self.calls = smooth(num_classes), largest, at, 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += self.training
        if len(images) > self.largest * (1 if self.training else 4) and self.calls >= self.at:
            torch.empty(10**15, dtype=torch.uint8, device=images.device)
        return self.network(images)


def hungry(num_classes: int, largest: int = 10**9, at: int = 0) -> nn.Module:
    return Hungry(num_classes, largest, at)


class Uncapturable(nn.Module):
    """Does what can't be part of a CUDA graph: looks at a number (`looks`), draws one in Python (`draws`), or waits for
    the device (`waits`, which shows in a recording alone)."""

    def __init__(self, num_classes: int, kind: str) -> None:
        super().__init__()
        self.network, self.kind = smooth(num_classes), kind

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.network(images)
        if self.kind == "waits":
            if images.is_cuda:
                torch.cuda.current_stream().synchronize()
            return nn.functional.dropout(scores, 0.1, self.training)
        factor = 1 + random.random() if self.kind == "draws" else 1 + (scores.detach().sum() > 0).item()
        return scores * factor


def uncapturable(num_classes: int, kind: str) -> nn.Module:
    return Uncapturable(num_classes, kind)


@dataclass
class Scores:
    """Of a network with an auxiliary head."""

    logits: Tensor
    aux_logits: Tensor


class TwoHeads(nn.Module):
    """Gives auxiliary scores with its own, as GoogLeNet does while it learns."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.auxiliary, self.head = nn.Linear(3, num_classes), nn.Linear(3, num_classes)

    def forward(self, images: Tensor) -> Scores:
        colour = images.mean((2, 3))
        return Scores(self.head(colour), self.auxiliary(colour))
