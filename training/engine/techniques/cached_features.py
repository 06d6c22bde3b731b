"""What frozen layers make of each image, computed once instead of in every epoch in which they are frozen."""

import logging
import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from training.config import RunConfig
from training.engine.techniques.beginning import Beginning
from training.engine.techniques.technique import Batch, Shortcut, Technique
from training.errors import Impossible
from training.models.build import head_prefix
from training.models.head_inputs import check_linear, check_scores, head_inputs
from training.schema.checks import need

KEY = "trainer.cache_features"
CHANGES = ("flip", "crop_scale", "trivial", "erasing", "mixup", "cutmix", "own")  # keys of augment
log = logging.getLogger(__name__)


class CachedFeatures(Technique):
    """trainer.cache_features: while trainer.freeze_epochs holds all but the head, a step is one of the head on features
    of the images, in the same batches and order; val is judged by the same head on its own features. The result is that
    of trainer.freeze_epochs alone but for rounding, since the features come from batches of another size. It needs
    images that look the same in every epoch, and N * D * 4 bytes. (Its steps are no CUDA graphs.)
    """

    def __init__(self, frozen: int, val_too: bool) -> None:
        self.frozen, self.val_too = frozen, val_too
        self.features: dict[str, Tensor] = {}  # float32 [N, D] by split, on the network's device
        self.model: nn.Module | None = None
        self.beginning: Beginning | None = None

    def check(self, model: nn.Module) -> None:
        """The head has to be one layer that sees a vector."""
        check_linear(model, KEY)

    def open(self, beginning: Beginning) -> None:
        """Know the images for later."""
        self.beginning = beginning

    def start(self, model: nn.Module, optimizer: Optimizer) -> None:
        """Know the network for later, whose body doesn't change before the features are computed."""
        self.model = model

    def shortcut(self, epoch: int) -> Shortcut | None:
        """The head, in the epochs in which nothing else learns."""
        if epoch > self.frozen:
            self.features = {}
            return None
        assert self.model is not None and self.beginning is not None
        if not self.features:
            self._compute(self.model, self.beginning)
        val = self._val(self.beginning) if self.val_too else None
        return Shortcut(head_prefix(self.model), self._train(self.beginning, epoch), val)

    def _compute(self, model: nn.Module, beginning: Beginning) -> None:
        started, device = time.perf_counter(), next(model.parameters()).device
        splits = {"train": beginning.plain} | ({"val": beginning.val} if self.val_too else {})
        for split, batches in splits.items():
            self.features[split] = head_inputs(model, batches(), beginning.autocast).to(device)
        check_scores(model, self.features["train"], beginning.plain(), beginning.autocast, KEY)
        log.info("features of the frozen layers: %.1f s, once", time.perf_counter() - started)

    def _train(self, beginning: Beginning, epoch: int) -> Iterator[Batch]:
        features = self.features["train"]
        labels = torch.from_numpy(beginning.labels).to(features.device)
        for places in beginning.order(epoch):
            rows = torch.from_numpy(places).to(features.device)
            yield features[rows], labels[rows]

    def _val(self, beginning: Beginning) -> list[Batch]:
        features = self.features["val"]
        return [(features, torch.from_numpy(beginning.val_labels).to(features.device))]


def from_config(config: RunConfig) -> CachedFeatures | None:
    """None unless trainer.cache_features is true."""
    trainer = config.trainer
    if not trainer.cache_features:
        return None
    if not trainer.frozen_epochs:
        raise Impossible(f"{KEY} needs frozen layers: trainer.freeze_epochs=all, or a number of epochs")
    if changes := [f"augment.{key}" for key in CHANGES if getattr(config.augment, key)]:
        raise Impossible(f"{KEY} needs images that look the same in every epoch; leave out {', '.join(changes)}")
    need(not trainer.techniques, f"{KEY} doesn't go with trainer.techniques, which may change the images")
    return CachedFeatures(trainer.frozen_epochs, val_too=trainer.tta == "none")
