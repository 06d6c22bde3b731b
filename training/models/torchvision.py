"""torchvision's classifiers: model=resnet50, or any of them by its name, model=torchvision model.name=convnext_tiny."""

import difflib
import http.client
import logging
import re
import sys
import urllib.error
import urllib.request
import warnings
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.config import ModelConfig
from training.errors import ConfigError, Impossible
from training.models.checkpoint_file import StateDict, content_hash, read_checkpoint
from training.models.family import Family, Pretraining
from training.models.layers import Place, children_in_order, grouped, last_layer
from training.schema.checks import need
from training.targets import bind

if TYPE_CHECKING:
    from torch import nn
    from torchvision.models import WeightsEnum

log = logging.getLogger(__name__)
HEAD = 10_000  # deeper than any block


class Torchvision(Family):
    """With torchvision installed nothing else is needed: it says which weights there are, and what they saw."""

    runs_on_meta = True

    def build(self, config: ModelConfig, classes: int) -> "nn.Module":
        arguments: dict[str, Any] = dict(config.kwargs, num_classes=classes, name=config.name)
        arguments |= {key: getattr(config, key) for key in config.accepts if getattr(config, key) is not None}
        bind(torchvision_model, "model", **arguments)
        return torchvision_model(**arguments)

    def check(self, config: ModelConfig) -> None:
        if config.weights is not None:
            ok = config.weights == torchvision_sources(config.name)
            need(ok, f"model.name={config.name} needs model=torchvision: model=torchvision model.name={config.name}")

    def sources(self, config: ModelConfig) -> list[str]:
        return config.weights if config.weights is not None else torchvision_sources(config.name)

    def file(self, config: ModelConfig, resolved: str) -> Path:
        return imagenet_file(config.name, resolved)

    def state(self, config: ModelConfig, resolved: str, model: "nn.Module") -> StateDict:
        return fetch_imagenet(config.name, resolved, model.state_dict(), last_layer(model))

    def trained_as(self, config: ModelConfig, resolved: str) -> tuple[ModelConfig, int]:
        return ModelConfig(name=config.name), 1000

    def pretraining(self, config: ModelConfig, resolved: str) -> Pretraining:
        preset = imagenet_weights(config.name, resolved).transforms()
        side = preset.resize_size[0]
        return Pretraining(
            "imagenet", tuple(preset.mean), tuple(preset.std), preset.crop_size[0], side, preset.interpolation.value
        )

    def content(self, config: ModelConfig, resolved: str) -> str:
        return Path(imagenet_weights(config.name, resolved).url).name  # a hash is in it, and was checked

    def layers(self, model: "nn.Module") -> list[tuple[str, list[str]]]:
        """ResNet: stem, layer1 to layer4, head. Swin and ViT: patch_embedding, each block, head, where what lies
        between two stages belongs to the block before it and the last norm to the head, as in BEiT's and SimMIM's code.
        """
        from torchvision.models import ResNet, SwinTransformer, VisionTransformer

        if isinstance(model, ResNet):
            return grouped(model, _resnet)
        if isinstance(model, SwinTransformer):
            return grouped(model, _swin([len(part) if index % 2 else 0 for index, part in enumerate(model.features)]))
        return grouped(model, _vit) if isinstance(model, VisionTransformer) else children_in_order(model)


def torchvision_model(
    name: str, num_classes: int, drop_path: float | None = None, dropout: float | None = None, **kwargs: Any
) -> "nn.Module":
    """One of torchvision's classifiers, untrained.

    `drop_path` is the stochastic depth of the last block (Huang et al. 2016, arXiv 1603.09382), those before it have
    less; `dropout` is the builder's own: in Swin's blocks, before EfficientNet's head.
    """
    import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        near = difflib.get_close_matches(name, known, 3) or known[:3]
        raise ConfigError(f"model.name={name}: torchvision has no such classifier; near: {', '.join(near)}")
    if dropout is not None:
        kwargs["dropout"] = dropout
    if name in ("googlenet", "inception_v3"):  # what their ImageNet weights want; and spares a warning
        kwargs = {"transform_input": True, "init_weights": True} | kwargs
    try:
        model: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=num_classes, **kwargs)
    except TypeError as error:
        if dropout is not None and "'dropout'" in str(error):
            raise Impossible(f"model.dropout={dropout}: {name} has no dropout") from error
        raise Impossible(f"model.name={name}: {error}") from error
    if drop_path is not None:
        _set_drop_path(model, name, drop_path)
    return model


def _set_drop_path(model: "nn.Module", name: str, drop_path: float) -> None:
    """Scale the stochastic depth of all blocks. (Swin's builders take no other than their own.)"""
    from torchvision.ops import StochasticDepth

    layers = [layer for layer in model.modules() if isinstance(layer, StochasticDepth)]
    largest = max((layer.p for layer in layers), default=0)
    if not largest:
        raise Impossible(f"model.drop_path={drop_path}: {name} has no drop_path")
    for layer in layers:
        layer.p *= drop_path / largest


@cache
def torchvision_sources(name: str) -> list[str]:
    """The weight sources that torchvision has for one of its classifiers, its default last; none for other names."""
    import torchvision

    if name not in torchvision.models.list_models(module=torchvision.models):
        return []
    enum = torchvision.models.get_model_weights(name)
    names = [member.name.lower() for member in enum]
    default = enum["DEFAULT"].name.lower()
    return [name for name in names if name != default] + [default]


def imagenet_weights(name: str, resolved: str) -> "WeightsEnum":
    """torchvision's own entry for these weights. Raises ConfigError."""
    from torchvision.models import get_model_weights

    try:
        return get_model_weights(name)[resolved]
    except (KeyError, ValueError) as error:
        raise ConfigError(f"weights={resolved.lower()}: torchvision has no such weights for {name}") from error


def imagenet_file(name: str, resolved: str) -> Path:
    """The file of these weights in torch's hub cache (TORCH_HOME), downloaded if need be, checked against its hash.

    Raises ConfigError that says which file to put where.
    """
    import torch

    url = imagenet_weights(name, resolved).url
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
    wanted = file.stem.rpartition("-")[2]  # the first digits of its hash
    if file.is_file():
        ok = content_hash(file).startswith(wanted)
        need(ok, f"{file}: not the file that {url} names (its hash differs); remove it or download it again")
        return file
    log.info("downloading %s to %s", url, file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(file), wanted, progress=sys.stderr.isatty())
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        message = f"weights={resolved.lower()}: can't download them for {name} ({error})"
        raise Impossible(f"{message}; put {url} at {file}") from error
    return file


def imagenet_not_checked(name: str, resolved: str) -> str:
    """Why it isn't known whether these weights can be had, in words; empty where they can: without a download. Raises
    ConfigError where they can't."""
    import torch

    url = imagenet_weights(name, resolved).url
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
    if file.is_file():
        imagenet_file(name, resolved)
        return ""
    answer = answer_of(url)
    if isinstance(answer, int):
        raise Impossible(f"weights={resolved.lower()}: {url} answers {answer}; put the file of {name} at {file}")
    return f"{resolved.lower()} not checked: {file} is not there, and no network ({answer})" if answer else ""


@cache
def answer_of(url: str) -> int | str:
    """How a server answers for a file: nothing where it has it, an HTTP status, or why there was no answer."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=5):
            return ""
    except urllib.error.HTTPError as error:
        return error.code if error.code in (404, 410) else str(error)
    except (OSError, http.client.HTTPException) as error:
        return str(error)


def fetch_imagenet(name: str, resolved: str, tensors: StateDict, head: str) -> StateDict:
    """ImageNet weights for a network with these `tensors`. Raises ConfigError.

    Where the file has other names or shapes (older ones of DenseNet and MNASNet), torchvision's builder translates
    them, which takes the construction of another network.
    """
    from torchvision.models import get_model

    state, _ = read_checkpoint(imagenet_file(name, resolved))  # refuses code, which torchvision would unpickle
    counters = {tensor for tensor in tensors if tensor.endswith("num_batches_tracked")}
    body = [tensor for tensor in tensors if tensor in state and not tensor.startswith(f"{head}.")]
    fits = all(tensors[tensor].shape == state[tensor].shape for tensor in body)
    if state.keys() | counters == tensors.keys() and fits:
        return state
    arguments = {"aux_logits": True} if name == "googlenet" else {}
    with warnings.catch_warnings(action="ignore"):  # that GoogLeNet's second heads were not trained
        return dict(get_model(name, weights=imagenet_weights(name, resolved), **arguments).state_dict())


def _resnet(name: str) -> tuple[int, str]:
    part = name.partition(".")[0]
    if part.startswith("layer"):
        return int(part.removeprefix("layer")), part
    return (HEAD, "head") if part == "fc" else (0, "stem")


def _swin(stages: list[int]) -> Place:
    """`stages`: the number of blocks in each of the network's `features`, 0 for what lies between two stages."""

    def place(name: str) -> tuple[int, str]:
        match = re.match(r"features\.(\d+)\.(\d+|\w+)", name)
        if match is None:
            return HEAD, "head"
        part = int(match[1])
        if part == 0:
            return 0, "patch_embedding"
        before = sum(stages[:part])
        return _block(before + int(match[2]) + 1 if stages[part] else before)

    return place


def _vit(name: str) -> tuple[int, str]:
    if match := re.match(r"encoder\.layers\.encoder_layer_(\d+)\.", name):
        return _block(int(match[1]) + 1)
    return (HEAD, "head") if name.startswith(("heads.", "encoder.ln.")) else (0, "patch_embedding")


def _block(number: int) -> tuple[int, str]:
    return number, f"block{number:02}"  # so that they stand in order in TensorBoard
