"""optimizer=muon: Muon steps the matrices inside a network, AdamW everything else."""

from pathlib import Path

import pytest
import torch
from conftest import Door
from mending import unbroken_and_mended
from outcome import history_of, only_run
from own_parts import tiny
from torch import nn

from training.config import ModelConfig, OptimizerConfig, SchedulerConfig
from training.engine.optimizer import build_optimizer
from training.engine.schedule import Schedule
from training.engine.techniques.muon import Muon
from training.errors import ConfigError
from training.models.build import build_model, torchvision_model

TARGET = "training.engine.techniques.muon.Muon"
TIMM = ModelConfig("training.models.timm_models.Timm", "convnext_atto", accepts=["name"])


def stepped(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 3) -> None:
    """Steps with gradients that are the same for the same parameters."""
    for step in range(steps):
        torch.manual_seed(step)
        for parameter in model.parameters():
            gradient = torch.randn(parameter.shape)
            like = torch.channels_last if parameter.ndim == 4 else torch.contiguous_format
            parameter.grad = gradient.contiguous(memory_format=like)
        optimizer.step()


def muons(model: nn.Module, **settings: float) -> set[str]:
    optimizer = build_optimizer(model, OptimizerConfig(TARGET, **settings))  # type: ignore[arg-type]
    names = {parameter: name for name, parameter in model.named_parameters()}
    learned = [p for group in optimizer.param_groups for p in group["params"]]
    assert len(learned) == len(set(learned)) == len(names), "each parameter is in one group"
    return {names[p] for group in optimizer.param_groups if group["muon"] for p in group["params"]}


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_each_parameter_moves_as_with_torchs_own(layout: torch.memory_format) -> None:
    """The matrices as with torch.optim.Muon, everything else as with torch.optim.AdamW, to the bit."""
    models = []
    for _ in range(2):
        torch.manual_seed(0)
        models.append(tiny(4).to(memory_format=layout))
    model, known = models
    mixed = build_optimizer(model, OptimizerConfig(TARGET, 0.01, 0.1))
    stepped(model, mixed)
    parameters = dict(known.named_parameters())
    matrices = {name: parameters[name] for name in ("first.weight", "branch.weight")}
    views = {}
    for name, one in matrices.items():
        order = (0, 2, 3, 1) if layout == torch.channels_last else (0, 1, 2, 3)
        views[name] = nn.Parameter(one.detach().permute(order).flatten(1))
    rest = [
        {"params": [parameters["head.weight"]], "weight_decay": 0.1},
        {"params": [one for name, one in parameters.items() if one.ndim == 1], "weight_decay": 0.0},
    ]
    muon = torch.optim.Muon(list(views.values()), 0.01, 0.1, 0.95, adjust_lr_fn="match_rms_adamw")
    adamw = torch.optim.AdamW(rest, 0.01)
    for step in range(3):
        torch.manual_seed(step)
        for name, one in parameters.items():
            one.grad = torch.randn(one.shape)
            if name in views:
                order = (0, 2, 3, 1) if layout == torch.channels_last else (0, 1, 2, 3)
                views[name].grad = one.grad.permute(order).flatten(1)
        muon.step()
        adamw.step()
    for name, one in model.named_parameters():
        torch.testing.assert_close(one, parameters[name], rtol=1e-5, atol=1e-6)


def test_step_of_a_matrix_has_one_size_in_every_direction() -> None:
    model = torchvision_model("resnet18", 4)
    before = model.layer1[0].conv1.weight.detach().clone()
    stepped(model, build_optimizer(model, OptimizerConfig(TARGET, 0.01)), 1)
    moved = (model.layer1[0].conv1.weight.detach() - before).flatten(1)
    sizes = torch.linalg.svdvals(moved)
    assert sizes.max() / sizes.min() < 3, "those of a random matrix of this shape differ by more than"
    random = torch.linalg.svdvals(torch.randn(moved.shape))
    assert random.max() / random.min() > sizes.max() / sizes.min()


def test_what_is_muons() -> None:
    assert muons(torchvision_model("resnet18", 4)) == {
        name for name, p in torchvision_model("resnet18", 4).named_parameters() if p.ndim == 4
    }
    swin = muons(torchvision_model("swin_t", 4), weight_decay=0.05, layer_decay=0.8, head_lr_factor=10)
    assert "features.1.0.attn.qkv.weight" in swin and "head.weight" not in swin
    assert not any("relative_position" in name or name.endswith("bias") for name in swin)
    convnext = muons(build_model(TIMM, 4))
    assert "stages.0.blocks.0.mlp.fc1.weight" in convnext
    assert not any("conv_dw" in name or "head.fc" in name for name in convnext), "depthwise kernels and the head"


@pytest.mark.parametrize("name", ["OneCycleLR", "CosineAnnealingLR"])
def test_schedule_and_layer_decay_reach_both(name: str) -> None:
    """Steps with gradients of one size: how far the parameters of a layer move is its rate."""
    model = tiny(4)
    optimizer = build_optimizer(model, OptimizerConfig(TARGET, 0.1, layer_decay=0.5))
    config = SchedulerConfig(f"torch.optim.lr_scheduler.{name}", 1, "epoch")
    schedule = Schedule(optimizer, config, epochs=6, steps_per_epoch=1)
    assert isinstance(optimizer, Muon)
    for _ in range(4):
        stepped(model, optimizer, 1)
        inner = {group["lr"] for one in optimizer.inner.values() for group in one.param_groups}
        assert inner == {group["lr"] for group in optimizer.param_groups} and len(inner) == 4
        schedule.after_epoch(1.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        ["scheduler=onecycle", "trainer.freeze_epochs=2", "optimizer.weight_decay=0.1"],
        ["optimizer.layer_decay=0.5", "trainer.ema=0.5", "trainer.memory_format=channels_last", "scheduler=cosine"],
    ],
)
def test_run_resumes_to_the_bit(train: Door, tmp_path: Path, more: list[str]) -> None:
    folder, _ = unbroken_and_mended(train, tmp_path, "optimizer=muon", *more)
    assert folder.parent.name.startswith("tiny-none-muon-")


def test_learns_what_it_is_given(train: Door, tmp_path: Path) -> None:
    more = ["optimizer=muon", "optimizer.lr=0.02", "data.size=16", "trainer.epochs=4", "trainer.precision=fp32"]
    assert train("model._target_=own_parts.tiny", *more).code == 0
    assert history_of(only_run(tmp_path / "outputs"))[-1]["val_acc"] > 50


def test_nonsense_and_an_old_torch_are_refused(train: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    result = train("optimizer=muon", "optimizer.kwargs.momentum=-1")
    assert result.code == 2 and "optimizer: momentum should be >= 0" in result.err
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(ConfigError, match=r"optimizer=muon needs torch 2\.9 or newer"):
        build_optimizer(tiny(4), OptimizerConfig(TARGET))
