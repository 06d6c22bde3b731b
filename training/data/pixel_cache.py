"""The stored images of a data set, on disk: decoded once per machine, and mapped into memory by all runs of it.

A folder `stored-<key>` in the user's cache folder holds one file, pixels.npy: uint8 [N, S, S, 3]. The key says which
images (the data's fingerprint) and how they were brought to their size, so what lies there can't be out of date. The
file appears whole or not at all; losing it costs time and nothing else.
"""

import contextlib
import errno
import hashlib
import logging
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.data.files import decode_memory
from training.data.files.decoding import decode, stored
from training.data.integrity import cache_folder
from training.data.parallel import in_threads
from training.errors import ConfigError
from training.run_folder import lock, remove_parts
from training.schema.checks import need
from training.schema.data_config import DataConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from training.data.dataset import Dataset

POLICY = 1  # changes whenever the same file would be stored as other pixels
PIXELS, FEATURES = "pixels.npy", "features.npy"
KEPT = (f"stored-*/{PIXELS}", f"features-*/{FEATURES}")
DAY_S = 86400.0  # that the building of a large one may take another process
ZEROS = 1 << 24  # bytes written at once where a file's blocks can't be reserved
SMALL = 64_000_000  # bytes of images that are no files, from which on they are kept on disk for the other runs
log = logging.getLogger(__name__)


def wanted(dataset: "Dataset", config: DataConfig) -> bool:
    """Whether the images of a data set are kept on disk. Raises ConfigError where they should be and don't fit."""
    size = size_of(dataset, config)
    fits = size <= config.cache_gb * 1e9
    if config.cache == "disk":
        room = f"data.cache_gb={config.cache_gb:g}"
        need(fits, f"data.cache=disk: {size / 1e9:.3g} GB of images are more than {room}")
    return config.cache == "disk" or (config.cache == "auto" and fits and (dataset.paths is not None or size > SMALL))


def decoded(dataset: "Dataset", config: DataConfig, index: int) -> np.ndarray:
    """uint8 [S, S, 3], from the file. Raises BadImage (an OSError) with the path if it has vanished or broken since."""
    with decode_memory.held():
        return stored(decode(lambda: dataset.load(index), dataset.path_or_name(index)), config)


def build_ahead(dataset: "Dataset", config: DataConfig) -> None:
    """Have the images on disk before runs ask for them. What goes wrong they will say."""
    with contextlib.suppress(OSError, ConfigError):
        if wanted(dataset, config):
            mapped(dataset, config, lambda index: decoded(dataset, config, index))


def mapped(dataset: "Dataset", config: DataConfig, image: "Callable[[int], np.ndarray]") -> np.ndarray:
    """uint8 [N, S, S, 3], read-only, on disk; made with `image` (image i as [S, S, 3]) where it isn't there yet. Raises
    OSError where it can't be written, and what `image` raises."""
    folder = cache_folder() / f"stored-{key(dataset, config)}"
    file = folder / PIXELS
    if not file.exists():
        with lock(folder, wait_s=DAY_S):  # another slot may be at it: its work is ours
            remove_parts(folder)
            if not file.exists():
                make_room(size_of(dataset, config), config.cache_gb * 1e9, folder)
                build(file, (len(dataset.names), config.stored, config.stored, 3), image)
    pixels: np.ndarray = np.load(file, mmap_mode="r", allow_pickle=False)
    os.utime(file)  # the least recently used goes first
    return pixels


def size_of(dataset: "Dataset", config: DataConfig) -> int:
    """Bytes of all stored images."""
    return len(dataset.names) * config.stored**2 * 3


def key(dataset: "Dataset", config: DataConfig) -> str:
    """16 hex digits for these images at this size."""
    about = (POLICY, dataset.fingerprint, len(dataset.names), config.stored, config.resize)
    return hashlib.sha256(repr(about).encode()).hexdigest()[:16]


def build(file: Path, shape: tuple[int, ...], image: "Callable[[int], np.ndarray]") -> None:
    """Decode all images into `file`, with a progress bar if it takes long. Raises OSError where the disk is too full,
    before the first image is decoded."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        pixels = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=shape)
        reserve(part, pixels.offset)

        def store(index: int) -> None:
            pixels[index] = image(index)

        in_threads(store, range(shape[0]), "decoding images")
        pixels.flush()
        part.replace(file)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def reserve(file: Path, header: int) -> None:
    """Have the file system set aside the blocks of a file that has its length, and `header` bytes of content, already.
    Without them, a write to the mapped file on a full disk ends the process by SIGBUS. Raises OSError."""
    length = file.stat().st_size
    try:
        with file.open("r+b") as opened:
            if not allocated(opened.fileno(), length):
                opened.seek(header)
                for start in range(header, length, ZEROS):
                    opened.write(bytes(min(ZEROS, length - start)))
    except OSError as error:
        error.filename = str(file.parent)  # the part itself is removed: its name would help nobody
        raise


def allocated(descriptor: int, length: int) -> bool:
    """Whether the blocks could be set aside; False where the system has no call for it. Raises OSError."""
    if not hasattr(os, "posix_fallocate"):  # macOS
        return False
    try:
        os.posix_fallocate(descriptor, 0, length)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
            return False
        raise
    return True


def make_room(needed: int, limit: float, keep: Path) -> None:
    """Remove what was used longest ago until `needed` more bytes stay below `limit`. (What a run has mapped stays with
    it until it ends.)"""
    found = []
    for file in (file for name in KEPT for file in cache_folder().glob(name)):
        if file.parent != keep:
            stat = file.stat()
            found.append((stat.st_mtime, stat.st_size, file.parent))
    held = sum(size for _, size, _ in found)
    for _, size, folder in sorted(found):
        if held + needed <= limit:
            break
        log.info("data.cache_gb: removing %s", folder)
        shutil.rmtree(folder, ignore_errors=True)
        held -= size
