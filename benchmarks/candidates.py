"""Eight networks of unlike worth for benchmarks/screen.py, as checkpoints.

ImageNet's weights, whole, in part or spoilt; and networks that learnt something else, or nothing.
"""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmarks import real_weights, textures
from benchmarks.measure import python
from benchmarks.photographs import once
from training.models.trained_model import weights_file

State = dict[str, Tensor]
LITE0 = real_weights.MODEL
EARLY, HALF = ("conv_stem.", "bn1.", "blocks.0.", "blocks.1."), tuple(f"blocks.{n}." for n in range(2, 4))
CANDIDATES = ("real", "noisy", "half", "early", "none", "drifted", "textures", "resnet18")


def _noisy(real: State, _: State) -> State:
    """Half a standard deviation of noise on each convolution's weights."""
    draws = torch.Generator().manual_seed(0)
    return {
        name: tensor + 0.5 * tensor.std() * torch.randn(tensor.shape, generator=draws) if tensor.ndim == 4 else tensor
        for name, tensor in real.items()
    }


def _first(names: tuple[str, ...]) -> Callable[[State, State], State]:
    """The first layers alone are ImageNet's."""
    return lambda real, fresh: {name: (real if name.startswith(names) else fresh)[name] for name in real}


MADE: dict[str, Callable[[State, State], State]] = {
    "real": lambda real, _: real,
    "noisy": _noisy,
    "half": _first(EARLY + HALF),
    "early": _first(EARLY),
    "none": lambda _, fresh: fresh,
}


def candidates(folder: Path, size: int, epochs: int, settings: list[str]) -> dict[str, list[str]]:
    """Settings of each of CANDIDATES; what is not in `folder` yet is made. The last three are trained on drawn textures
    (benchmarks/textures.py) at `size` px: from ImageNet's weights with a high learning rate, and from nothing."""
    found = {name: [*LITE0, "weights=checkpoint", f"weights.path={folder}/{name}.safetensors"] for name in MADE}
    missing = [name for name in MADE if not (folder / f"{name}.safetensors").exists()]
    if missing:
        real = load_file(real_weights.write(folder / "lite0.safetensors"))
        torch.manual_seed(0)
        fresh = timm.create_model(real_weights.NAME).state_dict()
        about = {"preprocessing": asdict(real_weights.PREPROCESSING)}
        for name in missing:
            state = MADE[name](real, fresh)
            (folder / f"{name}.safetensors").write_bytes(weights_file(state, about))
    pictures = once(folder / "images", textures.write)
    learnt = {
        "drifted": [*found["real"], "optimizer.lr=5e-3", f"trainer.epochs={max(1, epochs // 2)}"],
        "textures": [*LITE0, f"trainer.epochs={epochs}"],
        "resnet18": ["model=resnet18", f"trainer.epochs={epochs}"],
    }
    common = ["data=folder", f"data.root={pictures}", f"data.size={size}", "augment=flip", "tracking=none", *settings]
    for name, words in learnt.items():
        python("train.py", *common, *words, f"sweep.root={folder}", f"sweep.name={name}")
        (run,) = (folder / name).glob("*/seed=0")
        model = [word for word in words if word.startswith("model")]
        found[name] = [*model, "weights=checkpoint", f"weights.path={run}"]
        print(f"candidate {name} is there", flush=True)
    return {name: found[name] for name in CANDIDATES}
