"""Parts of training of a user's own, for config lines such as loss._target_=own_training.squared."""

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.engine.hardware.graphs import CaptureError
from training.engine.predictions import Predictions
from training.engine.techniques import Batch, EpochContext, Technique


def squared(logits: Tensor, targets: Tensor, scale: float = 1.0) -> Tensor:
    """A loss: for each image the squared distance of its probabilities (Brier score), times `scale`. Knows labels
    alone, no shares."""
    return scale * (logits.softmax(1) - functional.one_hot(targets, logits.shape[1])).square().sum(1)


class Hinge(nn.Module):
    """A loss that is a class, and takes class weights."""

    def __init__(self, margin: float) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, logits: Tensor, targets: Tensor, class_weights: Tensor | None = None) -> Tensor:
        """The mean over the images."""
        right = logits.gather(1, targets[:, None])
        others = (self.margin - right + logits).clamp_min(0).sum(1) - self.margin
        return (others if class_weights is None else others * class_weights[targets]).mean()


def a_row(logits: Tensor, targets: Tensor) -> Tensor:
    """No loss: it gives a number for each class."""
    return logits


def without_gradient(logits: Tensor, targets: Tensor) -> Tensor:
    """No loss: nothing can be learned from it."""
    return torch.ones(len(logits))


def top(predictions: Predictions, k: int = 1) -> float:
    """A metric: per cent of images whose class is among the `k` with the highest scores."""
    best = np.argsort(-predictions.logits, axis=1)[:, :k]
    return float(100 * (best == predictions.labels[:, None]).any(1).mean())


def surprise(predictions: Predictions) -> float:
    """A metric of which less is better: the largest loss of an image."""
    logits = torch.from_numpy(predictions.logits)
    return float(functional.cross_entropy(logits, torch.from_numpy(predictions.labels), reduction="none").max())


def no_number(predictions: Predictions) -> str:
    """No metric."""
    return "good"


class GradientNoise(Technique):
    """A technique: random numbers on every gradient, less from epoch to epoch (Neelakantan et al. 2015)."""

    def __init__(self, scale: float) -> None:
        if scale < 0:
            raise ValueError("scale is below 0")
        self.scale, self.share = scale, 1.0
        self.parameters: list[nn.Parameter] = []

    def start(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.parameters = list(model.parameters())

    def before_epoch(self, epoch: int) -> None:
        self.share = 1 / epoch

    def before_step(self) -> None:
        for parameter in self.parameters:
            if parameter.grad is not None:
                parameter.grad += self.scale * self.share * torch.randn_like(parameter.grad)


class Mean(Technique):
    """A technique with a state: the mean of the weights after each step is validated and kept."""

    def __init__(self) -> None:
        self.steps = 0
        self.model, self.mean = nn.Module(), nn.Module()

    def start(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.model, self.mean = model, copy.deepcopy(model)

    @torch.no_grad()
    def after_step(self) -> None:
        self.steps += 1
        for old, new in zip(self.mean.parameters(), self.model.parameters(), strict=True):
            old += (new - old) / self.steps

    @property
    def eval_model(self) -> nn.Module:
        return self.mean

    def state_dict(self) -> dict[str, Any]:
        return {"mean": self.mean.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.mean.load_state_dict(state["mean"])
        self.steps = state["steps"]


class Mirror(Technique):
    """A technique that changes the batches: all images are mirrored in every second epoch."""

    def batches(self, batches: Iterable[Batch], context: EpochContext) -> Iterable[Batch]:
        return ((images.flip(3) if context.epoch % 2 == 0 else images, labels) for images, labels in batches)


class Sign(torch.optim.Optimizer):
    """An optimizer: steps of the same size for every weight, by the sign of the averaged gradient."""

    def __init__(self, params: Any, lr: float, beta: float = 0.9) -> None:
        super().__init__(params, {"lr": lr, "beta": beta})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    state = self.state[parameter]
                    mean = state.setdefault("mean", torch.zeros_like(parameter))
                    mean.lerp_(parameter.grad, 1 - group["beta"])
                    parameter.sub_(mean.sign(), alpha=group["lr"])


class Triangle(torch.optim.lr_scheduler.LRScheduler):
    """A schedule: up to the rate in the middle of training, and down again."""

    def __init__(self, optimizer: torch.optim.Optimizer, total_steps: int) -> None:
        self.total_steps = total_steps
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        top = self.total_steps / 2
        return [rate * (1 - abs(self.last_epoch - top) / top) for rate in self.base_lrs]


class Stubborn(Technique):
    """A technique with which the steps of a session's first epoch can't be recorded, where `once` is no file yet."""

    capturable = True

    def __init__(self, once: str) -> None:
        self.once = Path(once)

    def before_epoch(self, epoch: int) -> None:
        if epoch == 2 and not self.once.exists():
            self.once.touch()
            raise CaptureError("it is stubborn")
