"""Optimizers and schedules: what they do to the weights, which is what a number in a log only claims."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import QUICK, Door, run_folders
from outcome import TINY, history_of, only_run, outcome
from rates import learning_rates
from torch import nn

from training.config import OptimizerConfig, SchedulerConfig
from training.engine.optimizer import build_optimizer
from training.engine.schedule import Schedule
from training.errors import ConfigError

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
