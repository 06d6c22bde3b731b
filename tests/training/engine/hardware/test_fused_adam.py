"""Adam and AdamW, which finegrid calls in its own way: every bit is torch's."""

import copy
from typing import Any

import pytest
import torch
from own_parts import tiny
from torch import nn

from training.config import OptimizerConfig
from training.engine.optimizer import build_optimizer, parameter_groups


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    """Another rate, other betas and other gradients at each step, as in a one-cycle schedule; every third step the
    first layers have none, as in a frozen network."""
    drawn = torch.Generator().manual_seed(steps)
    for step in range(steps):
        for number, parameter in enumerate(model.parameters()):
            gradient = torch.randn(parameter.shape, generator=drawn)
            parameter.grad = None if step % 3 == 2 and number < 2 else gradient
        for group in optimizer.param_groups:
            group["lr"], group["betas"] = group["lr"] * 0.9, (0.8 + step / 100, 0.99)
        optimizer.step()


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
@pytest.mark.parametrize("kwargs", [{}, {"amsgrad": True}, {"maximize": True}])
@pytest.mark.parametrize("layer_decay", [None, 0.5])
def test_each_bit_is_torchs(name: str, kwargs: dict[str, Any], layer_decay: float | None) -> None:
    config = OptimizerConfig(f"torch.optim.{name}", 0.1, 0.05, layer_decay=layer_decay, kwargs=kwargs)
    ours = tiny(10)
    theirs = copy.deepcopy(ours)
    mine = build_optimizer(ours, config)
    reference = getattr(torch.optim, name)(
        parameter_groups(theirs, config), lr=0.1, weight_decay=0.05, fused=True, **kwargs
    )
    assert isinstance(mine, getattr(torch.optim, name)) and type(mine) is not type(reference)
    train(ours, mine, 7)
    train(theirs, reference, 7)
    mine.load_state_dict(copy.deepcopy(reference.state_dict()))  # and from a state that torch's own has left
    train(ours, mine, 4)
    train(theirs, reference, 4)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other)
    assert str(mine.state_dict()) == str(reference.state_dict())


def test_a_step_hears_its_hooks_once() -> None:
    """The tracker counts steps by them."""
    model = tiny(10)
    heard: list[str] = []
    optimizer = build_optimizer(model, OptimizerConfig())
    torch.optim.AdamW(tiny(10).parameters(), fused=True).step()
    optimizer.register_step_pre_hook(lambda *_: heard.append("before"))
    optimizer.register_step_post_hook(lambda *_: heard.append("after"))
    train(model, optimizer, 1)
    assert heard == ["before", "after"]
