"""A network's layers in the order from the images to the class scores, for learning rates that differ by depth."""

import re
from collections.abc import Callable

from torch import nn
from torchvision.models import ResNet, SwinTransformer, VisionTransformer

from training.errors import ConfigError

HEAD = 10_000  # deeper than any block


def layers_of(model: nn.Module) -> list[tuple[str, list[str]]]:
    """Names of layers, the first layer first, each with the names of its parameters.

    ResNet: stem, layer1 to layer4, head. Swin and ViT: patch_embedding, each block, head, where what lies between two
    stages belongs to the block before it and the last norm to the head, as in BEiT's and SimMIM's code. Any other
    network: its children with parameters, in the order in which it defines them; those of a Sequential are layers of
    their own. Raises ConfigError for a network that has one layer only.
    """
    place = _place_in(model)
    found: dict[tuple[int, str], list[str]] = {}
    for name, _ in model.named_parameters():
        found.setdefault(place(name), []).append(name)
    if len(found) < 2:
        (only,) = {name for _, name in found} or {"nothing"}
        kind = type(model).__name__
        raise ConfigError(
            f"optimizer.layer_decay needs a network with several layers as its children; {kind} has {only} only"
        )
    return [(name, found[order, name]) for order, name in sorted(found)]


def _place_in(model: nn.Module) -> Callable[[str], tuple[int, str]]:
    """From the name of a parameter to the order and the name of its layer."""
    if isinstance(model, ResNet):
        return _resnet
    if isinstance(model, SwinTransformer):
        stages = [len(part) if index % 2 else 0 for index, part in enumerate(model.features)]
        return lambda name: _swin(name, stages)
    if isinstance(model, VisionTransformer):
        return _vit
    names: list[str] = []
    for name, child in model.named_children():
        names += [f"{name}.{part}" for part, _ in child.named_children()] if type(child) is nn.Sequential else [name]

    def own(name: str) -> tuple[int, str]:
        found = [(order, part) for order, part in enumerate(names) if name.startswith(f"{part}.")]
        return found[0] if found else (-1, "first")  # a parameter of the network itself, such as a class token

    return own


def _resnet(name: str) -> tuple[int, str]:
    part = name.partition(".")[0]
    if part.startswith("layer"):
        return int(part.removeprefix("layer")), part
    return (HEAD, "head") if part == "fc" else (0, "stem")


def _swin(name: str, stages: list[int]) -> tuple[int, str]:
    match = re.match(r"features\.(\d+)\.(\d+|\w+)", name)
    if match is None:
        return HEAD, "head"
    part = int(match[1])
    if part == 0:
        return 0, "patch_embedding"
    before = sum(stages[:part])
    return _block(before + int(match[2]) + 1 if stages[part] else before)


def _vit(name: str) -> tuple[int, str]:
    if match := re.match(r"encoder\.layers\.encoder_layer_(\d+)\.", name):
        return _block(int(match[1]) + 1)
    return (HEAD, "head") if name.startswith(("heads.", "encoder.ln.")) else (0, "patch_embedding")


def _block(number: int) -> tuple[int, str]:
    return number, f"block{number:02}"  # so that they stand in order in TensorBoard
