"""Optimizers: what a step does to the weights, and those of a user's own."""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import QUICK, Door
from mending import MOVING, unbroken_and_mended
from outcome import TINY, history_of, only_run
from own_parts import tiny
from torch import nn

from training.config import OptimizerConfig
from training.engine.optimizer import Gradients, build_optimizer
from training.errors import ConfigError
from training.models.build import torchvision_model

TORCH = "torch.optim.lr_scheduler."
SIGN = ["optimizer._target_=own_training.Sign", "~optimizer.kwargs.momentum", "~optimizer.kwargs.nesterov"]


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
    assert Gradients(layer).norm(None).item() == 5
    assert layer.weight.grad.tolist() == [[3.0, 4.0]]
    assert Gradients(layer).norm(10.0).item() == 5
    assert layer.weight.grad.tolist() == [[3.0, 4.0]]
    assert Gradients(layer).norm(0.5).item() == 5
    assert layer.weight.grad.flatten().tolist() == pytest.approx([0.3, 0.4])


def test_norm_of_gradients_as_they_lie_in_memory() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 5, (3, 2)), nn.BatchNorm2d(5), nn.Conv2d(5, 7, 1))
    for layout in (torch.contiguous_format, torch.channels_last):
        model.to(memory_format=layout)
        model.zero_grad()
        model(torch.randn(2, 3, 12, 12).to(memory_format=layout)).square().sum().backward()
        model[0].weight.grad = model[0].weight.grad.transpose(2, 3).clone().transpose(2, 3)  # in neither order
        wanted = nn.utils.get_total_norm(p.grad for p in model.parameters())
        torch.testing.assert_close(Gradients(model).norm(None), wanted, rtol=1e-5, atol=0)


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


def test_classes_of_ones_own(train: Door, tmp_path: Path) -> None:
    """An Optimizer and an LRScheduler from outside, which go on after a break as if nothing had happened."""
    lines = [*SIGN, "+optimizer.kwargs.beta=0.5", "optimizer.weight_decay=0", "optimizer.lr=0.01"]
    lines += ["scheduler._target_=own_training.Triangle", "scheduler.interval=step"]
    unbroken, _ = unbroken_and_mended(train, tmp_path, *lines)
    assert unbroken.parent.name.startswith("tiny-none-sign-lr0.01-triangle-")
    factors = [1 - abs(step - 4) / 4 for step in (0, 2, 4, 6)]  # the first steps of the epochs; total_steps is 8
    assert [row["lr"] for row in history_of(unbroken)] == pytest.approx([0.01 * factor for factor in factors])
    refused = train(*MOVING, *SIGN, "optimizer.weight_decay=0.1")
    assert refused.code == 2 and "own_training.Sign has no weight_decay" in refused.err
