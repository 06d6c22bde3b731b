"""optimizer.head_lr_factor: the layer that makes the class scores has a learning rate of its own."""

from pathlib import Path

import pytest
import torch
from conftest import QUICK, Door
from mending import unbroken_and_mended
from outcome import TINY, history_of, only_run
from rates import learning_rates
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from training.config import ModelConfig, OptimizerConfig, SchedulerConfig
from training.engine.optimizer import base_rate, build_optimizer
from training.engine.schedule import Schedule
from training.errors import ConfigError
from training.models.build import build_model, torchvision_model

TIMM = ModelConfig("training.models.timm_models.Timm", "convnext_atto", accepts=["name"])


def moved(model: nn.Module, **settings: float) -> dict[str, float]:
    """By how much a step of SGD with lr 0.5 and gradients of one moves each parameter."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0).grad = torch.ones_like(parameter)
    config = OptimizerConfig("torch.optim.SGD", lr=0.5, head_lr_factor=10, **settings)  # type: ignore[arg-type]
    build_optimizer(model, config).step()
    return {name: round(1 - float(parameter.detach().mean()), 4) for name, parameter in model.named_parameters()}


def test_head_moves_ten_times_as_far_and_nothing_else_does() -> None:
    """(Weight decay of 0.1 adds a tenth to weights of one, norms and biases spared.)"""
    steps = moved(torchvision_model("resnet18", 4), weight_decay=0.1)
    assert steps.pop("fc.weight") == 5.5 and steps.pop("fc.bias") == 5
    assert set(steps.values()) == {0.5, 0.55}


@pytest.mark.parametrize("family", ["torchvision", "timm"])
def test_other_layers_keep_the_rates_of_layer_decay(family: str) -> None:
    model = torchvision_model("swin_t", 4) if family == "torchvision" else build_model(TIMM, 4)
    steps = moved(model, layer_decay=0.5)
    head = {"torchvision": "head", "timm": "head.fc"}[family]
    of_head = {name: steps.pop(name) for name in (f"{head}.weight", f"{head}.bias")}
    assert set(of_head.values()) == {5.0}
    assert max(steps.values()) <= 0.5 and len(set(steps.values())) > 3


@pytest.mark.parametrize("name", ["CosineAnnealingLR", "OneCycleLR"])
def test_schedules_keep_the_factor(name: str) -> None:
    optimizer = build_optimizer(torchvision_model("resnet18", 4), OptimizerConfig(lr=0.1, head_lr_factor=10))
    config = SchedulerConfig(f"torch.optim.lr_scheduler.{name}", 1, "epoch")
    schedule = Schedule(optimizer, config, epochs=6, steps_per_epoch=1)
    seen = set()
    for _ in range(5):
        rates = learning_rates(optimizer)
        assert rates["fc"] == pytest.approx(10 * rates["all"]) and base_rate(optimizer) == pytest.approx(rates["all"])
        seen.add(rates["fc"])
        optimizer.step()
        schedule.after_epoch(1.0)
    assert len(seen) > 3


def test_run_shows_both_rates(train: Door, tmp_path: Path) -> None:
    result = train(*QUICK, TINY, "scheduler=none", "optimizer.lr=1e-3", "optimizer.head_lr_factor=10")
    assert result.code == 0, result.err
    folder = only_run(tmp_path / "outputs")
    events = EventAccumulator(str(folder)).Reload()
    rates = [tag for tag in events.Tags()["scalars"] if tag.startswith("learning_rate/")]
    shown = {tag.rpartition("/")[2]: events.Scalars(tag)[0].value for tag in rates}
    assert shown == pytest.approx({"all_weights": 1e-3, "head": 1e-2})
    assert [row["lr"] for row in history_of(folder)] == [1e-3, 1e-3], "optimizer.lr is that of the other layers"


@pytest.mark.slow
def test_run_resumes_to_the_bit(train: Door, tmp_path: Path) -> None:
    more = ["optimizer.head_lr_factor=10", "optimizer.layer_decay=0.7", "trainer.freeze_epochs=1", "trainer.ema=0.5"]
    unbroken_and_mended(train, tmp_path, *more)


def test_network_that_is_all_head_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"optimizer\.head_lr_factor needs a network with more than a head"):
        build_optimizer(nn.Linear(2, 2), OptimizerConfig(head_lr_factor=10))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["optimizer.head_lr_factor=0"], "optimizer.head_lr_factor=0.0: expected a factor above 0"),
        (
            ["optimizer.head_lr_factor=2", "+scheduler.kwargs.max_lr=0.1"],
            "scheduler.kwargs.max_lr: leave it out with optimizer.head_lr_factor",
        ),
    ],
)
def test_nonsense_is_refused(train: Door, arguments: list[str], message: str) -> None:
    result = train(*arguments)
    assert result.code == 2 and message in result.err, result.err
