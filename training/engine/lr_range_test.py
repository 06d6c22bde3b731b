"""A learning rate from a range test (Smith 2017, arXiv 1506.01186): optimizer.lr=auto.

A copy of the network is trained on the batches of the run's first epochs, while the rate grows exponentially from step
to step. Where the loss falls fastest, the rate is of use; where it rises again, the rate is too large.
"""

import copy
import itertools
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from training.config import RunConfig, SchedulerConfig
from training.console.progress import bar
from training.data.batches import Batches
from training.device import Compute
from training.engine.loop import Trainer, changed_by, grouped, reseed
from training.engine.loss import Loss, cross_entropy
from training.engine.optimizer import build_optimizer
from training.engine.schedule import Schedule
from training.engine.techniques import EpochContext, active_techniques
from training.run_folder import write_whole
from training.schema.checks import need

CURVE = "lr_find.csv"
LOW, HIGH, STEPS = 1e-7, 1.0, 100
DIVERGED = 4.0  # times the least smoothed loss so far
WIDTH = 0.2  # decades: the standard deviation of the Gaussian that smooths the loss
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RangeTest:
    """Rate and loss of every step [n], the smoothed loss [n], and the rate that they suggest."""

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestion: float
    seconds: float


def range_test(
    model: nn.Module,
    batches: Batches,
    config: RunConfig,
    compute: Compute,
    low: float = LOW,
    high: float = HIGH,
    steps: int = STEPS,
    loss: Loss = cross_entropy,
    micro_batch: int | None = None,
) -> RangeTest:
    """Train a copy of `model` for up to `steps` optimizer steps, the rate from `low` to `high`; ends when the loss
    diverges. Optimizer, precision, augmentation and batches are the run's, the schedule is not.
    Depends on the config and its seed alone, and leaves `model` as it was. Raises ConfigError where no rate lowers the
    loss."""
    started = time.perf_counter()
    rates = np.geomspace(low, high, steps)
    trainer = _trainer(copy.deepcopy(model), config, compute, loss, micro_batch)
    shares = [parameters["lr"] / LOW for parameters in trainer.optimizer.param_groups]  # less than 1 with layer_decay
    reseed(config.draws, 0)  # a run's epochs count from 1
    losses: list[float] = []
    least, mean = math.inf, 0.0
    groups = grouped(_endless_batches(batches, config), config.trainer.accumulate)
    with bar("trying learning rates", steps) as advance:
        for step, (rate, group) in enumerate(zip(rates, groups, strict=False), start=1):
            for parameters, share in zip(trainer.optimizer.param_groups, shares, strict=True):
                parameters["lr"] = float(rate) * share
            value = trainer.epoch(group, lambda: None).loss
            mean = 0.9 * mean + 0.1 * value
            smoothed = mean / (1 - 0.9**step)
            if not math.isfinite(value) or smoothed > DIVERGED * least:
                break
            least = min(least, smoothed)
            losses.append(value)
            advance()
    tried, measured = rates[: len(losses)], np.array(losses)
    smooth = smoothed_over(tried, measured)
    return RangeTest(tried, measured, smooth, suggest(tried, smooth), time.perf_counter() - started)


def _trainer(model: nn.Module, config: RunConfig, compute: Compute, loss: Loss, micro_batch: int | None) -> Trainer:
    optimizer = build_optimizer(model, replace(config.optimizer, lr=LOW))
    scaler = torch.amp.GradScaler(compute.device.partition(":")[0], enabled=compute.precision == "fp16")
    schedule = Schedule(optimizer, SchedulerConfig(), 1, 1)
    return Trainer(model, optimizer, schedule, scaler, config.trainer, compute, loss=loss, micro_batch=micro_batch)


def _endless_batches(batches: Batches, config: RunConfig) -> Iterator[tuple[Tensor, Tensor]]:
    techniques = active_techniques(config).values()
    for epoch in itertools.count(1):
        once = batches.train(config.draws, epoch, config.trainer.batch_size, config.augment)
        context = EpochContext(config.draws, epoch, len(batches.dataset.classes))
        yield from changed_by(techniques, once, context)


def smoothed_over(rates: np.ndarray, losses: np.ndarray) -> np.ndarray:
    """Losses [n], smoothed by a Gaussian over log10 of the rate [n]. (A running mean would lag.)"""
    place = np.log10(rates)
    weights = np.exp(-0.5 * ((place[:, None] - place[None, :]) / WIDTH) ** 2)
    smooth: np.ndarray = weights @ losses / weights.sum(1)
    return smooth


def suggest(rates: np.ndarray, smoothed: np.ndarray) -> float:
    """The rate [n] at which the smoothed loss [n] falls fastest per decade, before its minimum. Raises ConfigError."""
    lowest = int(smoothed.argmin()) if len(smoothed) else 0
    need(lowest > 0, "no learning rate of the range test lowers the loss; set optimizer.lr=NUMBER, or try other --low")
    slope = np.gradient(smoothed, np.log10(rates))
    return float(rates[int(slope[: lowest + 1].argmin())])


def suggested_rate(
    model: nn.Module,
    batches: Batches,
    config: RunConfig,
    compute: Compute,
    folder: Path,
    loss: Loss,
    micro_batch: int | None,
) -> float:
    """The suggestion for a run with optimizer.lr=auto; the curve stays in its folder as lr_find.csv."""
    test = range_test(model, batches, config, compute, loss=loss, micro_batch=micro_batch)
    write_whole(folder / CURVE, as_csv(test).encode())
    log.info("optimizer.lr=auto: %.3g, from %d steps in %.1f s", test.suggestion, len(test.rates), test.seconds)
    return test.suggestion


def as_csv(test: RangeTest) -> str:
    """Rows rate,loss,smoothed_loss."""
    rows = zip(test.rates, test.losses, test.smoothed, strict=True)
    return "rate,loss,smoothed_loss\n" + "".join(f"{rate:.6g},{loss:.6g},{smooth:.6g}\n" for rate, loss, smooth in rows)
