"""Recorded steps: every bit is the plain step's. A tape (tests/helpers/tape.py) stands for the CUDA graph, so that this
holds where there is no GPU; test_gpu.py asks for the same on one."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from batching import PLAIN, dataset
from own_parts import tiny
from own_training import GradientNoise
from tape import Tape
from torch import Tensor, nn

from training.config import OptimizerConfig, SchedulerConfig, TrainerConfig
from training.data.batches import Batches
from training.data.image_store import ImageStore
from training.device import Compute
from training.engine.evaluation import evaluate
from training.engine.hardware.graphs import BrokenRecording, CaptureError, Graphs
from training.engine.loop import Trainer, changed_by, reseed
from training.engine.loss import cross_entropy
from training.engine.optimizer import build_optimizer
from training.engine.schedule import Schedule
from training.engine.techniques import EpochContext, Technique
from training.engine.techniques.ema import Ema
from training.engine.techniques.freeze import Freeze
from training.engine.techniques.mixup import Mixup
from training.schema.data_config import AugmentConfig, DataConfig

TORCH = "torch.optim.lr_scheduler."
STANDARD = AugmentConfig(flip=0.5, crop_scale=[0.35, 1.0])
MIXUP = AugmentConfig(mixup=0.5, cutmix=1.0)
IMAGES, BATCH, EPOCHS = 27, 4, 4  # six whole batches and one of three


@dataclass
class Case:
    """One training, all but its network and data."""

    techniques: Callable[[], Sequence[Technique]] = list
    augment: AugmentConfig = field(default_factory=lambda: STANDARD)
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(lr=0.01, weight_decay=0.05))
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)
    accumulate: int = 1
    clip_norm: float | None = None
    precision: str = "fp32"
    weights: Tensor | None = None  # of the classes, in the loss
    on_device: bool = True


CASES = {
    "plain": Case(),
    "images come from elsewhere": Case(on_device=False),
    "clipped": Case(clip_norm=0.1),
    "bf16": Case(precision="bf16"),
    "ema": Case(lambda: [Ema(0.9)]),
    "frozen at first": Case(lambda: [Freeze(2, EPOCHS)]),
    "mixed": Case(lambda: [Mixup(MIXUP)], augment=MIXUP),
    "accumulated": Case(accumulate=3, clip_norm=0.1),
    "accumulated and frozen at first": Case(lambda: [Freeze(2, EPOCHS)], accumulate=2),
    "layer decay": Case(optimizer=OptimizerConfig(lr=0.01, layer_decay=0.5)),
    "one cycle": Case(scheduler=SchedulerConfig(TORCH + "OneCycleLR", interval="step")),
    "warm-up": Case(scheduler=SchedulerConfig(TORCH + "CosineAnnealingLR", warmup_epochs=1.5, interval="step")),
    "sgd": Case(optimizer=OptimizerConfig("torch.optim.SGD", lr=0.1, kwargs={"momentum": 0.9})),
    "class weights": Case(weights=torch.tensor([0.5, 2.0])),
    "gradients changed": Case(lambda: [GradientNoise(0.1)], clip_norm=0.1),
}


def trained(case: Case, tape: Tape | None, model: nn.Module | None = None) -> tuple[list[Any], list[Tensor]]:
    """What every epoch comes to, with the scores of validation, and all tensors at the end."""
    torch.manual_seed(0)
    data, model = dataset(IMAGES), model or tiny(2)
    compute = Compute("cpu", case.precision, "channels_last")
    model.to(memory_format=torch.channels_last)
    batches = Batches(data, ImageStore(data, DataConfig(size=16)), PLAIN, compute)
    if case.on_device:
        batches.use(batches.store.copied_to("cpu"))
    optimizer, techniques = build_optimizer(model, case.optimizer), case.techniques()
    for technique in techniques:
        technique.start(model, optimizer)
    steps = -(-7 // case.accumulate)
    schedule = Schedule(optimizer, case.scheduler, EPOCHS, steps)
    trainer = Trainer(
        model, optimizer, schedule, torch.amp.GradScaler("cpu", enabled=False),
        TrainerConfig(epochs=EPOCHS, accumulate=case.accumulate, clip_norm=case.clip_norm), compute,
        techniques=techniques, loss=lambda scores, labels: cross_entropy(scores, labels, 0.1, case.weights),
        recorder=None if tape is None else lambda: tape,
    )  # fmt: skip
    found: list[Any] = []
    for epoch in range(1, EPOCHS + 1):
        reseed(0, epoch)
        given = 0, epoch, BATCH, case.augment
        slices = None if case.augment is MIXUP else batches.train_slices(*given)
        context = EpochContext(0, epoch, 2)
        once = changed_by(techniques, batches.train(*given), context) if slices is None else slices
        result = trainer.epoch(once, lambda: None, epoch)
        scores = trainer.evaluate(batches.eval_slices("train", 2) or batches.evaluate("train", 2)).logits.tolist()
        norms = [parameter.grad.norm().item() for parameter in model.parameters() if parameter.grad is not None]
        found.append((result.loss, result.acc, result.grad_norm, result.images, scores, norms))
        schedule.after_epoch(1.0)
    return found, [*model.state_dict().values(), *trainer.eval_model.state_dict().values()]


@pytest.mark.parametrize("case", CASES)
def test_a_recorded_step_is_the_plain_one_to_the_bit(case: str) -> None:
    tape = Tape()
    plain, recorded = trained(CASES[case], None), trained(CASES[case], tape)
    assert recorded[0] == plain[0]
    assert all(map(torch.equal, recorded[1], plain[1]))
    assert tape.recorded >= 2 and tape.replayed > 3 * tape.recorded, "and it was recorded, each kind of step once"


class Broken(nn.Module):
    """A small network that does what can't be recorded."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.calls = kind, 0
        self.layers = tiny(2)

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        scores: Tensor = self.layers(images)
        if self.kind == "looks at a number":
            return scores * 2 if scores.sum() > 0 else scores
        if self.kind == "draws in Python":
            return scores * random.random()
        if self.kind == "draws in NumPy":
            return scores * float(np.random.rand())
        if self.kind == "counts":
            return scores * self.calls
        return scores * 2 if self.calls == 5 else scores  # which is when it is recorded


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("looks at a number", "RuntimeError: operation not permitted when stream is capturing"),
        ("draws in Python", "it draws random numbers of Python, NumPy or torch's CPU generator"),
        ("draws in NumPy", "it draws random numbers of Python, NumPy or torch's CPU generator"),
        ("counts", "two plain steps from one state differ: it counts them, or isn't deterministic"),
        ("changes once", "its replay is not the plain step to the bit"),
    ],
)
def test_what_cannot_be_recorded_is_refused(kind: str, message: str) -> None:
    with pytest.raises(CaptureError) as caught:
        trained(Case(), Tape(), Broken(kind))
    assert str(caught.value) == message


def test_a_lack_of_memory_stays_one() -> None:
    class Short(Tape):
        def record(self, work: Any) -> Any:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError) as caught:
        trained(Case(), Short())
    assert isinstance(caught.value.__cause__, BrokenRecording), "in a recording: its process is of no more use"


def test_evaluation_replays_what_it_has_recorded() -> None:
    data, model = dataset(9), tiny(2)
    compute = Compute("cpu", "fp32", "channels_last")
    batches = Batches(data, ImageStore(data, DataConfig(size=16)), PLAIN, compute)
    batches.use(batches.store.copied_to("cpu"))
    tape = Tape()
    graphs = Graphs(tape, "cpu")
    for round_ in range(3):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.01  # a graph reads the weights of now
        slices = batches.eval_slices("train", 1)
        assert slices is not None and [one.count for one in slices] == [4, 4, 1]
        found = evaluate(model, slices, compute, graphs)
        plain = evaluate(model, batches.evaluate("train", 1), compute)
        assert np.array_equal(found.logits, plain.logits) and found.labels.tolist() == plain.labels.tolist()
        assert tape.recorded == min(round_ + 1, 2)
    assert tape.replayed == 1 + 3 + 3
