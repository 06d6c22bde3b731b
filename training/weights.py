"""Where initial weights come from: nowhere, ImageNet, or a checkpoint. No code is ever unpickled."""

import hashlib
import json
import logging
import pickle
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.config import ModelConfig, WeightsConfig, need
from training.errors import ConfigError
from training.record import BEST

if TYPE_CHECKING:
    import torch
    from torchvision.models import WeightsEnum

log = logging.getLogger(__name__)
StateDict = dict[str, "torch.Tensor"]


def resolve_weights(model: ModelConfig, weights: WeightsConfig) -> str:
    """What a weight source stands for: none, IMAGENET1K_V2, checkpoint:<hash>. Raises ConfigError."""
    if weights.source == "none":
        return "none"
    if weights.source == "checkpoint":
        path = checkpoint_file(weights.path)
        stat = path.stat()
        return f"checkpoint:{_file_hash(path, stat.st_size, stat.st_mtime_ns)[:8]}"
    available = model.weights if model.weights is not None else _torchvision_sources(model)
    name = available[-1] if weights.source == "default" and available else weights.source
    valid = ["none", *(["default"] if available else []), *available, "checkpoint"]
    message = f"weights={weights.source}: {model.name} has no such weights; choose from {', '.join(valid)}"
    need(name in available, message)
    return name.upper()


def _torchvision_sources(model: ModelConfig) -> list[str]:
    from torchvision.models import get_model_weights, list_models

    if model.name not in list_models():
        return []
    enum = get_model_weights(model.name)
    names = [member.name.lower() for member in enum]
    default = enum["DEFAULT"].name.lower()
    return [name for name in names if name != default] + [default]


def checkpoint_file(path: str | None) -> Path:
    """The file that weights.path means; a run folder means the best weights in it. Raises ConfigError."""
    file = Path(path or "").expanduser()
    if file.is_dir():
        need((file / BEST).is_file(), f"weights.path={path}: no {BEST} in this folder; is it a finished run's?")
        file = file / BEST
    need(file.is_file(), f"weights.path={path}: no such file")
    ok = file.suffix in (".safetensors", ".pth", ".pt")
    need(ok, f"weights.path={path}: expected a .safetensors, .pth or .pt file, or a run folder")
    return file


@cache
def _file_hash(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_checkpoint(path: Path) -> tuple[StateDict, dict[str, Any]]:
    """The tensors of a checkpoint, and what a checkpoint of ours says about itself ({} for others).

    Raises ConfigError for a file that is damaged, holds no tensors, or would have to run code to be read.
    """
    import safetensors
    import torch

    meta: dict[str, Any] = {}
    if path.suffix == ".safetensors":
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                meta = json.loads((file.metadata() or {}).get("finegrid", "{}"))
                return {name: file.get_tensor(name) for name in file.keys()}, meta  # noqa: SIM118
        except (safetensors.SafetensorError, ValueError) as error:
            raise ConfigError(f"weights.path={path}: not a readable safetensors file: {error}") from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        message = "it is damaged, or a pickle that would run code when loaded; save the model's state_dict() instead"
        raise ConfigError(f"weights.path={path}: refused: {message}") from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise ConfigError(f"weights.path={path}: not a readable checkpoint: {str(error).splitlines()[0]}") from error
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    ok = (
        isinstance(content, dict)
        and len(content) > 0
        and all(isinstance(value, torch.Tensor) for value in content.values())
    )
    need(ok, f"weights.path={path}: expected a state dict, names to tensors")
    return {name.removeprefix("module."): tensor for name, tensor in content.items()}, meta


def imagenet_weights(name: str, resolved: str) -> "WeightsEnum":
    """torchvision's own entry for these weights. Raises ConfigError."""
    from torchvision.models import get_model_weights

    try:
        return get_model_weights(name)[resolved]
    except (KeyError, ValueError) as error:
        raise ConfigError(f"weights={resolved.lower()}: torchvision has no such weights for {name}") from error


def fetch_imagenet(name: str, resolved: str) -> StateDict:
    """ImageNet weights from torch's hub cache (TORCH_HOME), downloaded if need be, checked against their hash.

    Raises ConfigError that says which file to put where.
    """
    import torch

    entry = imagenet_weights(name, resolved)
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(entry.url).name
    if file.is_file():
        wanted = file.stem.rpartition("-")[2]
        stat = file.stat()
        ok = _file_hash(file, stat.st_size, stat.st_mtime_ns).startswith(wanted)
        need(ok, f"{file}: not the file that {entry.url} names (its hash differs); remove it or download it again")
        return read_checkpoint(file)[0]
    try:
        return dict(entry.get_state_dict(progress=True, check_hash=True))
    except (OSError, RuntimeError) as error:
        message = f"weights={resolved.lower()}: can't download them for {name} ({error})"
        raise ConfigError(f"{message}; put {entry.url} at {file}") from error


@dataclass(frozen=True)
class Loaded:
    """Which tensors of a network were taken from a checkpoint, and which kept their random start."""

    taken: list[str]
    fresh: list[str]
    unused: list[str]


def match(own: StateDict, state: StateDict, head: str, source: str) -> Loaded:
    """Which tensors fit. All but the head's have to. Raises ConfigError for another architecture."""
    taken = [name for name, tensor in own.items() if name in state and state[name].shape == tensor.shape]
    fresh = [name for name in own if name not in set(taken)]
    body = [name for name in fresh if not name.startswith(f"{head}.") and not name.endswith("num_batches_tracked")]
    if body:
        name = body[0]
        found = f"has shape {list(state[name].shape)} there" if name in state else "is missing there"
        wanted = f"{name} {list(own[name].shape)} {found}"
        message = f"{len(own) - len(fresh)} of {len(own)} tensors fit this model; {wanted}"
        raise ConfigError(f"{source}: a checkpoint of another architecture: {message}")
    return Loaded(taken, fresh, sorted(set(state) - set(taken)))


def load_into(model: "torch.nn.Module", state: StateDict, head: str, source: str) -> Loaded:
    """Copy what fits into `model`; a head of another size keeps its random start. Logs what was taken and what not."""
    loaded = match(model.state_dict(), state, head, source)
    model.load_state_dict({name: state[name] for name in loaded.taken}, strict=False)
    log.info("%s: %d tensors taken", source, len(loaded.taken))
    if loaded.fresh:
        log.info("%s: fresh: %s", source, ", ".join(loaded.fresh))
    if loaded.unused:
        log.info("%s: not used: %s", source, ", ".join(loaded.unused))
    return loaded
