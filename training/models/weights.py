"""Where initial weights come from: nowhere, what the model's family has (ImageNet), or a checkpoint."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from training.config import ModelConfig, WeightsConfig
from training.errors import Impossible
from training.models.build import family_of, head_prefix
from training.models.checkpoint_file import StateDict, checkpoint_file, content_hash, read_checkpoint
from training.models.matching import check_numbers, load_into, match, put, without_prefix
from training.models.own import Own
from training.models.timm_models import Timm, timm_not_checked
from training.models.torchvision import Torchvision, imagenet_not_checked

if TYPE_CHECKING:
    from torch import nn

    from training.data.pixels.preprocessing import Triple

__all__ = [  # those of checkpoint_file.py and matching.py too, for whoever works with weights
    "StateDict",
    "check_weights",
    "checkpoint_file",
    "content_hash",
    "initialize",
    "load_into",
    "match",
    "pretrained_file",
    "pretrained_state",
    "put",
    "read_checkpoint",
    "resolve_weights",
    "trained_mean_std",
    "weights_content",
]
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and std of its images, as torchvision normalizes them
log = logging.getLogger(__name__)


def resolve_weights(model: ModelConfig, weights: WeightsConfig) -> str:
    """What a weight source stands for: none, IMAGENET1K_V2, checkpoint:<hash>. Raises ConfigError."""
    if weights.source == "none":
        return "none"
    if weights.source == "checkpoint":
        return f"checkpoint:{content_hash(checkpoint_file(weights.path))[:8]}"
    available = family_of(model).sources(model)
    name = available[-1] if weights.source == "default" and available else weights.source
    if name in available:
        return name.upper()
    valid = ", ".join(["none", *(["default"] if available else []), *available, "checkpoint"])
    if weights.source in ("default", "imagenet1k_v1", "imagenet1k_v2"):
        raise Impossible(f"weights={weights.source}: {model.called} has no such weights; choose from {valid}")
    raise Impossible(f"weights.source={weights.source}: expected one of {valid} for {model.called}")


def pretrained_file(config: ModelConfig, resolved: str) -> Path:
    """The file of the family's weights, downloaded if need be. Raises ConfigError."""
    with _weights_at_hand(config, resolved):
        return family_of(config).file(config, resolved)


def pretrained_state(model: "nn.Module", config: ModelConfig, resolved: str) -> StateDict:
    """The family's weights under the names of `model`. Raises ConfigError."""
    with _weights_at_hand(config, resolved):
        return family_of(config).state(config, resolved, model)


@contextlib.contextmanager
def _weights_at_hand(config: ModelConfig, resolved: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Impossible(f"weights={resolved.lower()} of {config.called}: {error}") from error


def not_checked(config: ModelConfig, resolved: str) -> str:
    """What a plan can't know of initial weights without getting them, in words; empty where they are there or can be
    had. Raises ConfigError where they can't."""
    if resolved == "none" or resolved.startswith("checkpoint:"):
        return ""
    family = family_of(config)
    if isinstance(family, Torchvision | Own):
        return imagenet_not_checked(config.name, resolved)
    if isinstance(family, Timm):
        return timm_not_checked(config, resolved)
    return f"{resolved.lower()} of {config.called} not checked"


def initialize(model: "nn.Module", config: ModelConfig, weights: WeightsConfig, resolved: str) -> None:
    """Put the initial weights into a network that has just been built. Raises ConfigError."""
    if resolved == "none":
        return
    if resolved.startswith("checkpoint:"):
        file = checkpoint_file(weights.path)
        load_into(model, read_checkpoint(file)[0], head_prefix(model), str(file))
    else:
        state = pretrained_state(model, config, resolved)
        load_into(model, state, head_prefix(model), resolved)
        if (images := family_of(config).pretraining(config, resolved)) is not None:
            log.info("%s: trained on %s", resolved, images)


def check_weights(model: "nn.Module", state: StateDict, source: str) -> None:
    """Raise ConfigError unless `state` fits the network, which may be without numbers."""
    own = model.state_dict()
    state = without_prefix(own, state)
    check_numbers(own, state, match(own, state, head_prefix(model), source).taken, source)


def trained_mean_std(
    normalize: str, config: ModelConfig, weights: WeightsConfig, resolved: str
) -> "tuple[Triple, Triple] | None":
    """Mean and std of the images that the weights were trained with, on a scale of 0 to 1, where `normalize` (as in
    the resolved settings of a run) asks for these; ImageNet's for imagenet with other weights."""
    if normalize == "checkpoint":
        saved = read_checkpoint(checkpoint_file(weights.path))[1]["preprocessing"]
        return tuple(saved["mean"]), tuple(saved["std"])
    if resolved != "none" and not resolved.startswith("checkpoint:"):
        images = family_of(config).pretraining(config, resolved)
        if images is not None and images.normalize == normalize:
            return images.mean, images.std
    return IMAGENET if normalize == "imagenet" else None


def weights_content(config: ModelConfig, weights: WeightsConfig, resolved: str) -> str | None:
    """What stands for the numbers of initial weights, for the keys of caches. None for random ones."""
    if resolved == "none":
        return None
    if resolved.startswith("checkpoint:"):
        return content_hash(checkpoint_file(weights.path))
    return family_of(config).content(config, resolved)
