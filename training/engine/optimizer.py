"""Optimizer, parameter groups and learning-rate schedule, all from torch, all by `_target_`."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LinearLR, LRScheduler, ReduceLROnPlateau, SequentialLR

from training.config import OptimizerConfig, SchedulerConfig, need
from training.errors import ConfigError
from training.models.build import layers_of
from training.targets import bind, locate

# Parameters that weight decay should spare although they have more than one dimension, as in the papers' own code:
# Swin's relative position tables (arXiv 2103.14030) and what makes them in V2 (2111.09883), ViT's embeddings.
SPARED = ("relative_position_bias_table", "cpb_mlp", "logit_scale", "class_token", "pos_embedding")


def parameter_groups(model: nn.Module, config: OptimizerConfig) -> list[dict[str, Any]]:
    """The model's parameters, in one group, or in two where norms and biases are spared the weight decay.

    With layer_decay there are such groups for each layer (training/models/layers.py), whose learning rate is lr *
    layer_decay ^ (layers between it and the head): Clark et al. 2020 (ELECTRA, arXiv 2003.10555), Bao et al. 2021
    (BEiT, 2106.08254). Groups of a layer share its name.
    """
    if config.layer_decay is not None:
        layers = layers_of(model)
        places = {name: place for place, (_, names) in enumerate(layers) for name in names}
        found = []
        for place, (layer, _) in enumerate(layers):
            lr = float(config.lr) * config.layer_decay ** (len(layers) - 1 - place)
            mine = [(name, p) for name, p in model.named_parameters() if places[name] == place]
            found += [group | {"name": layer, "lr": lr} for group in _by_decay(mine, config)]
        return found
    return _by_decay(list(model.named_parameters()), config)


def _by_decay(named: list[tuple[str, nn.Parameter]], config: OptimizerConfig) -> list[dict[str, Any]]:
    named = [(name, parameter) for name, parameter in named if parameter.requires_grad]
    if config.weight_decay == 0 or config.decay_norm_and_bias:
        return [{"params": [parameter for _, parameter in named], "name": "all"}] if named else []
    spared = {name for name, p in named if p.ndim <= 1 or any(part in name for part in SPARED)}
    groups: list[dict[str, Any]] = [
        {"params": [p for name, p in named if name not in spared], "name": "decay"},
        {"params": [p for name, p in named if name in spared], "name": "no_decay", "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> Optimizer:
    """Any torch optimizer whose step needs no closure; in one kernel where it has one (torch's fused), unless kwargs
    say otherwise. Raises ConfigError when it refuses these settings."""
    target = locate(config._target_, "optimizer")
    need(
        isinstance(target, type) and issubclass(target, Optimizer),
        f"optimizer._target_={config._target_}: no Optimizer",
    )
    closure = inspect.signature(target.step).parameters.get("closure")  # type: ignore[attr-defined]
    ok = closure is None or closure.default is not inspect.Parameter.empty
    need(ok, f"optimizer._target_={config._target_}: its step needs a closure, which this loop doesn't give")
    for key in ("lr", "weight_decay"):
        need(key not in config.kwargs, f"optimizer.kwargs.{key}: set optimizer.{key} instead")
    arguments = dict(config.kwargs, lr=config.lr)
    if "weight_decay" in inspect.signature(target).parameters:
        arguments["weight_decay"] = config.weight_decay
    else:
        need(config.weight_decay == 0, f"optimizer._target_={config._target_} has no weight_decay")
    groups = parameter_groups(model, config)
    if _fusible(target, model) and not {"fused", "foreach", "differentiable"} & config.kwargs.keys():
        arguments["fused"] = True
    bind(target, "optimizer", groups, **arguments)
    try:
        optimizer: Optimizer = target(groups, **arguments)
    except (ValueError, TypeError) as error:
        need(False, f"optimizer: {error}")
        raise
    return optimizer


def _fusible(target: Callable[..., Any], model: nn.Module) -> bool:
    """Not SGD: its kernel wants momentum for all parameters or for none, and thawed ones (techniques/freeze.py)
    come later."""
    devices = {parameter.device.type for parameter in model.parameters()}
    return target in (torch.optim.Adam, torch.optim.AdamW) and devices <= {"cpu", "cuda"}


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
    bind(target, "scheduler", optimizer, **arguments)
    plateau = issubclass(target, ReduceLROnPlateau)
    need(not plateau or config.interval == "epoch", "scheduler: ReduceLROnPlateau needs scheduler.interval=epoch")
    need(not plateau or not warmup, "scheduler: ReduceLROnPlateau takes no warmup_epochs")
    try:
        main: LRScheduler = target(optimizer, **arguments)
    except (ValueError, TypeError, ArithmeticError) as error:
        need(False, f"scheduler: {error}")
        raise
    if not warmup or own_warmup:
        return main
    return SequentialLR(optimizer, [LinearLR(optimizer, 1 / (warmup + 1), total_iters=warmup), main], [warmup])


def _check_rates(optimizer: Optimizer, config: SchedulerConfig) -> None:
    """A rate that is the same for all groups would undo layer_decay."""
    rates = [group["lr"] for group in optimizer.param_groups]
    if min(rates) < max(rates):
        need(
            "max_lr" not in config.kwargs,
            "scheduler.kwargs.max_lr: leave it out with optimizer.layer_decay, which gives each layer its own",
        )
        least = config.kwargs.get("eta_min", 0.0)
        need(
            least <= min(rates),
            f"scheduler.kwargs.eta_min={least} is above the lowest rate of optimizer.layer_decay, {min(rates):.3g}",
        )


def learning_rates(optimizer: Optimizer) -> dict[str, float]:
    """Each parameter group's learning rate, read from the optimizer itself; of those with the same name it is one."""
    return {str(group["name"]): float(group["lr"]) for group in optimizer.param_groups}


def gradient_norm(model: nn.Module, limit: float | None) -> torch.Tensor:
    """The norm of all gradients together, before they are clipped to `limit`. (torch's takes a CPU longer.)"""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    if {(gradient.device.type, gradient.dtype) for gradient in gradients} == {("cpu", torch.float32)}:  # as BLAS likes
        norm = torch.stack([torch.dot(flat, flat) for flat in map(_flat, gradients)]).sum().sqrt()
    else:
        norm = nn.utils.get_total_norm(gradients)
    if limit is not None:
        nn.utils.clip_grads_with_norm_(model.parameters(), limit, norm)
    return norm


def _flat(gradient: torch.Tensor) -> torch.Tensor:
    """All its numbers in the order in which they lie in memory, so that nothing is copied."""
    last = gradient.ndim == 4 and gradient.is_contiguous(memory_format=torch.channels_last)
    return (gradient.permute(0, 2, 3, 1) if last else gradient).reshape(-1)
