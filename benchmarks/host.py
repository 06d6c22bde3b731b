"""python -m benchmarks.host: the time of Python and torch's launches a training step, in ms.

A network of 62 tensors, as many as a resnet18 has, each of a few numbers, so that nothing but the host's work takes
time. What a GPU is waited for or not is no part of it.
"""

import statistics
import time

import torch
from torch import nn

from training.config import OptimizerConfig, SchedulerConfig, TrainerConfig
from training.device import Compute
from training.engine.loop import Trainer
from training.engine.optimizer import build_optimizer
from training.engine.schedule import Schedule
from training.engine.techniques.ema import Ema

LAYERS, STEPS, EPOCHS = 31, 100, 7


def measured(clip_norm: float | None, ema: bool) -> tuple[float, float]:
    """Ms a step: all of it, and without forward and backward. The median of some epochs."""
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(LAYERS)))
    optimizer = build_optimizer(model, OptimizerConfig(weight_decay=0.01))
    config = TrainerConfig(epochs=EPOCHS, clip_norm=clip_norm)
    cosine = SchedulerConfig("torch.optim.lr_scheduler.CosineAnnealingLR", interval="step")
    schedule = Schedule(optimizer, cosine, EPOCHS, STEPS)
    techniques = [Ema(0.99)] if ema else []
    for technique in techniques:
        technique.start(model, optimizer)
    compute = Compute("cpu", "fp32", "contiguous")
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    trainer = Trainer(model, optimizer, schedule, scaler, config, compute, techniques=techniques)
    batch = torch.randn(2, 2), torch.zeros(2, dtype=torch.int64)

    def passes() -> float:
        started = time.perf_counter()
        for _ in range(STEPS):
            model.zero_grad()
            nn.functional.cross_entropy(model(batch[0]), batch[1]).backward()
        return time.perf_counter() - started

    whole, bare = [], []
    for epoch in range(1, EPOCHS + 1):
        whole.append(trainer.epoch([batch] * STEPS, lambda: None, epoch).seconds)
        bare.append(passes())
    step = statistics.median(whole) / STEPS
    return 1000 * step, 1000 * (step - statistics.median(bare) / STEPS)


def main() -> None:
    torch.set_num_threads(1)
    for name, clip_norm, ema in (("plain", None, False), ("clipped", 1.0, False), ("ema", None, True)):
        print("{}: {:.2f} ms a step, {:.2f} without forward and backward".format(name, *measured(clip_norm, ema)))


if __name__ == "__main__":
    main()
