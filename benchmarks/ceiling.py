"""The bare network, for benchmarks/loops.py: batches that lie on the device, forwards, backwards and optimizer steps of
training, forwards of evaluation, and nothing else.

On a GPU both are recorded as CUDA graphs, one for each shape of a batch, as torch's notes say; the optimizer is one
fused launch behind the graph, where it costs as much as in it. Elsewhere it is the plain loop.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.loop_setting import CLOCK, Setting, now
from benchmarks.peers import loaders
from training.config import TrainerConfig
from training.device import autocast, keep_freed_memory
from training.engine.hardware.graphs import CudaRecorder, Recorder
from training.engine.hardware.process import set_up_process

Batch = tuple[Tensor, Tensor]
Work = Callable[[Tensor, Tensor], None]
WARM_UP = 3  # passes before a recording, in which libraries choose their kernels


def ceiling(
    setting: Setting, recorded: bool | None = None, deterministic: bool | None = None, kept: bool = False
) -> float:
    """Train and evaluate; gives the end of the first step. `recorded`: as graphs; None: on a GPU. `deterministic`:
    None: as ours by default, on a GPU. `kept`: on a CPU it keeps freed memory, as ours does."""
    if setting.cuda:
        default = TrainerConfig()
        trainer = replace(default, deterministic=default.deterministic if deterministic is None else deterministic)
        set_up_process(trainer, setting.compute.device, torch.get_num_threads())
    elif kept:
        keep_freed_memory()
    both, device = loaders(setting), setting.compute.device
    train, val = (
        [(x.contiguous(memory_format=setting.layout).to(device), y.to(device)) for x, y in loader] for loader in both
    )
    network = torchvision.models.get_model(setting.model, num_classes=len(both[0].dataset.classes))
    record = setting.cuda if recorded is None else recorded
    return train_bare(network, train, val, setting, CudaRecorder() if record else None)


def train_bare(
    network: nn.Module, train: Sequence[Batch], val: Sequence[Batch], setting: Setting, recorder: Recorder | None
) -> float:
    """All epochs of a network. `recorder`: what makes graphs of its passes; None: they run plainly."""
    compute = setting.compute
    network.to(compute.device, memory_format=setting.layout)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
    correct = torch.zeros((), dtype=torch.int64, device=compute.device)

    def learn(images: Tensor, labels: Tensor) -> None:
        with autocast(compute, cached=recorder is None):
            loss = functional.cross_entropy(network(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def look(images: Tensor, labels: Tensor) -> None:
        with autocast(compute, cached=recorder is None):
            correct.add_((network(images).argmax(1) == labels).sum())

    learned: Work = learn if recorder is None else Recorded(learn, network, recorder)
    looked: Work = look if recorder is None else Recorded(look, network, recorder)
    first = 0.0
    for _ in range(setting.epochs):
        network.train()
        for images, labels in train:
            if recorder is None:
                optimizer.zero_grad()
            learned(images, labels)
            optimizer.step()
            first = first or now()
        network.eval()
        with torch.no_grad(), autocast(compute, cached=recorder is None):  # plainly weights are cast once for all
            for images, labels in val:
                looked(images, labels)
        CLOCK.epoch()
    return first


@dataclass(frozen=True)
class _Recording:
    images: Tensor
    labels: Tensor
    replay: Callable[[], None]
    gradients: list[Tensor | None]


class Recorded:
    """What `work` does with a batch, as a graph for each of their shapes."""

    def __init__(self, work: Work, network: nn.Module, recorder: Recorder) -> None:
        self.work, self.parameters, self.recorder = work, list(network.parameters()), recorder
        self.known: dict[torch.Size, _Recording] = {}

    def __call__(self, images: Tensor, labels: Tensor) -> None:
        """Do it with this batch: its gradients are those of this batch alone."""
        if images.shape not in self.known:
            self.known[images.shape] = self._record(images.clone(), labels.clone())
        one = self.known[images.shape]
        one.images.copy_(images)
        one.labels.copy_(labels)
        if torch.is_grad_enabled():
            for parameter, gradient in zip(self.parameters, one.gradients, strict=True):
                parameter.grad = gradient
        one.replay()

    def _record(self, images: Tensor, labels: Tensor) -> _Recording:
        def work() -> tuple[Tensor, ...]:
            self.work(images, labels)
            return ()

        with self.recorder.aside():
            for _ in range(WARM_UP):
                self._forget_gradients()
                work()
        self._forget_gradients()  # so that the recording makes its own, which a replay writes anew
        replay, _ = self.recorder.record(work)
        return _Recording(images, labels, replay, [parameter.grad for parameter in self.parameters])

    def _forget_gradients(self) -> None:
        if torch.is_grad_enabled():
            for parameter in self.parameters:
                parameter.grad = None
