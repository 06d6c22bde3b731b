"""A trained network and what has to be known to use it. The one reader and the one writer of best.safetensors.

The file holds the weights, and as metadata the text `finegrid`: JSON with the model's config, the classes, the
preprocessing, and the identity and seed of the run.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor, nn

from training.config import ModelConfig, RunConfig, TrainerConfig
from training.data.batches import Preprocessing
from training.data.files import value_range
from training.data.files.decoding import stored
from training.data.files.value_range import Ranges
from training.device import resolve_compute
from training.errors import ConfigError
from training.models.build import build_model, logits
from training.models.checkpoint_file import CHECKSUM, checksum
from training.models.removed_weights import removed
from training.models.tta import averaged
from training.models.weights import StateDict, checkpoint_file, match, put, read_checkpoint
from training.record import named_after
from training.run_folder import BEST
from training.schema.checks import need
from training.schema.data_config import DataConfig
from training.targets import foreign


@dataclass(frozen=True)
class TrainedModel:
    """A network in evaluation mode on its device. `preprocessing`: from a stored image to what it sees; `images`: how
    any image becomes a stored one, deep ones by `ranges`; `about`: the file's metadata."""

    model: nn.Module
    classes: list[str]
    preprocessing: Preprocessing
    images: DataConfig
    about: dict[str, Any]
    device: str
    ranges: Ranges = field(default_factory=dict)

    @property
    def network(self) -> nn.Module:
        """The network as it is asked: `model`, or with the run's test-time augmentation what averages its answers."""
        return averaged(self.model, self.about.get("tta", "none"))

    @classmethod
    def load(cls, folder: Path, device: str = "auto") -> "TrainedModel":
        """The selected network of a run folder. Raises ConfigError, also for a network whose code is neither known nor
        trusted (training/targets.py)."""
        need(folder.is_dir(), f"{folder}: no such run folder")
        if why := removed(folder):
            raise ConfigError(why)
        need((folder / BEST).is_file(), f"{folder}: no {BEST} in it; is this a finished run's folder?")
        state, about = read_checkpoint(checkpoint_file(str(folder)))
        need("classes" in about, f"{folder / BEST}: not written by a run (no classes in its metadata)")
        check_own(folder, about)
        device = resolve_compute(TrainerConfig(device=device)).device
        try:
            with foreign(folder / BEST):
                model = build_model(ModelConfig(**about["model"]), len(about["classes"]))
            fits = match(model.state_dict(), state, "", str(folder))
            put(model, {name: state[name] for name in fits.taken})
            part = about["preprocessing"]
            images = DataConfig(size=part["size"], stored_size=part["stored_size"], resize=part["resize"])
            averaged(model, about.get("tta", "none"))
            preprocessing = Preprocessing(part["size"], tuple(part["mean"]), tuple(part["std"]))
            ranges = value_range.from_json(part.get("value_range"))
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{folder / BEST}: written by another version of finegrid ({error})") from error
        return cls(model.eval().to(device), list(about["classes"]), preprocessing, images, about, device, ranges)

    def stored(self, image: Image.Image) -> np.ndarray:
        """uint8 [S, S, 3]: an image of any mode and shape, upright and at its stored size."""
        return stored(image, self.images, self.ranges)

    def transform(self, image: Image.Image) -> Tensor:
        """float32 [3, size, size]: an image of any mode and shape as the network wants it, on the CPU."""
        pixels = torch.from_numpy(np.array([self.stored(image)])).permute(0, 3, 1, 2)
        return self.preprocessing.plain(pixels)[0].contiguous()

    def logits(self, images: np.ndarray) -> Tensor:
        """float32 [B, classes] on the network's device, of stored images uint8 [B, S, S, 3]."""
        pixels = torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2)
        with torch.no_grad():
            return logits(self.network(self.preprocessing.plain(pixels)))


def check_own(folder: Path, about: Mapping[str, Any]) -> None:
    """Raise ConfigError where the weights in a run folder say that they are another run's."""
    named = named_after(folder)
    for key in [key for key in ("identity", "seed") if key in named and about.get(key) is not None]:
        ok = about[key] == named[key]
        need(ok, f"{folder / BEST}: of another run: its {key} is {about[key]}, and that of its folder {named[key]}")


def metadata(
    config: RunConfig, classes: Sequence[str], preprocessing: Preprocessing, identity: str, ranges: Ranges
) -> dict[str, Any]:
    """What best.safetensors says of the network of a run."""
    data = config.data
    deep = {"value_range": {kind: list(one) for kind, one in ranges.items()}} if ranges else {}
    return {
        "model": asdict(config.model),
        "classes": list(classes),
        "preprocessing": asdict(preprocessing) | {"stored_size": data.stored, "resize": data.resize} | deep,
        "identity": identity,
        "seed": config.seed,
    } | ({"tta": config.trainer.tta} if config.trainer.tta != "none" else {})


def weights_file(weights: Mapping[str, Tensor], about: dict[str, Any]) -> bytes:
    """best.safetensors: weights and their metadata."""
    contiguous = {name: tensor.contiguous().cpu() for name, tensor in weights.items()}
    return safetensors.torch.save(contiguous, {"finegrid": json.dumps(about | {CHECKSUM: checksum(contiguous)})})


def read_weights(trained: TrainedModel, folder: Path, name: str) -> StateDict:
    """The weights of another run of the same network. Raises ConfigError unless they, and the preprocessing, are alike;
    `name`: what the network is called then."""
    file = folder / BEST
    state, about = read_checkpoint(file)
    check_own(folder, about)
    known = trained.model.state_dict()
    fits = known.keys() == state.keys() and all(known[key].shape == state[key].shape for key in known)
    need(fits, f"{file}: its tensors are not those of {name}")
    # Runs of earlier versions on the same images say nothing of a range
    both = [about.get("preprocessing") or {}, trained.about["preprocessing"]]
    if not all("value_range" in one for one in both):
        both = [{key: value for key, value in one.items() if key != "value_range"} for one in both]
    need(both[0] == both[1], f"{file}: of another preprocessing")
    return state
