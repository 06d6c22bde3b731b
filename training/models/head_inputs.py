"""What a network makes of images before the layer that gives the class scores: its features."""

import contextlib
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from training.models.build import head_prefix
from training.schema.checks import need

Batch = tuple[Tensor, Tensor]


def head_inputs(
    model: nn.Module,
    batches: Iterable[Batch],
    autocast: Callable[[], contextlib.AbstractContextManager[None]],
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
    try:
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):  # compiled code would not call the hook
            for images, labels in batches:
                caught.clear()
                with autocast():
                    model(images)
                once = len(caught) == 1 and len(caught[0]) == len(labels)
                need(once, f"{type(model).__name__}: its layer {head} doesn't see each image once")
                parts.append(caught[0].cpu())
                on_batch(len(labels))
    finally:
        hook.remove()
    return torch.cat(parts)


def pooled(features: Tensor) -> Tensor:
    """[B, D] of [B, D], of tokens [B, T, D], or of a map [B, D, H, W] (before a head that is a convolution)."""
    if features.ndim == 4:
        return features.mean((2, 3))
    return features.mean(1) if features.ndim == 3 else features
