"""One epoch of training, and evaluation. Nothing here waits for the device before the epoch is over.

(Except in fp16, where torch's GradScaler may look at every step whether it overflowed, and with augment.own, which
works on the CPU.)
"""

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from training.config import TrainerConfig
from training.device import Compute, autocast
from training.engine.hardware.cuda_graph import Captured
from training.engine.hardware.out_of_memory import pieces
from training.engine.hardware.unused_conv_weights import zero_unused_gradients
from training.engine.loss import Loss, cross_entropy, main_labels
from training.engine.optimizer import Gradients
from training.engine.predictions import Predictions
from training.engine.schedule import Schedule
from training.engine.techniques import Batch, EpochContext, Technique
from training.models.build import logits
from training.schema.checks import need


@dataclass(frozen=True)
class EpochResult:
    """Means over the images of an epoch (`acc` in per cent), the mean gradient norm over its steps, and its time.

    `loss` is what is minimized, label smoothing and class weights included; both are taken in training mode, before
    each step. Of a mixed image the class with the largest share is the right one.
    """

    loss: float
    acc: float
    grad_norm: float
    images: int
    seconds: float


@dataclass
class Trainer:
    """What an epoch of training works on."""

    model: nn.Module
    optimizer: Optimizer
    schedule: Schedule
    scaler: torch.amp.GradScaler
    config: TrainerConfig
    compute: Compute
    max_steps: int | None = None
    techniques: Sequence[Technique] = ()
    loss: Loss = cross_entropy
    micro_batch: int | None = None  # images at once, at most, where a batch doesn't fit into memory
    gradients: Gradients = field(init=False)
    captured: Captured | None = field(init=False, default=None)  # with trainer.capture: forward and backward as a graph

    def __post_init__(self) -> None:
        if self.compute.device == "cpu" and self.compute.precision == "bf16":
            zero_unused_gradients(self.model)
        self.gradients = Gradients(self.model)
        if self.config.capture and not self.micro_batch:
            self.captured = Captured(self._pass, self.model)

    @property
    def eval_model(self) -> nn.Module:
        """The network that is validated, selected and kept: the trained one, or what a technique has in its place (an
        average of the weights)."""
        models = [model for technique in self.techniques if (model := technique.eval_model) is not None]
        need(len(models) < 2, "several techniques each have a network to be validated; use one of them")
        return models[0] if models else self.model

    def autocast(self) -> contextlib.AbstractContextManager[None]:
        """The precision that the config asks for."""
        return autocast(self.compute, cached=not self.config.capture)

    def epoch(
        self, batches: Iterable[tuple[Tensor, Tensor]], on_batch: Callable[[], object], epoch: int = 1
    ) -> EpochResult:
        """Train on `batches` once. `on_batch` is called after each; `epoch` counts from 1."""
        started = time.perf_counter()
        self.model.train()
        for technique in self.techniques:
            technique.before_epoch(epoch)
        device = self.compute.device
        loss_sum, correct, norm_sum = (torch.zeros((), device=device) for _ in range(3))
        images = steps = 0
        for group in itertools.islice(grouped(batches, self.config.accumulate), self.max_steps):
            size = sum(len(labels) for _, labels in group)
            self.optimizer.zero_grad()  # here, not after the step: the tracker looks at an epoch's last gradients
            for inputs, labels in (piece for batch in group for piece in pieces(batch, self.micro_batch)):
                if self.captured is None:
                    loss, right = self._pass(inputs, labels, len(labels) / size)
                else:
                    loss, right = self.captured(inputs, labels)
                loss_sum += loss * len(labels)
                correct += right
            for _ in group:
                on_batch()
            norm_sum += torch.nan_to_num(self._step(), nan=0.0, posinf=0.0)  # fp16 skips steps that overflow
            images, steps = images + size, steps + 1
        total = float(loss_sum)  # the one place where the device is waited for
        seconds = time.perf_counter() - started
        return EpochResult(total / images, 100 * float(correct) / images, float(norm_sum) / steps, images, seconds)

    def _pass(self, inputs: Tensor, labels: Tensor, share: float = 1.0) -> tuple[Tensor, Tensor]:
        """Forward, and backward with `share` of the loss; gives the loss and how many are right."""
        with self.autocast():
            scores = logits(self.model(inputs)).float()
            loss = self.loss(scores, labels)
        self.scaler.scale(loss * share).backward()  # type: ignore[no-untyped-call]
        return loss.detach(), (scores.detach().argmax(1) == main_labels(labels)).sum()

    def _step(self) -> Tensor:
        self.scaler.unscale_(self.optimizer)
        for technique in self.techniques:
            technique.before_step()
        norm = self.gradients.norm(self.config.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.after_step()
        for technique in self.techniques:
            technique.after_step()
        return norm

    def evaluate(self, batches: Iterable[tuple[Tensor, Tensor]]) -> Predictions:
        """Class scores for every image."""
        return evaluate(self.eval_model, batches, self.compute)


@torch.no_grad()
def evaluate(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], compute: Compute) -> Predictions:
    """Class scores for every image, of the network as it is used, not trained."""
    model.eval()
    scores, labels = [], []
    with autocast(compute):  # once for all batches, so that it casts the weights once
        for inputs, wanted in batches:
            scores.append(logits(model(inputs)).float())
            labels.append(wanted)
    all_scores, all_labels = torch.cat(scores).cpu(), torch.cat(labels).cpu()
    loss = float(functional.cross_entropy(all_scores, all_labels))
    return Predictions(all_labels.numpy(), all_scores.numpy(), loss)


def changed_by(techniques: Iterable[Technique], batches: Iterable[Batch], context: EpochContext) -> Iterable[Batch]:
    """The batches as the techniques make them, one after the other."""
    for technique in techniques:
        batches = technique.batches(batches, context)
    return batches


def grouped(batches: Iterable[tuple[Tensor, Tensor]], size: int) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Batches in groups of `size`; the last may be smaller."""
    group: list[tuple[Tensor, Tensor]] = []
    for batch in batches:
        group.append(batch)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def finite(*values: float) -> bool:
    """Whether no value is infinite or not a number."""
    return all(math.isfinite(value) for value in values)


def reseed(seed: int, epoch: int) -> None:
    """Set torch's randomness (dropout, stochastic depth) for one epoch, whatever happened before it."""
    torch.manual_seed(int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0]))
