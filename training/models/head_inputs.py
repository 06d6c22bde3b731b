"""What a network makes of images before the layer that gives the class scores: its features."""

import contextlib
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.errors import Impossible
from training.models.build import head_prefix, logits
from training.schema.checks import need

Batch = tuple[Tensor, Tensor]
Autocast = Callable[[], contextlib.AbstractContextManager[None]]  # the run's precision


def head_inputs(
    model: nn.Module,
    batches: Iterable[Batch],
    autocast: Autocast,
    on_batch: Callable[[int], object] = lambda count: None,
) -> Tensor:
    """float32 [N, D] on the CPU, of all images of `batches`, in evaluation mode. `on_batch` hears how many each has.
    Raises ConfigError for a network whose head doesn't see each image once."""
    caught: list[Tensor] = []

    def catch(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        caught.append(pooled(inputs[0]).float())

    head, parts = head_prefix(model), []
    hook = model.get_submodule(head).register_forward_pre_hook(catch)
    model.eval()
    compiled = getattr(model, "_compiled_call_impl", None) is not None
    forward = model.forward if compiled else model  # compiled code would not call the hook
    try:
        with torch.no_grad():
            for images, labels in batches:
                caught.clear()
                with autocast():
                    forward(images)
                once = len(caught) == 1 and len(caught[0]) == len(labels)
                need(once, f"{type(model).__name__}: its layer {head} doesn't see each image once")
                parts.append(caught[0].cpu())
                on_batch(len(labels))
    finally:
        hook.remove()
    return torch.cat(parts)


def check_linear(model: nn.Module, key: str) -> None:
    """Raise Impossible unless the head is one linear layer. `key`: what needs it."""
    name, kind = head_prefix(model), type(model).__name__
    layer = model.get_submodule(name)
    linear = bool(name) and isinstance(layer, nn.Linear) and layer.bias is not None
    if not linear:
        raise Impossible(f"{key} needs a linear layer with a bias as head; {kind} has {name}: {layer}")


def check_scores(model: nn.Module, features: Tensor, batches: Iterable[Batch], autocast: Autocast, key: str) -> None:
    """Raise ConfigError unless a network's scores of the first batch are its linear head's answer to these features
    [N, D], and nothing more."""
    name = head_prefix(model)
    head = model.get_submodule(name)
    assert isinstance(head, nn.Linear)
    images, labels = next(iter(batches))
    with torch.no_grad(), autocast():
        found = logits(model(images)).float().cpu()
    with torch.no_grad():
        wanted = functional.linear(features[: len(labels)], head.weight.float().cpu(), head.bias.float().cpu())
    near = 0.05 * float(wanted.abs().max())  # what bf16 rounds
    same = found.shape == wanted.shape and torch.allclose(found, wanted, rtol=0.05, atol=near)
    kind = type(model).__name__
    need(same, f"{key}: the scores of {kind} are more than what its layer {name} makes of one vector an image")


def pooled(features: Tensor) -> Tensor:
    """[B, D] of [B, D], of tokens [B, T, D], or of a map [B, D, H, W] (before a head that is a convolution)."""
    if features.ndim == 4:
        return features.mean((2, 3))
    return features.mean(1) if features.ndim == 3 else features
