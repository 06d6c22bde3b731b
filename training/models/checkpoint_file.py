"""Files of weights, read without running code: .safetensors, what torch saves, or the best weights in a run folder."""

import argparse
import codecs
import difflib
import hashlib
import json
import os
import pickle
import warnings
import zipfile
import zlib
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from training.errors import ConfigError
from training.models.removed_weights import removed
from training.run_folder import BEST
from training.schema.checks import need

if TYPE_CHECKING:
    import torch

StateDict = dict[str, "torch.Tensor"]
ENDINGS = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".pth.tar")
# Keys under which training programs save a state dict; of several the first, since an average may be there beside it.
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "params", "state_dict_ema", "ema")
CHECKSUM = "crc32"  # key of our own metadata
NEWEST_PROTOCOL = 3  # of pickle, that torch reads without running code
PATHS = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
FORMATS = {  # what else such files turn out to be, by their first bytes
    b"version https://git-lfs": "a Git LFS pointer instead of the file; `git lfs pull` fetches it",
    b"<!doctype html": "an HTML page, as a failed download leaves it; download the file again",
    b"<html": "an HTML page, as a failed download leaves it; download the file again",
    b"\x89HDF": "an HDF5 file, as Keras saves; expected PyTorch weights",
    b"\x1f\x8b": "a gzip archive; unpack it first",
    b"GGUF": "a GGUF file; expected PyTorch weights",
    b"\x93NUMPY": "a NumPy file; expected PyTorch weights",
}


def checkpoint_file(path: str | None) -> Path:
    """The file that weights.path means; a run folder means the best weights in it. Raises ConfigError."""
    file = Path(os.path.expanduser(path or ""))  # noqa: PTH111 (Path's own raises for ~name without such a user)
    folder = file.parent if file.name == BEST else file
    if not os.path.isfile(file) and (why := removed(folder)):  # noqa: PTH113 (Path's own raises for a name too long)
        raise ConfigError(f"weights.path={why}")
    if os.path.isdir(file):  # noqa: PTH112
        need((file / BEST).is_file(), f"weights.path={path}: no {BEST} in this folder; is it a finished run's?")
        file = file / BEST
    need(os.path.isfile(file), f"weights.path={path}: no such file")  # noqa: PTH113
    ok = file.name.lower().endswith(ENDINGS)
    need(ok, f"weights.path={path}: expected a {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]} file, or a run folder")
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
    _check_format(path)
    return _read_safetensors(path) if path.suffix.lower() == ".safetensors" else (_read_torch(path), {})


def _read_safetensors(path: Path) -> tuple[StateDict, dict[str, Any]]:
    import safetensors

    try:
        with safetensors.safe_open(path, framework="pt") as file:
            meta = json.loads((file.metadata() or {}).get("finegrid", "{}"))
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, ValueError, OSError) as error:
        raise ConfigError(f"weights.path={path}: not a readable safetensors file: {error}") from error
    known = meta.get(CHECKSUM) if isinstance(meta, dict) else None  # files of earlier versions have none
    need(known in (None, checksum(state)), f"weights.path={path}: damaged: its numbers are not those that were written")
    return state, meta


def checksum(state: StateDict) -> int:
    """CRC-32 of the bytes of all tensors, in the order of their names."""
    import torch

    value = 0
    for name in sorted(state):
        value = zlib.crc32(state[name].contiguous().view(-1).view(torch.uint8).numpy().data, value)
    return value


def _protocol(path: Path) -> int:
    """Of the pickle in a file that torch saved, by its first two bytes; 0 where there is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            entry = next(entry for entry in archive.infolist() if entry.filename.endswith("data.pkl"))
            del entry.CRC  # which torch leaves out where it was told to; zipfile would call the file damaged
            with archive.open(entry) as file:
                start = file.read(2)
    except (OSError, zipfile.BadZipFile, StopIteration):
        with path.open("rb") as file:
            start = file.read(2)
    return start[1] if len(start) == 2 and start[:1] == b"\x80" else 0


def _read_torch(path: Path) -> StateDict:
    import torch

    try:
        # Warnings are about TorchScript, which the error says too.
        with warnings.catch_warnings(action="ignore"), torch.serialization.safe_globals(list(_harmless())):
            mapped = zipfile.is_zipfile(path)  # as torch saves since 1.6: its pages are shared by all slots then
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        message = "it is damaged, or a pickle that would run code when loaded; save the model's state_dict() instead"
        if (protocol := _protocol(path)) > NEWEST_PROTOCOL:
            message = (
                f"saved with pickle_protocol={protocol}, which can't be read without running it; where it is trusted,"
            )
            message += " load it and save its state_dict() again with torch's own protocol"
        raise ConfigError(f"weights.path={path}: refused: {message}") from error
    except Exception as error:  # damaged files make the unpickler raise almost anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"weights.path={path}: not a readable checkpoint: {reason}") from error
    content = _unwrapped(content)
    ok = (
        isinstance(content, dict)
        and len(content) > 0
        and all(isinstance(value, torch.Tensor) for value in content.values())
    )
    need(ok, f"weights.path={path}: expected a state dict, names to tensors; {_found(content)}")
    return {str(name): tensor for name, tensor in content.items()}


def _unwrapped(content: Any) -> Any:
    """The state dict in what training programs save around it, however deep."""
    for _ in range(4):
        keys = [key for key in WRAPPERS if isinstance(content, dict) and isinstance(content.get(key), dict)]
        keys = [key for key in keys if content[key]]
        if not keys:
            break
        content = content[keys[0]]
    return content


def _found(content: Any) -> str:
    """What there is instead, for a message: the keys, and the nearest to one that we know."""
    if not isinstance(content, dict):
        return f"found a {type(content).__name__}"
    keys = [str(key) for key in content]
    near = [match for key in WRAPPERS for match in difflib.get_close_matches(key, keys, 1, 0.7)]
    first = ", ".join(keys[:5]) + (f" and {len(keys) - 5} more" * (len(keys) > 5))
    hint = f" ({near[0]} is near to one of {', '.join(WRAPPERS)})" if near else ""
    return f"found the keys {first}{hint}" if keys else "found nothing in it"


def _dict(*factory: Any) -> dict[Any, Any]:
    """A defaultdict of a pickle, as one that torch fills."""
    return {}


@cache
def _harmless() -> tuple[Any, ...]:
    """What may stand beside the weights in a pickle: settings and numbers, whose making runs nobody's code."""
    import numpy as np

    scalar = np.float64(0).__reduce__()[0]
    scalars = [(scalar, f"{module}.multiarray.scalar") for module in ("numpy.core", "numpy._core")]
    kinds = [type(np.dtype(kind)) for kind in "?bhilqBHILQefd"]
    paths = [(PurePosixPath, f"{module}.{name}") for module in ("pathlib", "pathlib._local") for name in PATHS]
    plain = [argparse.Namespace, (_dict, "collections.defaultdict"), int, float, str, bool, list, dict, set, tuple]
    return (*plain, np.dtype, *dict.fromkeys(kinds), *scalars, *paths, (codecs.encode, "_codecs.encode"))


def _check_format(path: Path) -> None:
    """Raise ConfigError for what is no checkpoint, or not one of the kind that the file's ending says, by its name."""
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise ConfigError(f"{path}: {(error.strerror or 'not readable').lower()}") from error
    where = f"weights.path={path}"
    need(bool(head), f"{where}: an empty file")
    for begin, what in FORMATS.items():
        need(not head.lstrip().lower().startswith(begin.lower()), f"{where}: {what}")
    length = int.from_bytes(head[:8], "little")
    tensors = head[8:9] == b"{" and length <= path.stat().st_size - 8
    torch_file = head.startswith((b"PK\x03\x04", b"\x80"))
    ends = path.suffix.lower() == ".safetensors"
    need(ends or not tensors, f"{where}: a safetensors file by its content; rename it to {path.stem}.safetensors")
    need(not ends or tensors or not torch_file, f"{where}: a file of torch.save by its content; rename it to .pth")
