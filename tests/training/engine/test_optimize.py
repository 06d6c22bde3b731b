"""Optimizers and schedules: what they do to the weights, which is what a number in a log only claims."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import QUICK, Door, run_folders
from outcome import TINY, history_of, only_run, outcome
from own_parts import tiny
from torch import nn

from training.config import OptimizerConfig, SchedulerConfig
from training.engine.optimizer import build_optimizer, gradient_norm, learning_rates
from training.engine.schedule import Schedule
from training.errors import ConfigError
from training.models.build import torchvision_model

LR, EPOCHS, STEPS = 0.5, 6, 5  # steps in an epoch
TOTAL = EPOCHS * STEPS
TORCH = "torch.optim.lr_scheduler."
SGD = OptimizerConfig("torch.optim.SGD", lr=LR)


def moves(
    scheduler: SchedulerConfig, optimizer: OptimizerConfig = SGD, losses: list[float] | None = None
) -> list[float]:
    """How far each step of a training moves a weight whose gradient is always one: with SGD, the learning rate."""
    layer = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    used = build_optimizer(layer, optimizer)
    schedule = Schedule(used, scheduler, EPOCHS, STEPS)
    distances = []
    for epoch in range(EPOCHS):
        for _ in range(STEPS):
            before = layer.weight.item()
            layer.weight.grad = torch.ones_like(layer.weight)
            (said,) = learning_rates(used).values()
            used.step()
            distances.append(before - layer.weight.item())
            assert distances[-1] == pytest.approx(said, abs=1e-12), "the rate that is logged is not the one used"
            schedule.after_step()
        schedule.after_epoch(losses[epoch] if losses else 1.0)
    return distances


def cosine(share: float) -> float:
    """From 1 at share 0 to 0 at share 1."""
    return (1 + math.cos(math.pi * share)) / 2


def one_cycle(step: float, top: float, total: int) -> float:
    """Smith & Topin's cycle as torch's defaults draw it: 1/25 at first, 1 at step `top`, 1/250000 at the end."""
    if step <= top:
        return 1 / 25 + (1 - 1 / 25) * (1 - cosine(step / top))
    return 1 / 250000 + (1 - 1 / 250000) * cosine((step - top) / (total - 1 - top))


Formula = Callable[[int, int], float]  # of step and epoch, both from 0, to the factor on the learning rate
SCHEDULES: dict[str, tuple[dict[str, Any], Formula]] = {
    "none": ({}, lambda step, epoch: 1),
    "none, warm-up": ({"warmup_epochs": 2}, lambda step, epoch: min(1, (epoch + 1) / 3)),
    "none, warm-up by step": (
        {"warmup_epochs": 1.4, "interval": "step"},
        lambda step, epoch: min(1, (step + 1) / 8),
    ),
    "exponential": (
        {"_target_": TORCH + "ExponentialLR", "kwargs": {"gamma": 0.7}},
        lambda step, epoch: 0.7**epoch,
    ),
    "exponential by step": (
        {"_target_": TORCH + "ExponentialLR", "interval": "step", "kwargs": {"gamma": 0.9}},
        lambda step, epoch: 0.9**step,
    ),
    "exponential, warm-up": (
        {"_target_": TORCH + "ExponentialLR", "warmup_epochs": 1, "kwargs": {"gamma": 0.7}},
        lambda step, epoch: 0.7 ** (epoch - 1) if epoch else 1 / 2,
    ),
    "step": (
        {"_target_": TORCH + "StepLR", "kwargs": {"step_size": 2, "gamma": 0.1}},
        lambda step, epoch: 0.1 ** (epoch // 2),
    ),
    "step, warm-up by step": (
        {"_target_": TORCH + "StepLR", "warmup_epochs": 0.6, "interval": "step", "kwargs": {"step_size": 10}},
        lambda step, epoch: (step + 1) / 4 if step < 3 else 0.1 ** ((step - 3) // 10),
    ),
    "cosine": (
        {"_target_": TORCH + "CosineAnnealingLR", "interval": "step", "kwargs": {"eta_min": 0.0}},
        lambda step, epoch: cosine(step / TOTAL),
    ),
    "cosine by epoch": (
        {"_target_": TORCH + "CosineAnnealingLR", "kwargs": {"eta_min": 0.1 * LR}},
        lambda step, epoch: 0.1 + 0.9 * cosine(epoch / EPOCHS),
    ),
    "cosine, warm-up": (
        {"_target_": TORCH + "CosineAnnealingLR", "interval": "step", "warmup_epochs": 2},
        lambda step, epoch: (step + 1) / 11 if step < 10 else cosine((step - 10) / (TOTAL - 10)),
    ),
    "one-cycle": (
        {"_target_": TORCH + "OneCycleLR", "interval": "step"},
        lambda step, epoch: one_cycle(step, 0.3 * TOTAL - 1, TOTAL),
    ),
    "one-cycle, warm-up": (
        {"_target_": TORCH + "OneCycleLR", "interval": "step", "warmup_epochs": 2},
        lambda step, epoch: one_cycle(step, 10, TOTAL),
    ),
    "one-cycle, warm-up by epoch": (
        {"_target_": TORCH + "OneCycleLR", "warmup_epochs": 1},
        lambda step, epoch: one_cycle(epoch, 1, EPOCHS),
    ),
    "polynomial": (
        {"_target_": TORCH + "PolynomialLR", "interval": "step", "kwargs": {"power": 2.0}},
        lambda step, epoch: (1 - step / TOTAL) ** 2,
    ),
    "warm restarts": (
        {"_target_": TORCH + "CosineAnnealingWarmRestarts", "kwargs": {"T_0": 2}},
        lambda step, epoch: cosine(epoch % 2 / 2),
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_moves_the_weights_by_its_formula(name: str) -> None:
    settings, formula = SCHEDULES[name]
    expected = [LR * formula(step, step // STEPS) for step in range(TOTAL)]
    assert moves(SchedulerConfig(**settings)) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_plateau_hears_of_the_validation_loss() -> None:
    plateau = SchedulerConfig(TORCH + "ReduceLROnPlateau", kwargs={"patience": 0, "factor": 0.5})
    found = moves(
        plateau, losses=[3.0, 2.0, 2.5, 1.0, 1.0, 0.5]
    )  # worse after the third epoch, no better after the fifth
    assert found[::STEPS] == pytest.approx([LR, LR, LR, LR / 2, LR / 2, LR / 4])


@pytest.mark.parametrize("epochs", [2, 3])
@pytest.mark.parametrize("interval", ["step", "epoch"])
def test_one_cycle_stands_short_trainings(epochs: int, interval: str) -> None:
    """torch divides by zero where the top is the first or the last step."""
    for warmup in range(epochs):
        layer = nn.Linear(1, 1)
        config = SchedulerConfig(TORCH + "OneCycleLR", warmup_epochs=warmup, interval=interval)
        optimizer = build_optimizer(layer, OptimizerConfig())
        schedule = Schedule(optimizer, config, epochs, steps_per_epoch=1)
        for _ in range(epochs):
            (rate,) = learning_rates(optimizer).values()
            assert 0 < rate <= 1e-3
            optimizer.step()
            schedule.after_step()
            schedule.after_epoch(1.0)


def test_one_cycle_cycles_a_momentum_only_where_there_is_one() -> None:
    cycle = SchedulerConfig(TORCH + "OneCycleLR", interval="step")
    layer = nn.Linear(1, 1)
    plain = build_optimizer(layer, OptimizerConfig("torch.optim.SGD", kwargs={"momentum": 0.0}))
    Schedule(plain, cycle, EPOCHS, STEPS)
    assert plain.param_groups[0]["momentum"] == 0
    heavy = build_optimizer(layer, OptimizerConfig("torch.optim.SGD", kwargs={"momentum": 0.9}))
    Schedule(heavy, cycle, EPOCHS, STEPS)
    assert heavy.param_groups[0]["momentum"] == 0.95
    Schedule(build_optimizer(layer, OptimizerConfig("torch.optim.Adagrad")), cycle, EPOCHS, STEPS)  # has none at all


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"warmup_epochs": 0.5}, "scheduler.warmup_epochs=0.5: a part of an epoch needs scheduler.interval=step"),
        (
            {"_target_": TORCH + "StepLR"},
            "scheduler: StepLR refuses these settings: missing a required argument: 'step_size'",
        ),
        ({"_target_": TORCH + "StepLR", "kwargs": {"size": 2}}, "scheduler: StepLR refuses these settings"),
        ({"_target_": TORCH + "ReduceLROnPlateau", "interval": "step"}, "needs scheduler.interval=epoch"),
        ({"_target_": TORCH + "ReduceLROnPlateau", "warmup_epochs": 1}, "takes no warmup_epochs"),
        ({"_target_": TORCH + "OneCycleLR", "kwargs": {"pct_start": 2.0}}, "pct_start"),
        ({"_target_": "torch.optim.SGD"}, "no learning-rate schedule of torch's kind"),
        ({"_target_": TORCH + "StepLr"}, "did you mean torch.optim.lr_scheduler.StepLR?"),
    ],
)
def test_impossible_schedule_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Schedule(build_optimizer(nn.Linear(1, 1), SGD), SchedulerConfig(**settings), EPOCHS, STEPS)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (OptimizerConfig("torch.optim.LBFGS"), "optimizer._target_=torch.optim.LBFGS: its step needs a closure"),
        (OptimizerConfig("torch.optim.Rprop", weight_decay=0.1), "torch.optim.Rprop has no weight_decay"),
        (OptimizerConfig("torch.optim.AdamW", kwargs={"lr": 1.0}), "optimizer.kwargs.lr: set optimizer.lr instead"),
        (OptimizerConfig("torch.optim.AdamW", kwargs={"beta": 1}), "optimizer: AdamW refuses these settings"),
        (OptimizerConfig("torch.optim.AdamW", kwargs={"betas": [2.0, 0.9]}), "optimizer: Invalid beta parameter"),
        (OptimizerConfig("torch.nn.Linear"), "optimizer._target_=torch.nn.Linear: no Optimizer"),
    ],
)
def test_impossible_optimizer_is_refused(config: OptimizerConfig, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_optimizer(nn.Linear(1, 1), config)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["RMSprop", "NAdam", "Adagrad", "Adadelta", "Adamax", "RAdam", "ASGD", "Rprop"])
def test_any_optimizer_of_torch_trains(name: str) -> None:
    layer = nn.Linear(3, 1)
    optimizer = build_optimizer(layer, OptimizerConfig(f"torch.optim.{name}", lr=0.01))
    inputs = torch.ones(8, 3)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = (layer(inputs) - 5).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def decayed(model: nn.Module, **values: Any) -> set[str]:
    """The parameters that a step with zero gradients moves: those that weight decay acts on."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0).grad = torch.zeros_like(parameter)
    build_optimizer(model, OptimizerConfig("torch.optim.SGD", lr=0.5, weight_decay=0.5, **values)).step()
    found = {
        name: {float(value) for value in parameter.detach().unique()} for name, parameter in model.named_parameters()
    }
    assert all(values in ({1.0}, {0.75}) for values in found.values())
    return {name for name, values in found.items() if values == {0.75}}


def test_weight_decay_spares_norms_and_biases() -> None:
    every = {name for name, _ in tiny(10).named_parameters()}
    assert decayed(tiny(10)) == {"first.weight", "branch.weight", "head.weight"}
    assert decayed(tiny(10), decay_norm_and_bias=True) == every


@pytest.mark.parametrize("name", ["swin_t", "swin_v2_t"])
def test_weight_decay_spares_relative_positions(name: str) -> None:
    with torch.device("meta"):
        model = torchvision_model(name, 10)
    groups = build_optimizer(model, OptimizerConfig(weight_decay=0.05)).param_groups
    assert {group["name"]: group["weight_decay"] for group in groups} == {"decay": 0.05, "no_decay": 0.0}
    names = {parameter: key for key, parameter in model.named_parameters()}
    spared = {names[parameter] for parameter in groups[1]["params"]}
    positions = ("relative_position_bias_table", "cpb_mlp", "logit_scale")
    expected = {key for key in names.values() if key.endswith("bias") or "norm" in key}
    expected |= {key for key in names.values() if any(part in key for part in positions)}
    expected |= {"features.0.2.weight", *(key for key in names.values() if key == "norm.weight")}
    assert spared == expected
    assert any(part in key for key in spared for part in positions)
    assert len(spared) + len(groups[0]["params"]) == len(names)


def test_clipping_limits_what_a_step_sees_and_tells_the_norm_before() -> None:
    layer = nn.Linear(2, 1, bias=False)
    layer.weight.grad = torch.tensor([[3.0, 4.0]])
    assert gradient_norm(layer, None).item() == 5
    assert layer.weight.grad.tolist() == [[3.0, 4.0]]
    assert gradient_norm(layer, 10.0).item() == 5
    assert layer.weight.grad.tolist() == [[3.0, 4.0]]
    assert gradient_norm(layer, 0.5).item() == 5
    assert layer.weight.grad.flatten().tolist() == pytest.approx([0.3, 0.4])


def test_norm_of_gradients_as_they_lie_in_memory() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 5, (3, 2)), nn.BatchNorm2d(5), nn.Conv2d(5, 7, 1))
    for layout in (torch.contiguous_format, torch.channels_last):
        model.to(memory_format=layout)
        model.zero_grad()
        model(torch.randn(2, 3, 12, 12).to(memory_format=layout)).square().sum().backward()
        model[0].weight.grad = model[0].weight.grad.transpose(2, 3).clone().transpose(2, 3)  # in neither order
        wanted = nn.utils.get_total_norm(p.grad for p in model.parameters())
        torch.testing.assert_close(gradient_norm(model, None), wanted, rtol=1e-5, atol=0)


def test_every_schedule_of_the_config_changes_the_weights(train: Door, tmp_path: Path) -> None:
    """Through the door: the same training but for the schedule ends with other weights."""
    folder_of = {}
    steps = {"step": ["scheduler.kwargs.step_size=1"]}
    for name in ("none", "exponential", "step", "cosine", "onecycle"):
        arguments = [*QUICK, TINY, "optimizer=sgd", f"scheduler={name}", *steps.get(name, []), f"sweep.name={name}"]
        assert train(*arguments).code == 0
        folder_of[name] = only_run(tmp_path / "outputs" / name)
    weights = {name: outcome(folder)["best.safetensors"] for name, folder in folder_of.items()}
    assert len(set(weights.values())) == 5, weights
    rates = {name: [row["lr"] for row in history_of(folder)] for name, folder in folder_of.items()}
    assert rates["none"] == [0.01, 0.01]
    assert rates["exponential"] == pytest.approx([0.01, 0.009])
    assert rates["step"] == pytest.approx([0.01, 0.001])
    assert rates["cosine"] == pytest.approx([0.01, 0.005])
    assert rates["onecycle"] == pytest.approx([0.01 * one_cycle(step, 0.3 * 4 - 1, 4) for step in (0, 2)])


def test_warm_up_changes_the_weights(train: Door, tmp_path: Path) -> None:
    for warmup in ("0", "1"):
        for name in ("none", "cosine", "onecycle"):
            assert train(*QUICK, TINY, f"scheduler={name}", f"scheduler.warmup_epochs={warmup}").code == 0
    folders = run_folders(tmp_path / "outputs")
    assert len({outcome(folder)["best.safetensors"] for folder in folders}) == len(folders) == 6


def test_optimizer_and_schedule_of_ones_own(train: Door, tmp_path: Path) -> None:
    own = ["optimizer._target_=torch.optim.RMSprop", "+optimizer.kwargs.alpha=0.9"]
    own += [f"scheduler._target_={TORCH}PolynomialLR", "+scheduler.kwargs.power=2", "scheduler.interval=epoch"]
    result = train(*QUICK, TINY, *own)
    assert result.code == 0, result.err
    folder = only_run(tmp_path / "outputs")
    assert folder.parent.name.startswith("tiny-none-rmsprop-lr0.001-polynomial-")
    assert [row["lr"] for row in history_of(folder)] == pytest.approx([1e-3, 0.25e-3])
    refused = train(*QUICK, TINY, "optimizer._target_=torch.optim.LBFGS", "optimizer.weight_decay=0")
    assert refused.code == 2 and "closure" in refused.err and "Traceback" not in refused.err
