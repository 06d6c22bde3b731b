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
from typing import TypeVar

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from training.config import TrainerConfig
from training.data.resident import Slice
from training.device import Compute
from training.engine.evaluation import evaluate
from training.engine.hardware.graphs import Graphs, Recorder
from training.engine.hardware.out_of_memory import pieces
from training.engine.hardware.unused_conv_weights import zero_unused_gradients
from training.engine.loss import Loss, cross_entropy
from training.engine.predictions import Predictions
from training.engine.schedule import Schedule
from training.engine.step import Step
from training.engine.techniques import Batch, EpochContext, Shortcut, Technique
from training.models.tta import averaged
from training.schema.checks import need

T = TypeVar("T")


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
    recorder: Callable[[], Recorder] | None = None  # what records steps, as CUDA graphs; None: they run plainly
    step: Step = field(init=False)
    shortcut: Shortcut | None = field(init=False, default=None)
    eval_graphs: Graphs | None = field(init=False, default=None)
    # the network that was last evaluated, and how it is asked: graphs know it by its identity
    asked: tuple[nn.Module | None, nn.Module] = field(init=False, default=(None, nn.Identity()))

    def __post_init__(self) -> None:
        if self.compute.device == "cpu" and self.compute.precision == "bf16":
            zero_unused_gradients(self.model)
        changed = any(type(one).before_step is not Technique.before_step for one in self.techniques)
        norm_inside = not changed and not self.scaler.is_enabled()
        graphs, device = None, self.compute.device
        exact = self.config.deterministic and self.config.capture is not True  # who insists on it takes what comes
        if self.recorder is not None and not self.micro_batch:
            # of each its own memory: a validation must not write where the last step's gradients are looked at after it
            graphs = Graphs(self.recorder(), device, list(self.model.parameters()), exact)
            self.eval_graphs = Graphs(self.recorder(), device, exact=exact)
        self.step = Step(self.model, self.loss, self.scaler, self.config, self.compute, norm_inside, graphs)

    @property
    def eval_model(self) -> nn.Module:
        """The network that is validated, selected and kept: the trained one, or what a technique has in its place (an
        average of the weights)."""
        models = [model for technique in self.techniques if (model := technique.eval_model) is not None]
        need(len(models) < 2, "several techniques each have a network to be validated; use one of them")
        return models[0] if models else self.model

    def autocast(self) -> contextlib.AbstractContextManager[None]:
        """The precision that the config asks for."""
        return self.step.autocast()

    def use(self, shortcut: Shortcut | None) -> None:
        """In this epoch train and validate with a part of the network on what it sees; None: the whole on images."""
        self.shortcut = shortcut
        self.step.network = self.model if shortcut is None else self.model.get_submodule(shortcut.layer)

    def epoch(self, batches: Iterable[Batch | Slice], on_batch: Callable[[], object], epoch: int = 1) -> EpochResult:
        """Train on `batches` once. `on_batch` is called after each; `epoch` counts from 1. Raises
        hardware.graphs.CaptureError."""
        started = time.perf_counter()
        self.model.train()
        for technique in self.techniques:
            technique.before_epoch(epoch)
        step = self.step
        step.begin_epoch()
        images = steps = 0
        for group in itertools.islice(grouped(batches, self.config.accumulate), self.max_steps):
            size = sum(map(length, group))
            parts = [part for batch in group for part in pieces(batch, self.micro_batch)]
            for number, part in enumerate(parts, start=1):
                step.forward_backward(part, length(part) / size, number == 1, number == len(parts))
            for _ in group:
                on_batch()
            self._step()
            images, steps = images + size, steps + 1
        total = float(step.loss_sum)  # the one place where the device is waited for
        seconds = time.perf_counter() - started
        acc, norm = 100 * float(step.correct) / images, float(step.norm_sum) / steps
        return EpochResult(total / images, acc, norm, images, seconds)

    def _step(self) -> None:
        if self.step.norm_inside:  # as it is with a network that computes in fp32 or bf16
            self.optimizer.step()
        else:
            self.scaler.unscale_(self.optimizer)
            for technique in self.techniques:
                technique.before_step()
            self.step.finish()
            self.scaler.step(self.optimizer)
            self.scaler.update()
        self.schedule.after_step()
        for technique in self.techniques:
            technique.after_step()

    def evaluate(self, batches: Iterable[Batch | Slice], once: bool = False) -> Predictions:
        """Class scores for every image. `once`: there won't be more of these, so that no graph is worth its time."""
        if self.shortcut is not None and self.shortcut.val is not None and not once:
            return evaluate(self.eval_model.get_submodule(self.shortcut.layer), self.shortcut.val, self.compute)
        model = self.eval_model
        if model is not self.asked[0]:
            self.asked = model, averaged(model, self.config.tta)
        return evaluate(self.asked[1], batches, self.compute, None if once else self.eval_graphs)


def length(batch: Batch | Slice) -> int:
    """How many images it has."""
    return batch.count if isinstance(batch, Slice) else len(batch[1])


def changed_by(techniques: Iterable[Technique], batches: Iterable[Batch], context: EpochContext) -> Iterable[Batch]:
    """The batches as the techniques make them, one after the other."""
    for technique in techniques:
        batches = technique.batches(batches, context)
    return batches


def grouped(batches: Iterable[T], size: int) -> Iterator[list[T]]:
    """Batches in groups of `size`; the last may be smaller."""
    group: list[T] = []
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
