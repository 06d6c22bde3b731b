"""optimizer.layer_decay: which layers there are, how far each of them moves, and that schedules scale them all."""

from pathlib import Path

import pytest
import torch
from conftest import QUICK, Door
from outcome import history_of, only_run
from own_parts import smooth, tiny
from rates import learning_rates
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from training.config import OptimizerConfig, SchedulerConfig
from training.engine.optimizer import build_optimizer
from training.engine.schedule import Schedule
from training.errors import ConfigError
from training.models.build import layers_of, torchvision_model

BLOCKS = {"swin_t": (2, 2, 6, 2), "swin_v2_s": (2, 2, 18, 2)}


def sketch(name: str) -> nn.Module:
    with torch.device("meta"):
        return torchvision_model(name, 10)


def test_layers_of_a_resnet() -> None:
    layers = dict(layers_of(sketch("resnet50")))
    assert [*layers] == ["stem", "layer1", "layer2", "layer3", "layer4", "head"]
    assert layers["stem"] == ["conv1.weight", "bn1.weight", "bn1.bias"]
    assert layers["head"] == ["fc.weight", "fc.bias"]
    assert all(name.startswith("layer3.") for name in layers["layer3"])


@pytest.mark.parametrize("name", BLOCKS)
def test_layers_of_a_swin(name: str) -> None:
    layers = dict(layers_of(sketch(name)))
    count = sum(BLOCKS[name])
    assert [*layers] == ["patch_embedding", *(f"block{number:02}" for number in range(1, count + 1)), "head"]
    assert layers["patch_embedding"][0] == "features.0.0.weight"
    assert {part.rpartition(".")[0] for part in layers["head"]} == {"norm", "head"}
    assert {part.split(".")[1] for part in layers["block02"]} == {"1", "2"}, "and the merging after the first stage"
    assert {".".join(part.split(".")[1:3]) for part in layers["block03"]} == {"3.0"}
    assert {".".join(part.split(".")[1:3]) for part in layers[f"block{count}"]} == {"7.1"}


def test_layers_of_others() -> None:
    vit = [name for name, _ in layers_of(sketch("vit_b_16"))]
    assert vit == ["patch_embedding", *(f"block{number:02}" for number in range(1, 13)), "head"]
    assert [name for name, _ in layers_of(tiny(10))] == ["first", "norm", "branch", "head"]
    assert [name for name, _ in layers_of(smooth(10))] == ["0", "1", "5"]
    vgg = [name for name, _ in layers_of(sketch("vgg11"))]
    assert vgg[:2] == ["features.0", "features.3"] and vgg[-1] == "classifier.6"
    with pytest.raises(ConfigError, match="needs a network with several layers as its children; Linear has first only"):
        layers_of(nn.Linear(2, 2))


@pytest.mark.parametrize("name", ["resnet18", "swin_t", "convnext_tiny", "mobilenet_v3_small"])
def test_every_parameter_is_in_one_layer(name: str) -> None:
    model = sketch(name)
    names = [part for _, parts in layers_of(model) for part in parts]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())


def test_each_layer_moves_by_its_own_rate_and_norms_are_spared_the_decay() -> None:
    """SGD with gradients of one: a step is the learning rate, and weight decay 0.1 of weights of one adds a tenth."""
    model = torchvision_model("resnet18", 10)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0).grad = torch.ones_like(parameter)
    config = OptimizerConfig("torch.optim.SGD", lr=0.5, weight_decay=0.1, layer_decay=0.6)
    optimizer = build_optimizer(model, config)
    optimizer.step()
    depth = {"conv1": 5, "bn1": 5, "layer1": 4, "layer2": 3, "layer3": 2, "layer4": 1, "fc": 0}
    for name, parameter in model.named_parameters():
        expected = 0.5 * 0.6 ** depth[name.partition(".")[0]] * (1.1 if parameter.ndim > 1 else 1)
        moved = 1 - parameter.detach()
        torch.testing.assert_close(moved, torch.full_like(moved, expected), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["CosineAnnealingLR", "OneCycleLR", "StepLR"])
def test_schedules_scale_all_layers_alike(name: str) -> None:
    optimizer = build_optimizer(tiny(10), OptimizerConfig("torch.optim.SGD", lr=1.0, layer_decay=0.5))
    kwargs = {"step_size": 1} if name == "StepLR" else {}
    config = SchedulerConfig(f"torch.optim.lr_scheduler.{name}", 1, "epoch", kwargs)
    schedule = Schedule(optimizer, config, epochs=6, steps_per_epoch=1)
    seen = set()
    for _ in range(5):
        rates = learning_rates(optimizer)
        assert list(rates) == ["first", "norm", "branch", "head"]
        assert [rate / rates["head"] for rate in rates.values()] == pytest.approx([0.125, 0.25, 0.5, 1])
        seen.add(rates["head"])
        optimizer.step()
        schedule.after_epoch(1.0)
    assert len(seen) > 3


def test_run_with_layer_decay_shows_each_layer(train: Door, tmp_path: Path) -> None:
    result = train(*QUICK, "model=resnet18", "scheduler=none", "optimizer.lr=1e-3", "optimizer.layer_decay=0.5")
    assert result.code == 0, result.err
    folder = only_run(tmp_path / "outputs")
    events = EventAccumulator(str(folder)).Reload()
    rates = [tag for tag in events.Tags()["scalars"] if tag.startswith("learning_rate/")]
    shown = {tag.partition("/")[2]: events.Scalars(tag)[0].value for tag in rates}
    layers = ["stem", "layer1", "layer2", "layer3", "layer4", "head"]
    assert shown == pytest.approx({layer: 1e-3 * 0.5**depth for depth, layer in enumerate(layers[::-1])})
    assert [row["lr"] for row in history_of(folder)] == [1e-3, 1e-3], "optimizer.lr is the head's"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["optimizer.layer_decay=0"], "optimizer.layer_decay=0.0: expected a factor above 0, up to 1"),
        (["optimizer.layer_decay=1.1"], "optimizer.layer_decay=1.1: expected a factor above 0, up to 1"),
        (["optimizer.layer_decay=0.5", "+scheduler.kwargs.max_lr=0.1"], "scheduler.kwargs.max_lr: leave it out"),
        (
            ["optimizer.layer_decay=0.5", "optimizer.lr=1", "scheduler=cosine", "scheduler.kwargs.eta_min=0.1"],
            "scheduler.kwargs.eta_min=0.1 is above the lowest rate of optimizer.layer_decay, 0.0312",
        ),
    ],
)
def test_nonsense_is_refused(train: Door, arguments: list[str], message: str) -> None:
    result = train(*arguments)
    assert result.code == 2 and result.err.startswith(f"error: {message}"), result.err
