"""A moving average of the weights of training, which generalizes better than the last of them."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import get_ema_multi_avg_fn

from training.config import RunConfig
from training.engine.techniques.technique import Technique

STATE = "average"  # its name in resume states


class Average:
    """The exponential moving average of a network: Polyak's averaging, as in Tarvainen & Valpola 2017 (arXiv
    1703.01780) and Morales-Brotons et al. 2024 (2411.18704).

    After step t (from 0) it is d * average + (1 - d) * weights, with d = min(decay, (1 + t) / (10 + t)): a short
    training would else end with an average that remembers its first weights. The statistics of BatchNorm are averaged
    too, whole numbers copied. (torch's AveragedModel would round those, and wait for a GPU at every step.)
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.decay = decay
        self.updates = 0
        self.pairs: _Pairs | None = None

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Call after every optimizer step."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        if self.pairs is None or self.pairs.model is not model:
            self.pairs = _pairs(self.model, model)
        get_ema_multi_avg_fn(decay)(self.pairs.averages, self.pairs.floats, self.updates)  # type: ignore[no-untyped-call]
        for old, new in self.pairs.others:
            old.copy_(new)
        self.updates += 1

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"model": self.model.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken."""
        self.model.load_state_dict(state["model"])
        self.updates = state["updates"]


@dataclass(frozen=True)
class _Pairs:
    """The tensors of an average and of the network that it follows, looked up once."""

    model: nn.Module
    averages: list[Tensor]
    floats: list[Tensor]
    others: list[tuple[Tensor, Tensor]]


def _pairs(average: nn.Module, model: nn.Module) -> _Pairs:
    pairs = list(zip(_tensors(average), _tensors(model), strict=True))
    floats = [pair for pair in pairs if pair[0].is_floating_point()]
    others = [pair for pair in pairs if not pair[0].is_floating_point()]
    return _Pairs(model, [old for old, _ in floats], [new for _, new in floats], others)


def _tensors(model: nn.Module) -> list[Tensor]:
    return [tensor.detach() for tensor in (*model.parameters(), *model.buffers())]


class Ema(Technique):
    """trainer.ema: the average is what is validated, selected and kept."""

    capturable = True

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.model: nn.Module | None = None
        self.average: Average | None = None

    def start(self, model: nn.Module, optimizer: Optimizer) -> None:
        """The average begins at the first weights."""
        self.model, self.average = model, Average(model, self.decay)

    def after_step(self) -> None:
        """Follow the weights."""
        assert self.model is not None and self.average is not None
        self.average.update(self.model)

    @property
    def eval_model(self) -> nn.Module | None:
        """The average."""
        return None if self.average is None else self.average.model

    def state_dict(self) -> dict[str, Any]:
        """The average and how often it was updated."""
        assert self.average is not None
        return self.average.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with an average."""
        assert self.average is not None
        self.average.load_state_dict(state)


def from_config(config: RunConfig) -> Ema | None:
    """None where trainer.ema is null."""
    return None if config.trainer.ema is None else Ema(config.trainer.ema)
