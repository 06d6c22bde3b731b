"""Runs that cost next to nothing, so that what is measured is the machinery around them."""

import time
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from optuna.trial import Trial

TINY = [
    "model._target_=benchmarks.jobs.tiny",
    "model.name=tiny",
    "data.size=8",
    "trainer.epochs=1",
    "trainer.batch_size=64",
    "debug.max_steps=1",
    "tracking=none",
]


def tiny(num_classes: int) -> nn.Module:
    """A linear classifier of 8 x 8 pixels, whatever the images have."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(192, num_classes))


class Sleeper(nn.Module):
    """Takes 1 s for an epoch of one step where the run's seed is even, 4 s where it is odd."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.seconds = 1.0 if torch.initial_seed() % 2 == 0 else 4.0
        self.layers = tiny(num_classes)

    def forward(self, images: Tensor) -> Any:
        """Class scores, after a while."""
        if self.training and images.device.type != "meta":  # a sketch of it is checked before the run
            time.sleep(self.seconds)
        return self.layers(images)


def number_as_seed(config: "DictConfig", trial: "Trial") -> None:
    """A custom search space: each trial's seed is its number."""
    trial.suggest_int("seed", trial.number, trial.number)


def small_cnn(num_classes: int, width: int = 16) -> nn.Module:
    """Three convolutions: real learning curves at little cost."""
    layers: list[nn.Module] = []
    channels = 3
    for factor in (1, 2, 4):
        layers += [nn.Conv2d(channels, factor * width, 3, padding=1), nn.BatchNorm2d(factor * width), nn.ReLU()]
        layers += [nn.MaxPool2d(2)]
        channels = factor * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))
