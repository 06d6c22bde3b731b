"""Where initial weights come from: nowhere, ImageNet, or a checkpoint. No code is ever unpickled."""

import hashlib
import http.client
import json
import logging
import os
import pickle
import sys
import warnings
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.config import ModelConfig, WeightsConfig, need
from training.errors import ConfigError, Impossible
from training.run_folder import BEST

if TYPE_CHECKING:
    import torch
    from torchvision.models import WeightsEnum

log = logging.getLogger(__name__)
StateDict = dict[str, "torch.Tensor"]
AUXILIARY_HEADS = ("aux1.fc2.", "aux2.fc2.", "AuxLogits.fc.")  # of GoogLeNet and Inception v3


def resolve_weights(model: ModelConfig, weights: WeightsConfig) -> str:
    """What a weight source stands for: none, IMAGENET1K_V2, checkpoint:<hash>. Raises ConfigError."""
    if weights.source == "none":
        return "none"
    if weights.source == "checkpoint":
        return f"checkpoint:{content_hash(checkpoint_file(weights.path))[:8]}"
    available = model.weights if model.weights is not None else torchvision_sources(model.name)
    name = available[-1] if weights.source == "default" and available else weights.source
    valid = ["none", *(["default"] if available else []), *available, "checkpoint"]
    message = f"weights={weights.source}: {model.called} has no such weights; choose from {', '.join(valid)}"
    if name not in available:
        raise Impossible(message)
    return name.upper()


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


def checkpoint_file(path: str | None) -> Path:
    """The file that weights.path means; a run folder means the best weights in it. Raises ConfigError."""
    file = Path(os.path.expanduser(path or ""))  # noqa: PTH111 (Path's own raises for ~name without such a user)
    if file.is_dir():
        need((file / BEST).is_file(), f"weights.path={path}: no {BEST} in this folder; is it a finished run's?")
        file = file / BEST
    need(file.is_file(), f"weights.path={path}: no such file")
    ok = file.suffix in (".safetensors", ".pth", ".pt")
    need(ok, f"weights.path={path}: expected a .safetensors, .pth or .pt file, or a run folder")
    return file


def content_hash(path: Path) -> str:
    """SHA-256 of a file in hex; kept for this process as long as the file stays as it is."""
    stat = path.stat()
    return _file_hash(path, stat.st_size, stat.st_mtime_ns)


@cache
def _file_hash(path: Path, size: int, mtime_ns: int) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"{path}: {(error.strerror or 'not readable').lower()}") from error


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
        except (safetensors.SafetensorError, ValueError, OSError) as error:
            raise ConfigError(f"weights.path={path}: not a readable safetensors file: {error}") from error
    try:
        with warnings.catch_warnings(action="ignore"):  # about TorchScript, which the error says too
            mapped = zipfile.is_zipfile(path)  # as torch saves since 1.6: its pages are shared by all slots then
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        message = "it is damaged, or a pickle that would run code when loaded; save the model's state_dict() instead"
        raise ConfigError(f"weights.path={path}: refused: {message}") from error
    except Exception as error:  # damaged files make the unpickler raise almost anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"weights.path={path}: not a readable checkpoint: {reason}") from error
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    ok = (
        isinstance(content, dict)
        and len(content) > 0
        and all(isinstance(value, torch.Tensor) for value in content.values())
    )
    need(ok, f"weights.path={path}: expected a state dict, names to tensors")
    wrapped = ("_orig_mod.", "module.")  # by torch.compile, by DataParallel
    for prefix in (*wrapped, *wrapped[:1]):
        content = {str(name).removeprefix(prefix): tensor for name, tensor in content.items()}
    return content, meta


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
        raise ConfigError(f"{message}; put {url} at {file}") from error
    return file


def fetch_imagenet(name: str, resolved: str, own: StateDict, head: str) -> StateDict:
    """ImageNet weights for a network with the tensors `own`. Raises ConfigError.

    Where the file has other names or shapes (older ones of DenseNet and MNASNet), torchvision's builder translates
    them, which takes the construction of another network.
    """
    from torchvision.models import get_model

    state, _ = read_checkpoint(imagenet_file(name, resolved))  # refuses code, which torchvision would unpickle
    counters = {tensor for tensor in own if tensor.endswith("num_batches_tracked")}
    body = [tensor for tensor in own if tensor in state and not tensor.startswith(f"{head}.")]
    if state.keys() | counters == own.keys() and all(own[one].shape == state[one].shape for one in body):
        return state
    arguments = {"aux_logits": True} if name == "googlenet" else {}
    with warnings.catch_warnings(action="ignore"):  # that GoogLeNet's second heads were not trained
        return dict(get_model(name, weights=imagenet_weights(name, resolved), **arguments).state_dict())


@dataclass(frozen=True)
class Loaded:
    """Which tensors of a network were taken from a checkpoint, and which kept their random start."""

    taken: list[str]
    fresh: list[str]
    unused: list[str]


def match(own: StateDict, state: StateDict, head: str, source: str) -> Loaded:
    """Which tensors fit. All have to, but for the head's and what lies beside the network. Raises ConfigError."""
    fits = {name: name in state and state[name].shape == tensor.shape for name, tensor in own.items()}
    heads = (f"{head}.", *AUXILIARY_HEADS)
    for prefix in heads:  # the whole of a head, or nothing of it
        layer = [name for name in own if name.startswith(prefix)]
        if not all(fits[name] for name in layer):
            fits.update(dict.fromkeys(layer, False))
    taken = [name for name, fit in fits.items() if fit]
    fresh = [name for name, fit in fits.items() if not fit]
    body = [name for name in fresh if not name.startswith(heads) and not name.endswith("num_batches_tracked")]
    if body:
        name = body[0]
        found = f"has shape {list(state[name].shape)} there" if name in state else "is missing there"
        wanted = f"{name} {list(own[name].shape)} {found}"
        message = f"{len(own) - len(fresh)} of {len(own)} tensors fit this model; {wanted}"
        raise ConfigError(f"{source}: a checkpoint of another architecture: {message}")
    unused = sorted(set(state) - set(taken))
    parts = {name.partition(".")[0] for name in own}  # a projection beside them may be left out, a layer in them not
    more = [name for name in unused if name not in own and name.partition(".")[0] in parts]
    if more := [name for name in more if not name.startswith(heads)]:
        message = f"{len(more)} of its tensors have no place in this model, the first is {more[0]}"
        raise ConfigError(f"{source}: a checkpoint of another architecture: {message}")
    return Loaded(taken, fresh, unused)


def put(model: "torch.nn.Module", tensors: StateDict) -> None:
    """Copy tensors into `model`. (Its own state dict says of which version the names are, which MNASNet wants.)"""
    content = model.state_dict()
    content.update(tensors)
    model.load_state_dict(content)


def load_into(model: "torch.nn.Module", state: StateDict, head: str, source: str) -> Loaded:
    """Copy what fits into `model`; a head of another size keeps its random start. Logs what was taken and what not."""
    loaded = match(model.state_dict(), state, head, source)
    put(model, {name: state[name] for name in loaded.taken})
    total = len(loaded.taken) + len(loaded.fresh)
    but = f", all but {', '.join(loaded.fresh)}, which start fresh" if loaded.fresh else ""
    log.info("%s: took %d of %d tensors%s", source, len(loaded.taken), total, but)
    if loaded.unused:
        log.info("%s: left unused: %s", source, ", ".join(loaded.unused))
    return loaded
