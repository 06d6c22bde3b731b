"""Networks by a `_target_` of the user's own: any function or class that gives a torch.nn.Module."""

from pathlib import Path
from typing import TYPE_CHECKING

from training.config import ModelConfig
from training.errors import ConfigError
from training.models.checkpoint_file import StateDict
from training.models.family import Family, Pretraining
from training.models.torchvision import Torchvision, torchvision_sources
from training.targets import bind, locate

if TYPE_CHECKING:
    from torch import nn

TORCHVISION = Torchvision()


class Own(Family):
    """What it builds may be, or contain, one of torchvision's networks: their weights go into it where its tensors have
    their names (with model.name=resnet18, say), and their layers are known."""

    def build(self, config: ModelConfig, classes: int) -> "nn.Module":
        """Called with num_classes, the kwargs, and those of name, drop_path and dropout that `accepts` names."""
        from torch import nn

        function = locate(config._target_, "model")
        arguments = dict(config.kwargs, num_classes=classes)
        arguments |= {key: getattr(config, key) for key in config.accepts if getattr(config, key) is not None}
        bind(function, "model", **arguments)
        model = function(**arguments)
        if not isinstance(model, nn.Module):
            raise ConfigError(f"model._target_={config._target_} gave a {type(model).__name__}, not a torch.nn.Module")
        return model

    def sources(self, config: ModelConfig) -> list[str]:
        return config.weights if config.weights is not None else torchvision_sources(config.name)

    def file(self, config: ModelConfig, resolved: str) -> Path:
        return TORCHVISION.file(config, resolved)

    def state(self, config: ModelConfig, resolved: str, model: "nn.Module") -> StateDict:
        return TORCHVISION.state(config, resolved, model)

    def trained_as(self, config: ModelConfig, resolved: str) -> tuple[ModelConfig, int]:
        return TORCHVISION.trained_as(config, resolved)

    def pretraining(self, config: ModelConfig, resolved: str) -> Pretraining:
        return TORCHVISION.pretraining(config, resolved)

    def content(self, config: ModelConfig, resolved: str) -> str:
        return TORCHVISION.content(config, resolved)

    def layers(self, model: "nn.Module") -> list[tuple[str, list[str]]]:
        return TORCHVISION.layers(model)
