"""One training step as one function on tensors that stay where they are: the making of a batch where the images lie on
the device, forward, loss, backward, the gradients' norm and clipping, and the epoch's sums.

On CUDA the function is recorded as a graph and replayed (hardware/graphs.py), elsewhere it simply runs. The optimizer
stays outside: in one kernel it is a launch or two, and a one-cycle schedule changes its betas, which a graph would hold
as they were. So do techniques of a user's own, and fp16's unscaling, between backward and norm.
"""

import contextlib
import logging
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from training.config import TrainerConfig
from training.data.resident import Batch, Slice
from training.device import Compute, autocast
from training.engine.hardware.graphs import Graphs
from training.engine.loss import Loss, main_labels
from training.engine.optimizer import Gradients
from training.engine.techniques import Technique
from training.models.build import logits
from training.schema.checks import AUTO

log = logging.getLogger(__name__)


@dataclass
class Step:
    """`norm_inside`: nothing is done to the gradients between backward and norm. `graphs`: None to run plainly."""

    model: nn.Module
    loss: Loss
    scaler: torch.amp.GradScaler
    config: TrainerConfig
    compute: Compute
    norm_inside: bool
    graphs: Graphs | None
    gradients: Gradients = field(init=False)

    def __post_init__(self) -> None:
        self.gradients = Gradients(self.model)
        self.network = self.model  # or the part of it that sees the batches
        self.loss_sum, self.correct, self.norm_sum = (torch.zeros((), device=self.compute.device) for _ in range(3))
        self.buffers = list(self.model.buffers())
        self.staged: dict[Hashable, Batch] = {}  # batches that a graph reads, by their shapes
        self.phases: list[tuple[bool, ...]] = []  # what was frozen, and in which mode layers were
        self.phase = 0
        # where gradients lie that several passes add to, by phase; one pass alone leaves them where it likes
        self.places: dict[int, list[tuple[nn.Parameter, Tensor]]] = {}

    def begin_epoch(self) -> None:
        """The model is in the mode in which it is trained in this epoch, its parameters frozen or not."""
        for total in (self.loss_sum, self.correct, self.norm_sum):
            total.zero_()
        if self.graphs is None:
            return
        frozen = tuple(parameter.requires_grad for parameter in self.gradients.parameters)
        phase = frozen + tuple(module.training for module in self.model.modules())
        if phase not in self.phases:
            self.phases.append(phase)
        self.phase = self.phases.index(phase)

    def forward_backward(self, batch: Batch | Slice, share: float, first: bool, last: bool) -> None:
        """One batch of the step, or a piece of one: adds `share` of its loss to what is minimized. `first` and `last`
        of the step: the first begins with no gradients, the last ends with their norm where nothing comes between.
        Raises hardware.graphs.CaptureError."""
        ends = last and self.norm_inside
        if self.graphs is None:
            self._pass(batch.load if isinstance(batch, Slice) else lambda: batch, share, first, ends)
            return
        kind, load = self._input(batch)
        key = (kind, share, first, ends, self.phase)
        self.graphs(key, lambda: self._pass(load, share, first, ends), lambda: self._changed(batch, first))
        if first and self.config.accumulate > 1 and self.phase not in self.places:
            self.places[self.phase] = [(p, p.grad) for p in self.gradients.parameters if p.grad is not None]

    def _changed(self, batch: Batch | Slice, first: bool) -> list[Tensor]:
        """What a pass changes in place."""
        changed = [*self.buffers, self.loss_sum, self.correct, self.norm_sum]
        if isinstance(batch, Slice):
            changed.append(batch.rows.position)
        if first and self.phase not in self.places:  # it makes its gradients
            return changed
        return changed + [one.grad for one in self.gradients.parameters if one.grad is not None]

    def finish(self) -> None:
        """Norm and clipping, where they were not part of the last pass. (Plainly: whoever comes between may put other
        tensors in the place of the gradients.)"""
        if not self.norm_inside:
            self._norm()

    def _pass(self, load: Callable[[], Batch], share: float, first: bool, ends: bool) -> tuple[Tensor, ...]:
        """Gives nothing: all results are in tensors of the step and of the network."""
        if first:
            self.gradients.clear(self.places.get(self.phase))
        inputs, labels = load()
        with self.autocast():
            scores = logits(self.network(inputs)).float()
            loss = self.loss(scores, labels)
        self.scaler.scale(loss * share).backward()  # type: ignore[no-untyped-call]
        self.loss_sum += loss.detach() * len(labels)
        self.correct += (scores.detach().argmax(1) == main_labels(labels)).sum()
        if ends:
            self._norm()
        return ()

    def _norm(self) -> None:
        norm = self.gradients.norm(self.config.clip_norm)
        self.norm_sum += torch.nan_to_num(norm, nan=0.0, posinf=0.0)  # fp16 skips steps that overflow

    def autocast(self) -> contextlib.AbstractContextManager[None]:
        """The precision that the config asks for. On CUDA without the cache of weights that were cast, which graphs
        don't go with: captured or not, a step is the same."""
        return autocast(self.compute, cached=not self.compute.device.startswith("cuda"))

    def _input(self, batch: Batch | Slice) -> tuple[Hashable, Callable[[], Batch]]:
        """A key for what a batch looks like, and what gives it inside a graph."""
        if isinstance(batch, Slice):
            return batch.count, batch.load
        images, labels = batch
        kind = (images.shape, images.stride(), labels.shape, labels.dtype)
        if kind in self.staged:
            for buffer, tensor in zip(self.staged[kind], batch, strict=True):
                buffer.copy_(tensor)
        else:
            self.staged[kind] = images.clone(), labels.clone()
        staged = self.staged[kind]
        return kind, lambda: staged


def why_not_captured(compute: Compute, config: TrainerConfig, techniques: Mapping[str, Technique], plain: str) -> str:
    """Why no step is recorded as a CUDA graph, for the record; empty where they are. `plain`: a reason known before."""
    if not compute.capture:
        return "off"
    own = [technique for technique in techniques.values() if not technique.capturable]
    if own and config.capture == AUTO and not plain:
        plain = f"{type(own[0]).__name__} doesn't say that it is capturable"
        log.info("no CUDA graphs: %s", plain)
    return plain and f"off: {plain}"
