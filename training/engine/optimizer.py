"""The optimizer, one of torch's kind by `_target_`, its parameter groups, and the norm of the gradients."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from training.config import OptimizerConfig
from training.engine.hardware.fused_adam import FUSED
from training.engine.techniques.muon import Muon
from training.errors import Impossible
from training.models.build import head_prefix, layers_of
from training.schema.checks import AUTO, need
from training.targets import bind, locate

# Parameters that weight decay should spare although they have more than one dimension, as in the papers' own code:
# Swin's relative position tables (arXiv 2103.14030) and what makes them in V2 (2111.09883), ViT's embeddings.
SPARED = ("relative_position_bias_table", "cpb_mlp", "logit_scale", "class_token", "pos_embedding")

FACTOR = "head_lr_factor"  # of the head's groups, where they have one
ONLY_CUDA = {"capturable"}  # settings that a step on the CPU would refuse


def parameter_groups(model: nn.Module, config: OptimizerConfig) -> list[dict[str, Any]]:
    """The model's parameters, in one group, or in two where norms and biases are spared the weight decay.

    With layer_decay there are such groups for each layer (training/models/layers.py), whose learning rate is lr *
    layer_decay ^ (layers between it and the head): Clark et al. 2020 (ELECTRA, arXiv 2003.10555), Bao et al. 2021
    (BEiT, 2106.08254). With head_lr_factor there are such groups for the head, whose rate is lr times that factor, as
    in Girshick et al. 2014 (R-CNN, 1311.2524). Groups of a layer share its name.
    """
    named = list(model.named_parameters())
    if config.head_lr_factor == 1:
        return _by_layer(model, named, config) if config.layer_decay is not None else _by_decay(named, config)
    head = head_prefix(model)
    if not head:
        raise Impossible("optimizer.head_lr_factor needs a network with more than a head; leave it out")
    rest = [(name, parameter) for name, parameter in named if not name.startswith(f"{head}.")]
    last = [(name, parameter) for name, parameter in named if name.startswith(f"{head}.")]
    groups = _by_layer(model, rest, config) if config.layer_decay is not None else _by_decay(rest, config)
    lr = float(config.lr) * config.head_lr_factor
    return groups + [
        group | {"name": head, "lr": lr, FACTOR: config.head_lr_factor} for group in _by_decay(last, config)
    ]


def _by_layer(model: nn.Module, named: list[tuple[str, nn.Parameter]], config: OptimizerConfig) -> list[dict[str, Any]]:
    assert config.layer_decay is not None
    layers = layers_of(model)
    places = {name: place for place, (_, names) in enumerate(layers) for name in names}
    groups = []
    for place, (layer, _) in enumerate(layers):
        lr = float(config.lr) * config.layer_decay ** (len(layers) - 1 - place)
        in_layer = [(name, p) for name, p in named if places[name] == place]
        groups += [group | {"name": layer, "lr": lr} for group in _by_decay(in_layer, config)]
    return groups


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
        if config.weight_decay != 0:
            raise Impossible(f"optimizer._target_={config._target_} has no weight_decay")
    groups = parameter_groups(model, config)
    if isinstance(target, type) and issubclass(target, Muon):
        groups = target.arranged(groups, model)
    bind(target, "optimizer", groups, **arguments)
    if _fusible(target, model) and not {"fused", "foreach", "differentiable"} & config.kwargs.keys():
        target, arguments["fused"] = FUSED[target], True
    try:
        optimizer: Optimizer = target(groups, **arguments)
    except (ValueError, TypeError) as error:
        raise Impossible(f"optimizer: {error}") from error
    return optimizer


def try_optimizer(config: OptimizerConfig) -> None:
    """One step of such an optimizer, with one tiny tensor: some settings are only refused when they are used. Raises
    ConfigError."""
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


def _fusible(target: Callable[..., Any], model: nn.Module) -> bool:
    """Not SGD: its kernel wants momentum for all parameters or for none, and thawed ones (techniques/freeze.py)
    come later."""
    kinds = {(parameter.device, parameter.dtype) for parameter in model.parameters()}
    return target in FUSED and len(kinds) == 1 and {device.type for device, _ in kinds} <= {"cpu", "cuda"}


def base_rate(optimizer: Optimizer) -> float:
    """What the schedule makes of optimizer.lr: the largest rate of all groups, but for the head's own factor."""
    return max(float(group["lr"]) / float(group.get(FACTOR, 1.0)) for group in optimizer.param_groups)


class Gradients:
    """The gradients of a network's parameters, which are looked up once."""

    def __init__(self, model: nn.Module) -> None:
        self.parameters = list(model.parameters())

    def clear(self, places: Sequence[tuple[nn.Parameter, torch.Tensor]] | None = None) -> None:
        """No gradients; or zeros in tensors that stay where they are, for parameters that have a place."""
        for parameter in self.parameters:
            parameter.grad = None
        if places:
            for parameter, gradient in places:
                parameter.grad = gradient
            torch._foreach_zero_([gradient for _, gradient in places])

    def norm(self, limit: float | None) -> torch.Tensor:
        """The norm of all gradients together, before they are clipped to `limit`. (torch's takes a CPU longer.)"""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if {(gradient.device.type, gradient.dtype) for gradient in gradients} == {("cpu", torch.float32)}:
            norm = torch.stack([torch.dot(flat, flat) for flat in map(_flat, gradients)]).sum().sqrt()  # as BLAS likes
        else:
            norm = nn.utils.get_total_norm(gradients)
        if limit is not None:
            nn.utils.clip_grads_with_norm_(self.parameters, limit, norm)
        return norm


def _flat(gradient: torch.Tensor) -> torch.Tensor:
    """All its numbers in the order in which they lie in memory, so that nothing is copied."""
    last = gradient.ndim == 4 and gradient.is_contiguous(memory_format=torch.channels_last)
    return (gradient.permute(0, 2, 3, 1) if last else gradient).reshape(-1)
