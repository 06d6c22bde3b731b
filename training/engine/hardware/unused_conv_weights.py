"""Weights of a convolution that meet nothing but padding, and the gradient that they should have: none.

On a CPU with avx512_bf16, torch 2.14 (oneDNN's kernel jit_bf16:avx512_core_bf16) leaves their gradient as the memory
happened to be, from 1e-40 to infinity, where a 3 x 3 kernel with stride 2 sees a single pixel, say, which a resnet18
comes to on 16 px images. No score depends on them, but the gradient norm, clipping, and whoever uses the weights at
another size do. tests/training/engine/test_unused_conv_weights.py asks whether torch still needs this.
"""

from typing import Any

import torch
from torch import Tensor, nn


def zero_unused_gradients(model: nn.Module) -> None:
    """See to it that the gradients of such weights are zero, whatever sizes of images `model` is trained on."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.weight.requires_grad:
            _UnusedWeights(module)


class _UnusedWeights:
    """The unused weights of one convolution: those that no image of the sizes seen so far has reached."""

    def __init__(self, conv: nn.Conv2d) -> None:
        self.sizes: set[tuple[int, int]] = set()
        self.unused: list[tuple[int, int | slice]] = []  # (row, column) of the kernel, or a whole row
        conv.register_forward_pre_hook(self._note_size)

    def _note_size(self, conv: nn.Module, args: tuple[Any, ...]) -> None:
        size = (args[0].shape[-2], args[0].shape[-1])
        if not conv.training or size in self.sizes:
            return
        assert isinstance(conv, nn.Conv2d)
        if conv.padding_mode != "zeros":  # what lies beyond the edge is image too
            return
        self.sizes.add(size)
        reached = torch.zeros(conv.kernel_size, dtype=torch.bool)
        for height, width in self.sizes:
            reached |= torch.outer(reached_by(conv, 0, height), reached_by(conv, 1, width))
        self.unused = [(row, slice(None)) for row, any_is in enumerate(reached.any(1)) if not any_is]
        self.unused += [(row, column) for row, column in (~reached & reached.any(1, keepdim=True)).nonzero().tolist()]
        if self.unused and len(self.sizes) == 1:  # only where needed: the hook costs; later sizes leave fewer
            conv.weight.register_hook(self._clear)  # type: ignore[no-untyped-call]

    def _clear(self, gradient: Tensor) -> None:
        """In place, which spares a copy: it has just been made, and nobody else has it."""
        for row, column in self.unused:
            gradient[:, :, row, column].zero_()


def reached_by(conv: nn.Conv2d, axis: int, length: int) -> Tensor:
    """Which places of the kernel along an axis meet a pixel, of `length` of them, at any step: bool [kernel]."""
    kernel, stride, dilation = conv.kernel_size[axis], conv.stride[axis], conv.dilation[axis]
    before, after = _padding(conv, axis)
    steps = (length + before + after - dilation * (kernel - 1) - 1) // stride + 1
    places = torch.arange(steps)[:, None] * stride - before + torch.arange(kernel)[None, :] * dilation
    return ((places >= 0) & (places < length)).any(0)


def _padding(conv: nn.Conv2d, axis: int) -> tuple[int, int]:
    if isinstance(conv.padding, str):  # same or valid; with same the end gets what is odd
        whole = conv.dilation[axis] * (conv.kernel_size[axis] - 1) if conv.padding == "same" else 0
        return whole // 2, whole - whole // 2
    return int(conv.padding[axis]), int(conv.padding[axis])
