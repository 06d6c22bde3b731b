"""Mixed batches: two images and their labels in one, so that the network can't learn single images by heart."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2

from training.config import RunConfig
from training.engine.techniques.technique import Batch, EpochContext, Technique
from training.schema.data_config import AugmentConfig


def mixed(batches: Iterable[Batch], config: AugmentConfig, classes: int, seed: int, epoch: int) -> Iterator[Batch]:
    """Each batch with its images mixed: labels int64 [B] become shares float32 [B, classes] that sum to 1.

    mixup (Zhang et al. 2017, arXiv 1710.09412) adds a second image of the same batch with the share 1 - lambda, cutmix
    (Yun et al. 2019, 1905.04899) lays a piece of that area from it over the first; lambda is drawn from
    Beta(alpha, alpha) once a batch, and where both have an alpha above 0, so is which of them. The draws derive from
    (seed, epoch, number of the batch) alone, and leave torch's own random numbers as they were.
    """
    kinds = [
        make(alpha=alpha, num_classes=classes)
        for make, alpha in ((v2.MixUp, config.mixup), (v2.CutMix, config.cutmix))
        if alpha
    ]
    for number, (images, labels) in enumerate(batches):
        if not kinds:
            yield images, labels
            continue
        layout = torch.channels_last if _is_channels_last(images) else torch.contiguous_format
        with torch.random.fork_rng(devices=[]):
            state = np.random.SeedSequence([seed, epoch, number]).generate_state(2, np.uint64)
            torch.default_generator.manual_seed(int(state[0]))  # of the CPU alone; a GPU's would not come back
            images, shares = kinds[int(state[1]) % len(kinds)](images, labels)
        yield images.contiguous(memory_format=layout), shares


def _is_channels_last(images: Tensor) -> bool:
    return images.is_contiguous(memory_format=torch.channels_last) and not images.is_contiguous()


class Mixup(Technique):
    """augment.mixup and augment.cutmix."""

    capturable = True

    makes_shares = True

    def __init__(self, config: AugmentConfig) -> None:
        self.config = config

    def batches(self, batches: Iterable[Batch], context: EpochContext) -> Iterable[Batch]:
        """Mix the images of each."""
        return mixed(batches, self.config, context.classes, context.seed, context.epoch)


def from_config(config: RunConfig) -> Mixup | None:
    """None where no images are mixed."""
    return Mixup(config.augment) if config.augment.mixup or config.augment.cutmix else None
