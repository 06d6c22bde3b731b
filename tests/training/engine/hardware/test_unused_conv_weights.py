"""Gradients of weights that meet nothing but padding, in bf16 on a CPU: zero, not what the memory happened to be."""

import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from torch import nn

from training.engine.hardware.unused_conv_weights import reached_by, zero_unused_gradients

CASES = [(1, 2, 3), (1, 1, 5), (1, 2, 7), (2, 1, 7), (4, 2, 3), (7, 1, 3)]


def gradient(conv: nn.Conv2d, images: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    conv.zero_grad()
    rubbish = [torch.full_like(conv.weight, 1e5).to(kind) for kind in (torch.bfloat16, torch.float32) for _ in range(4)]
    del rubbish  # what lies in the memory that is taken next
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        scores = conv(images)
    (scores.float() * torch.linspace(-1, 1, scores.numel()).view_as(scores)).sum().backward()
    assert conv.weight.grad is not None
    return conv.weight.grad.clone()


@pytest.mark.parametrize(("size", "stride", "kernel"), CASES)
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_as_in_fp32(size: int, stride: int, kernel: int, layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(64, 128, kernel, stride, kernel // 2).to(memory_format=layout)
    images = torch.randn(8, 64, size, size).contiguous(memory_format=layout)
    expected = gradient(conv, images, torch.float32)
    zero_unused_gradients(conv)
    for _ in range(3):
        found = gradient(conv, images, torch.bfloat16)
        assert (found - expected).norm() < 0.02 * expected.norm()
        assert found.is_contiguous(memory_format=layout)


def test_a_weight_is_unused_only_if_no_size_reaches_it() -> None:
    conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)
    zero_unused_gradients(conv)
    for size, unused in ((1, 8), (2, 5), (5, 0)):
        conv(torch.randn(2, 3, size, size)).sum().backward()
        conv.zero_grad()
        conv(torch.ones(2, 3, size, size)).sum().backward()
        assert conv.weight.grad is not None and int((conv.weight.grad[0, 0] == 0).sum()) == unused


@pytest.mark.parametrize("padding", ["same", "valid", 0, 2])
def test_which_meet_a_pixel(padding: str | int) -> None:
    """Against the convolution itself: the gradient of all-ones images in fp64 is zero exactly where none is met."""
    kernels = (1, 3, 5) if padding == "same" else (1, 2, 3, 5)  # torch warns of even ones with same
    for length, dilation, kernel in itertools.product((1, 2, 3, 6), (1, 2), kernels):
        conv = nn.Conv2d(1, 1, kernel, 1, padding, dilation).double()
        try:
            scores = conv(torch.ones(1, 1, length, length, dtype=torch.float64))
        except RuntimeError:
            continue  # the kernel is larger than the image
        scores.sum().backward()
        assert conv.weight.grad is not None
        row = conv.weight.grad[0, 0].sum(0) != 0
        assert torch.equal(reached_by(conv, 1, length), row), (length, dilation, kernel)


def test_padding_that_repeats_the_image_reaches_all() -> None:
    conv = nn.Conv2d(3, 4, 3, padding=1, padding_mode="replicate")
    zero_unused_gradients(conv)
    conv(torch.ones(2, 3, 1, 1)).sum().backward()
    assert conv.weight.grad is not None and bool((conv.weight.grad != 0).all())


LOOK = """
import json, sys, torch
from torch import nn
from training.engine.hardware.unused_conv_weights import zero_unused_gradients
shares = []
for kernel in (3, 7):
    for layout in (torch.channels_last, torch.contiguous_format):
        conv = nn.Conv2d(64, 128, kernel, 2, kernel // 2).to(memory_format=layout)
        if sys.argv[1] == "with":
            zero_unused_gradients(conv)
        with torch.autocast("cpu", torch.bfloat16):
            scores = conv(torch.randn(8, 64, 1, 1).contiguous(memory_format=layout))
        scores.float().sum().backward()
        conv.weight.grad[:, :, kernel // 2, kernel // 2] = 0  # the one that meets the pixel
        shares.append(conv.weight.grad.count_nonzero().item())
print(json.dumps(shares))
"""


def nonzero_gradients(workaround: str) -> list[int]:
    """How many unused weights have a gradient, for four convolutions. glibc fills all memory that is asked for with
    the same byte (MALLOC_PERTURB_), so that it doesn't depend on what lay there; oneDNN takes the kernels of a
    processor with avx512_bf16, also where it has better ones."""
    environment = os.environ | {"MALLOC_PERTURB_": "90", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"}
    command = [sys.executable, "-c", LOOK, workaround]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout))


def has_avx512_bf16() -> bool:
    file = Path("/proc/cpuinfo")
    return file.is_file() and re.search(r"\bavx512_bf16\b", file.read_text()) is not None


@pytest.mark.skipif(not has_avx512_bf16(), reason="torch leaves them unwritten on processors with avx512_bf16 only")
def test_torch_still_needs_the_workaround_for_unused_conv_weights() -> None:
    assert nonzero_gradients("with") == [0, 0, 0, 0]
    without = nonzero_gradients("without")
    message = f"torch {torch.__version__} clears them itself: training/engine/hardware/unused_conv_weights.py can go"
    assert any(without), message
