"""Files of weights, read without running code: .safetensors, .pth and .pt, or the best weights in a run folder."""

import hashlib
import json
import os
import pickle
import warnings
import zipfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.config import need
from training.errors import ConfigError
from training.run_folder import BEST

if TYPE_CHECKING:
    import torch

StateDict = dict[str, "torch.Tensor"]
WRAPPERS = ("_orig_mod.", "module.", "_orig_mod.")  # prefixes of names, by torch.compile and DataParallel


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
    return _read_safetensors(path) if path.suffix == ".safetensors" else (_read_torch(path), {})


def _read_safetensors(path: Path) -> tuple[StateDict, dict[str, Any]]:
    import safetensors

    try:
        with safetensors.safe_open(path, framework="pt") as file:
            meta = json.loads((file.metadata() or {}).get("finegrid", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, meta  # noqa: SIM118
    except (safetensors.SafetensorError, ValueError, OSError) as error:
        raise ConfigError(f"weights.path={path}: not a readable safetensors file: {error}") from error


def _read_torch(path: Path) -> StateDict:
    import torch

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
    for prefix in WRAPPERS:
        content = {str(name).removeprefix(prefix): tensor for name, tensor in content.items()}
    state: StateDict = content
    return state
