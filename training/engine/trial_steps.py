"""A few steps of an optimizer and of a schedule before the run: some settings are only refused when they are used.

Nothing of the run is touched: the optimizer steps one tiny tensor of its own, the schedule the rates of a network
without numbers.
"""

import math
import warnings

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

from training.config import AUTO, OptimizerConfig, need
from training.engine.optimizer import build_optimizer
from training.engine.schedule import Schedule
from training.errors import ConfigError, Impossible

STEPS = 200  # of a schedule: what goes wrong does so in the first ones, or is known by total_steps
ONLY_CUDA = {"capturable"}  # settings that a step on the CPU would refuse


def try_optimizer(config: OptimizerConfig) -> None:
    """One step of such an optimizer. Raises ConfigError."""
    if ONLY_CUDA & config.kwargs.keys():
        return
    layer = nn.Linear(2, 2, bias=False, device="meta").to_empty(device="cpu")  # drawn from no random numbers
    nn.init.zeros_(layer.weight)
    lr = 1e-3 if config.lr == AUTO else config.lr
    plain = OptimizerConfig(config._target_, lr, config.weight_decay, kwargs=config.kwargs)
    optimizer = build_optimizer(layer, plain)
    layer.weight.grad = torch.ones_like(layer.weight)
    try:
        optimizer.step()
    except Exception as error:
        reason = " ".join(str(error).split()).partition(", but expected one of")[0]
        raise Impossible(f"optimizer: its first step raises {type(error).__name__}: {reason}") from error


def try_schedule(schedule: Schedule, optimizer: Optimizer, total: int) -> None:
    """The rates of a schedule over the first of `total` steps (or epochs, where these are its unit) stay finite numbers
    of 0 or more. Raises ConfigError."""
    scheduler = schedule.scheduler
    if scheduler is None:
        return
    if isinstance(scheduler, OneCycleLR):
        unit = "steps" if schedule.per_step else "epochs"
        known = scheduler.total_steps
        need(known >= total, f"scheduler: total_steps={known}, but training has {total} {unit}; leave it out")
    for step in range(1, min(total, STEPS) + 1):
        _step(schedule, step)
        for group in optimizer.param_groups:
            rate = float(group["lr"])
            if not (math.isfinite(rate) and rate >= 0):
                raise ConfigError(f"scheduler: the learning rate becomes {rate:g} after {step}; expected 0 or more")


def _step(schedule: Schedule, step: int) -> None:
    scheduler = schedule.scheduler
    try:
        with warnings.catch_warnings(action="ignore"):  # that the optimizer has not stepped
            if isinstance(scheduler, ReduceLROnPlateau):
                scheduler.step(1.0)
            elif scheduler is not None:
                scheduler.step()
    except Exception as error:
        raise Impossible(f"scheduler: step {step} raises {type(error).__name__}: {error}") from error
