"""The head of a network begins no larger than torch draws a layer, whatever its library does for few classes."""

import math
from collections.abc import Iterator
from contextlib import suppress

import pytest
import timm
import torch
import torchvision
from torch import nn

from training.config import ModelConfig
from training.models.build import build_model, head_prefix

TIMM = "training.models.timm_models.Timm"
CLASSES = 6
LARGE = ("giant", "gigantic", "huge", "large", "xlarge", "1b", "7b", "152", "200", "270", "320")


def size_of_head(target: str, name: str, **kwargs: object) -> float:
    """The standard deviation of its weights, in that of torch's own layers with so many inputs."""
    torch.manual_seed(0)
    model = build_model(ModelConfig(_target_=target, name=name, accepts=["name"], kwargs=kwargs), CLASSES)
    head = model.get_submodule(head_prefix(model))
    layers = [layer for layer in head.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    weight = layers[-1].weight
    return weight.std().item() * math.sqrt(3 * weight[0].numel())


@pytest.mark.parametrize(
    "name", ["tf_efficientnet_lite0", "mobilenetv3_small_050", "mobilenetv4_conv_small", "rexnet_100", "dla46_c"]
)
def test_heads_of_timm(name: str) -> None:
    assert 0.9 < size_of_head(TIMM, name) < 1.1


@pytest.mark.parametrize("name", ["efficientnet_b0", "mnasnet0_5"])
def test_heads_of_torchvision(name: str) -> None:
    assert 0.9 < size_of_head(ModelConfig._target_, name) < 1.1


def smallest() -> Iterator[str]:
    """A small network of each of timm's modules."""
    for module in timm.list_modules():
        found: list[tuple[int, str]] = []
        for name in timm.list_models(module=module):
            if any(part in name for part in LARGE) or (found and found[0][0] < 8_000_000):
                continue
            with suppress(Exception), torch.device("meta"):  # some need numbers as they are built
                network = timm.create_model(name, num_classes=CLASSES)
                found = sorted([*found, (sum(each.numel() for each in network.parameters()), name)])
        yield from (name for _, name in found[:1])


@pytest.mark.slow
def test_no_kind_of_network_has_a_large_head() -> None:
    """Whichever libraries bring: a kind whose head is drawn too large is missing in training/models/heads.py."""
    sizes = {name: size_of_head(TIMM, name) for name in smallest()}
    assert len(sizes) > 60
    for name in torchvision.models.list_models(module=torchvision.models):
        if not any(part in name for part in (*LARGE, "16gf", "32gf", "128gf", "_h_", "_l")):
            more = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
            sizes[f"torchvision {name}"] = size_of_head(ModelConfig._target_, name, **more)
    assert not {name: size for name, size in sizes.items() if size > 2}
