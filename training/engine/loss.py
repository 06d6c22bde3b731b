"""The losses that training can minimize (config group `loss`), and how classes of unequal size are weighed in them.

A loss is a function by `_target_`, or a class that is made with loss.kwargs. It is called with

    logits   float32 [B, classes]
    targets  int64 [B], or float32 [B, classes] where images are mixed: the share of each class, which sum to 1

and the kwargs of a function, and gives the loss of each image [B], or their mean. What is minimized is the mean over
the images, so that the gradients of the pieces of an accumulated batch, weighted by their sizes, add up to the whole.

trainer.label_smoothing and trainer.class_weights go to losses that have arguments of these names:

    label_smoothing  float, 0 to 1: this share of the target is spread evenly over all classes
    class_weights    float32 [classes], or None; their mean over the training images is 1

Setting one for a loss that lacks it is an error before the run. The loss of val and test, which the history and the
record show and which trainer.monitor=val_loss goes by, is always the plain cross-entropy, so that runs with different
losses compare.
"""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.config import LossConfig, TrainerConfig
from training.data.dataset import Dataset
from training.errors import ConfigError, Impossible
from training.schema.checks import need
from training.targets import bind, locate

Loss = Callable[[Tensor, Tensor], Tensor]  # of (logits, targets) as above


def balanced_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """The weight of each class, float32 [classes]: images / (classes * images of the class), as scikit-learn's
    "balanced" (King & Zeng 2001). Their mean over the images `labels` [N] is 1."""
    counts = np.bincount(labels, minlength=classes)
    return (len(labels) / (classes * np.maximum(counts, 1))).astype(np.float32)


def class_weights(trainer: TrainerConfig, dataset: Dataset, device: str) -> Tensor | None:
    """Of the loss, float32 [classes]; None where all count alike."""
    if trainer.class_weights == "none":
        return None
    return torch.from_numpy(balanced_weights(dataset.labels[dataset.split["train"]], len(dataset.classes))).to(device)


def cross_entropy(
    logits: Tensor, targets: Tensor, label_smoothing: float = 0.0, class_weights: Tensor | None = None
) -> Tensor:
    """Mean cross-entropy; torch's own, also where targets are shares or smoothed.

    With class weights it is the sum of the weighted losses over the number of images (not, as torch's mean, over the
    sum of their weights), so that the parts of an accumulated batch add up to the whole.
    """
    if class_weights is None:
        return functional.cross_entropy(logits, targets, label_smoothing=label_smoothing)
    total = functional.cross_entropy(logits, targets, class_weights, label_smoothing=label_smoothing, reduction="sum")
    return total / len(targets)


def focal(
    logits: Tensor,
    targets: Tensor,
    gamma: float = 2.0,
    label_smoothing: float = 0.0,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Focal loss [B] (Lin et al. 2017, arXiv 1708.02002), over the classes' softmax: images that are classified well
    already count less, by the factor (1 - p) ^ gamma.

    It is -sum_c w_c y_c (1 - p_c)^gamma log p_c, where y are the (mixed, smoothed) targets; gamma=0 is cross-entropy.
    The paper's alpha are the class weights.
    """
    need(gamma >= 0, f"loss.kwargs.gamma={gamma}: expected 0 or more")
    shares = _smoothed(as_shares(targets, logits), label_smoothing)
    if class_weights is not None:
        shares = shares * class_weights
    log_p = logits.log_softmax(1)
    away = -torch.expm1(log_p)  # 1 - p, exact where p is nearly 1
    if gamma != 1:  # the slope of 0 ^ gamma below 1 is infinite
        away = away.clamp_min(torch.finfo(away.dtype).tiny) ** gamma
    return -(shares * away * log_p).sum(1)


def bce(
    logits: Tensor,
    targets: Tensor,
    threshold: float | None = None,
    mean_over_classes: bool = False,
    label_smoothing: float = 0.0,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Binary cross-entropy [B] of each class against the rest, as in "ResNet strikes back" (Wightman et al. 2021,
    arXiv 2110.00476).

    Summed over the classes: the gradient is then as large as cross-entropy's (sigmoid - target in place of softmax -
    target), so that learning rate, clipping and weight decay keep their meaning, however many classes there are. The
    paper's code takes the mean (mean_over_classes=true), which is smaller by the factor of the number of classes; its
    optimizer doesn't notice. With a threshold, classes whose share is above it count as present with 1, the others as
    absent (the paper's way with mixed images); smoothing comes after that. A class weight counts for all terms of an
    image, in proportion to the shares of its classes.
    """
    shares = as_shares(targets, logits)
    present = shares if threshold is None else (shares > threshold).to(shares.dtype)
    terms = functional.binary_cross_entropy_with_logits(logits, _smoothed(present, label_smoothing), reduction="none")
    losses = terms.mean(1) if mean_over_classes else terms.sum(1)
    return losses if class_weights is None else losses * (shares @ class_weights)


def as_shares(targets: Tensor, logits: Tensor) -> Tensor:
    """Targets as shares [B, classes] in the type of `logits`, whichever of the two kinds they are."""
    if targets.ndim == 2:
        return targets.to(logits.dtype)
    return functional.one_hot(targets, logits.shape[1]).to(logits.dtype)


def _smoothed(shares: Tensor, label_smoothing: float) -> Tensor:
    return shares * (1 - label_smoothing) + label_smoothing / shares.shape[1]


def main_labels(targets: Tensor) -> Tensor:
    """The class with the largest share of each image, int64 [B]; plain labels as they are."""
    return targets if targets.ndim == 1 else targets.argmax(1)


def build_loss(config: LossConfig, trainer: TrainerConfig, class_weights: Tensor | None, device: str = "cpu") -> Loss:
    """The function of (logits, targets) whose value, a mean over the images, is minimized. Raises ConfigError."""
    function = locate(config._target_, "loss")
    kwargs: dict[str, Any] = dict(config.kwargs)
    for key in ("label_smoothing", "class_weights"):
        need(key not in kwargs, f"loss.kwargs.{key}: set trainer.{key} instead")
    if isinstance(function, type):
        bind(function, "loss", **kwargs)
        try:
            function, kwargs = function(**kwargs), {}
        except Exception as error:
            raise Impossible(f"loss refuses these settings: {type(error).__name__}: {error}") from error
        need(callable(function), f"loss._target_={config._target_}: what it makes can't be called")
    if isinstance(function, torch.nn.Module):
        function.to(device)
    common: dict[str, Any] = {}
    if trainer.label_smoothing:
        common["label_smoothing"] = trainer.label_smoothing
    if trainer.class_weights != "none":
        common["class_weights"] = class_weights
    for key in common:
        takes = _takes(function, key)
        if not takes:
            raise Impossible(f"trainer.{key}={getattr(trainer, key)}: {config._target_} has no argument {key}")
    bind(_called(function), "loss", None, None, **kwargs, **common)
    return _mean(partial(function, **kwargs, **common))


def _called(function: Callable[..., Any]) -> Callable[..., Any]:
    """What says which arguments a call takes: of a module that is its forward."""
    return function.forward if isinstance(function, torch.nn.Module) else function


def _takes(function: Callable[..., Any], key: str) -> bool:
    try:
        parameters = inspect.signature(_called(function)).parameters.values()
    except ValueError:  # built-in, so it can't say what it takes
        return False
    return any(parameter.name == key or parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def _mean(function: Callable[[Tensor, Tensor], Tensor]) -> Loss:
    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        value = function(logits, targets)
        if value.ndim == 0:
            return value
        if value.shape != (len(logits),):
            raise ConfigError(f"gives a loss of shape {[*value.shape]}, expected one an image or their mean")
        return value.mean()

    return loss


def check_loss(config: LossConfig, trainer: TrainerConfig, classes: int, mixes: bool) -> None:
    """Try the loss on two images before anything is trained. `mixes`: targets are shares. Raises ConfigError."""
    logits = torch.zeros(2, classes, requires_grad=True)
    targets = torch.tensor([0, classes - 1])
    loss = build_loss(config, trainer, torch.ones(classes))
    what = f"loss._target_={config._target_}"
    try:
        value = loss(logits, as_shares(targets, logits) if mixes else targets)
    except ConfigError as error:
        raise ConfigError(f"{what}: {error}") from error
    except Exception as error:
        kind = "shares of the classes, which augment.mixup and augment.cutmix make" if mixes else "labels"
        raise ConfigError(f"{what}: can't be called with {kind}: {type(error).__name__}: {error}") from error
    need(value.requires_grad, f"{what}: its loss has no gradient")
