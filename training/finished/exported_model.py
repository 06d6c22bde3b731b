"""A file that training.export has written, used like the trained network of a run: classes and preprocessing inside."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from training.config import TrainerConfig
from training.data.files import value_range
from training.data.files.decoding import stored
from training.data.files.value_range import Ranges
from training.device import resolve_compute, resolve_threads
from training.errors import ConfigError
from training.finished.exporters import Answer, check_reader, read
from training.run_folder import EXPORTS
from training.schema.checks import need
from training.schema.data_config import DataConfig

KINDS = {Path(name).suffix: kind for kind, name in EXPORTS.items()}  # ending: kind


@dataclass(frozen=True)
class ExportedModel:
    """`answer`: stored images to scores; `images`: how any image becomes a stored one, deep ones by `ranges`."""

    answer: Answer
    classes: list[str]
    images: DataConfig
    ranges: Ranges

    @classmethod
    def load(cls, file: Path, device: str = "auto") -> "ExportedModel":
        """An .onnx or .pt2. Raises ConfigError, also for one that training.export has not written."""
        need(file.is_file(), f"{file}: no such file")
        kind = KINDS[file.suffix]
        check_reader(kind)
        compute = resolve_compute(TrainerConfig(device=device, precision="fp32"))
        try:
            logging.disable(logging.WARNING)  # torch tells a page before it raises
            answer, about, _ = read(kind, file, compute.device, resolve_threads("auto"))
        except MemoryError:
            raise
        except Exception as error:  # what readers make of a damaged file may be anything
            first = next(iter(str(error).splitlines()), "")
            raise ConfigError(f"{file}: can't be read as {kind}: {type(error).__name__}: {first}") from error
        finally:
            logging.disable(logging.NOTSET)
        try:
            part = json.loads(about["preprocessing"])
            images = DataConfig(size=part["size"], stored_size=part["stored_size"], resize=part["resize"])
            classes, ranges = list(json.loads(about["classes"])), value_range.from_json(part.get("value_range"))
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{file}: not written by training.export (no {error} in its metadata)") from error
        return cls(answer, classes, images, ranges)

    def stored(self, image: Image.Image) -> np.ndarray:
        """uint8 [S, S, 3]: an image of any mode and shape, upright and at its stored size."""
        return stored(image, self.images, self.ranges)

    def logits(self, images: np.ndarray) -> Tensor:
        """float32 [B, classes], of stored images uint8 [B, S, S, 3]."""
        return torch.from_numpy(self.answer(np.ascontiguousarray(images.transpose(0, 3, 1, 2))))


def is_export(path: Path) -> bool:
    """Whether a path looks like an exported file's."""
    return path.suffix in KINDS and not path.is_dir()
