"""The learning-rate schedule, one of torch's kind by `_target_`, with a linear warm-up before it."""

import inspect
import math
import warnings
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LinearLR, LRScheduler, OneCycleLR, ReduceLROnPlateau, SequentialLR

from training.config import SchedulerConfig
from training.errors import ConfigError, Impossible
from training.schema.checks import need
from training.targets import bind, locate

COUNTS = {"step_size", "T_max", "T_0", "total_steps", "step_size_up", "step_size_down"}  # of steps or epochs
TRIED = 200  # steps: what goes wrong does so in the first ones, or is known by total_steps


class Schedule:
    """A torch schedule, stepped in its own unit, with a linear warm-up before it.

    T_max, total_steps and total_iters are filled with the length of training and max_lr with the optimizer's rates,
    where a schedule takes them and the config leaves them out. One-cycle (arXiv 1708.07120) warms up by itself:
    warmup_epochs sets its pct_start; and it cycles the momentum only of optimizers that have one.
    """

    def __init__(self, optimizer: Optimizer, config: SchedulerConfig, epochs: int, steps_per_epoch: int) -> None:
        self.per_step = config.interval == "step"
        total = epochs * steps_per_epoch if self.per_step else epochs
        warmup = config.warmup_epochs * steps_per_epoch if self.per_step else config.warmup_epochs
        whole = self.per_step or warmup == int(warmup)
        need(whole, f"scheduler.warmup_epochs={config.warmup_epochs}: a part of an epoch needs scheduler.interval=step")
        self.scheduler = _build(optimizer, config, total, round(warmup))

    def after_step(self) -> None:
        """Call after every optimizer step."""
        if self.per_step and self.scheduler is not None:
            self.scheduler.step()

    def after_epoch(self, val_loss: float) -> None:
        """Call after every epoch's validation."""
        if self.per_step or self.scheduler is None:
            return
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(val_loss)
        else:
            self.scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {} if self.scheduler is None else self.scheduler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken."""
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state)


def _build(optimizer: Optimizer, config: SchedulerConfig, total: int, warmup: int) -> LRScheduler | None:
    if config._target_ is None:
        return LinearLR(optimizer, 1 / (warmup + 1), total_iters=warmup) if warmup else None
    target = locate(config._target_, "scheduler")
    if not (isinstance(target, type) and issubclass(target, LRScheduler)):
        raise ConfigError(f"scheduler._target_={config._target_}: no learning-rate schedule of torch's kind")
    parameters = inspect.signature(target).parameters
    fill: dict[str, Any] = {"T_max": max(1, total - warmup), "total_iters": total - warmup, "total_steps": total}
    fill["max_lr"] = [group["lr"] for group in optimizer.param_groups]
    fill["cycle_momentum"] = "betas" in optimizer.defaults or bool(optimizer.defaults.get("momentum"))
    own_warmup = "pct_start" in parameters
    if own_warmup and warmup:  # torch reaches the top at step pct_start * total - 1, and has to come down from there
        fill["pct_start"] = min(warmup + 1, total - 0.5) / total
    arguments = {key: value for key, value in fill.items() if key in parameters} | config.kwargs
    _check_rates(optimizer, config)
    if target.__module__.startswith("torch."):
        _check_numbers(config)
    bind(target, "scheduler", optimizer, **arguments)
    plateau = issubclass(target, ReduceLROnPlateau)
    need(not plateau or config.interval == "epoch", "scheduler: ReduceLROnPlateau needs scheduler.interval=epoch")
    need(not plateau or not warmup, "scheduler: ReduceLROnPlateau takes no warmup_epochs")
    try:
        main: LRScheduler = target(optimizer, **arguments)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise Impossible(f"scheduler: {error}") from error
    if not warmup or own_warmup:
        return main
    return SequentialLR(optimizer, [LinearLR(optimizer, 1 / (warmup + 1), total_iters=warmup), main], [warmup])


def _check_numbers(config: SchedulerConfig) -> None:
    """Settings that torch takes, and that fail or do nothing in the first epochs."""
    for key in COUNTS & config.kwargs.keys():
        value = config.kwargs[key]
        ok = isinstance(value, int | float) and not isinstance(value, bool) and value >= 1
        need(ok, f"scheduler.kwargs.{key}={value}: expected 1 or more")
    milestones = config.kwargs.get("milestones")
    for value in milestones if isinstance(milestones, list) else []:
        need(isinstance(value, int), f"scheduler.kwargs.milestones: {value} is no whole number of {config.interval}s")
    gamma = config.kwargs.get("gamma", 0.0)
    ok = isinstance(gamma, int | float) and 0 <= gamma < math.inf
    need(ok, f"scheduler.kwargs.gamma={gamma}: expected a factor of 0 or more")


def _check_rates(optimizer: Optimizer, config: SchedulerConfig) -> None:
    """A rate that is the same for all groups would undo layer_decay and head_lr_factor."""
    rates = [group["lr"] for group in optimizer.param_groups]
    if min(rates) < max(rates):
        by_head = any("head_lr_factor" in group for group in optimizer.param_groups)
        key = "optimizer.head_lr_factor" if by_head else "optimizer.layer_decay"
        need(
            "max_lr" not in config.kwargs,
            f"scheduler.kwargs.max_lr: leave it out with {key}, which gives layers rates of their own",
        )
        least = config.kwargs.get("eta_min", 0.0)
        need(
            least <= min(rates),
            f"scheduler.kwargs.eta_min={least} is above the lowest rate of {key}, {min(rates):.3g}",
        )


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
    for step in range(1, min(total, TRIED) + 1):
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
