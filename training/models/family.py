"""What finegrid asks of a family of networks: one class, of which a family gives what it knows better.

A config chooses it by `model._target_`: the dotted name of a subclass of Family, or of any function or class that
builds a network (then the family is own.py's). `model.accepts` says in its YAML which of name, drop_path and dropout
it takes. A family of your own: docs/own-parts.md.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from training.config import ModelConfig
from training.errors import ConfigError
from training.models.checkpoint_file import StateDict, content_hash, read_checkpoint
from training.models.layers import children_in_order, last_layer

if TYPE_CHECKING:
    from torch import nn

    from training.data.pixels.preprocessing import Triple


@dataclass(frozen=True)
class Pretraining:
    """The images that a family's weights were trained with. `mean` and `std` are on a scale of 0 to 1."""

    normalize: str  # what data.normalize=auto becomes with these weights, as identity and record hold it
    mean: "Triple"
    std: "Triple"
    size: int | None = None  # px, what the network saw
    shorter_side: int | None = None  # px, to which images were resized before the centre was taken
    interpolation: str = "bilinear"
    licence: str | None = None  # of the weights, where it is known

    def __str__(self) -> str:
        size = "" if self.size is None else f" of {self.size} px"
        centre = "" if self.shorter_side is None else f", the centre of ones resized to {self.shorter_side} px"
        licence = "" if self.licence is None else f"; licence of the weights: {self.licence}"
        return f"images{size}{centre}, {self.interpolation}{licence}"


class Family:
    """Methods are given the config of the model, and `resolved`: the name of one of `sources`, in capital letters.

    A family must give `build`. One with weights gives `sources`, `file` and `pretraining`, and where the file's tensors
    have other names than the network's, `state`. All raise ConfigError with one line that says what would be right.
    """

    runs_on_meta = False  # whether a forward pass needs no numbers, so that one without them finds mistakes

    def build(self, config: ModelConfig, classes: int) -> "nn.Module":
        """The untrained network, its random weights drawn from torch's current seed: images float32 [B, 3, S, S] to
        scores [B, classes], in torch's default device."""
        raise ConfigError(f"model: {type(self).__name__} has no method build(config, classes)")

    def check(self, config: ModelConfig) -> None:
        """What can be wrong with a config before a network is built."""

    def sources(self, config: ModelConfig) -> list[str]:
        """The weight sources beside none, default and checkpoint, in small letters; the last one is the default. Called
        before torch is imported: think before importing it here."""
        return []

    def file(self, config: ModelConfig, resolved: str) -> Path:
        """The file of these weights, downloaded if need be."""
        raise ConfigError(f"model: {type(self).__name__} has weight sources, but no method file(config, resolved)")

    def state(self, config: ModelConfig, resolved: str, model: "nn.Module") -> StateDict:
        """These weights under the names of `model`."""
        return read_checkpoint(self.file(config, resolved))[0]

    def trained_as(self, config: ModelConfig, resolved: str) -> tuple[ModelConfig, int] | None:
        """Config and classes of the network that has these weights, so that names and shapes are compared without their
        file. None: compared with the file."""
        return None

    def pretraining(self, config: ModelConfig, resolved: str) -> Pretraining | None:
        """The images that these weights were trained with. None: not known; they see data.normalize=dataset."""
        return None

    def content(self, config: ModelConfig, resolved: str) -> str:
        """What stands for the content of these weights in the keys of caches."""
        return content_hash(self.file(config, resolved))

    def head(self, model: "nn.Module") -> str:
        """The name of the layer that makes the class scores, such as `fc`."""
        return last_layer(model)

    def layers(self, model: "nn.Module") -> list[tuple[str, list[str]]]:
        """Names of layers from the images to the scores, each with the names of its parameters; each parameter once."""
        return children_in_order(model)
