"""The resume state: everything that a killed run needs to go on as if nothing had happened."""

import contextlib
import logging
import math
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from training.provenance.code_version import same_results
from training.run_folder import RESUME, replacing

AT_ONCE = 2_000_000  # bytes: the state of a smaller network is written before the next epoch begins
CHECKSUM, DIGITS = b"crc32:", 8  # which end the file: the comment of the zip archive that it is
ARCHIVE_END, ARCHIVE_END_BYTES = b"PK\x05\x06", 22  # of one without comment
log = logging.getLogger(__name__)


@dataclass
class State:
    """How far a run is. Tensors lie on the CPU."""

    epoch: int = 0  # epochs that are over
    best_epoch: int = 0
    best_value: float = -math.inf  # of the monitor, signed so that higher is better
    improved_epoch: int = 0  # when the monitor was last better than ever before; a tie is none
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    best_logits: Tensor | None = None  # of the val images, at the best epoch
    best_loss: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0  # of all epochs
    threads: int = 0
    lr: float = 0.0  # of the optimizer: as asked, or what optimizer.lr=auto has found
    micro_batch: int | None = None  # images at once, if memory was too small for a batch
    code_version: str = ""


class Saver:
    """Writes the resume state of a run. A small one after every epoch. A large one, whose writing costs time, in the
    background and at most every `every_s` seconds, counted from the run's beginning, and when the run ends between
    two epochs, as one does that its sweep asks to stop: that loses nothing. One that is cut off in an epoch, by its
    death, a failure or Ctrl-C, loses no more than that time and the epoch. `keeps_trained`: the best weights are those
    of the model itself, not of another that a technique has in its place."""

    def __init__(self, folder: Path, every_s: float, keeps_trained: bool) -> None:
        self.file, self.every_s, self.keeps_trained = folder / RESUME, every_s, keeps_trained
        self.saved_at = time.monotonic()  # a death before the first costs no more than one between two
        self.unsaved: tuple[dict[str, Any], dict[str, Any]] | None = None  # state and parts, as they are now
        self.writing: threading.Thread | None = None
        self.error: Exception | None = None

    def save(self, state: State, parts: dict[str, Any]) -> None:
        """An epoch is over: write `state` and the state dicts of model, optimizer and the rest, if it is time. Raises
        OSError, that of the state before too."""
        now = {item.name: getattr(state, item.name) for item in fields(state)} | {"history": [*state.history]}
        if _size(parts) < AT_ONCE:
            return self._write({"state": now, "parts": {name: part.state_dict() for name, part in parts.items()}})
        self.unsaved = now, parts
        if time.monotonic() >= self.saved_at + self.every_s:
            self.flush()

    def flush(self) -> None:
        """Begin to write what is not saved yet, if there is anything. Raises OSError of the state before."""
        self.wait()
        if self.unsaved is None:
            return
        self.saved_at = time.monotonic()
        content, self.unsaved = _copied(*self.unsaved, self.keeps_trained), None
        self.writing = threading.Thread(target=self._try_to_write, args=(content,))
        self.writing.start()

    def changing(self) -> None:
        """The network is about to change: what is not written by now will not be."""
        self.unsaved = None

    def forget(self) -> None:
        """The run has its result: no state will be asked for, nor does it matter whether the last could be written."""
        if self.writing is not None:
            self.writing.join()
        self.unsaved = self.writing = self.error = None

    def _write(self, content: dict[str, Any]) -> None:
        """Straight to the file: a detour by the memory would take more of the processor from the training beside it."""
        with _without_checksums(), replacing(self.file) as part, part.open("wb") as file:
            try:
                summing = _Summing(file)
                torch.save(content, summing)  # type: ignore[arg-type]
                summing.end()
            except RuntimeError as error:  # which torch makes of an OSError
                raise error.__context__ if isinstance(error.__context__, OSError) else error from None

    def _try_to_write(self, content: dict[str, Any]) -> None:
        try:
            self._write(content)
        except Exception as error:
            self.error = error  # raised where the run hears of it

    def wait(self) -> None:
        """Until what was taken is on the disk. Raises OSError."""
        if self.writing is not None:
            self.writing.join()
            self.writing = None
        if self.error is not None:
            error, self.error = self.error, None
            raise error


@contextlib.contextmanager
def _without_checksums() -> Iterator[None]:
    """torch.save writes no checksum of each tensor: torch.load looks at none, and they cost half the time. Whoever else
    saves something in this process gets them again."""
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        yield
    finally:
        torch.serialization.set_crc32_options(before)


class _Summing:
    """A file for torch.save that ends in a checksum of all that is before it. (zlib's takes a hundredth of what torch's
    own does.) torch reads it as before."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.sum, self.last = file, 0, b""

    def write(self, content: Any) -> int:
        if self.last:
            self.sum = zlib.crc32(self.last, self.sum)
            self.file.write(self.last)
        view = memoryview(content).cast("B")
        self.last = bytes(view[-2:])  # the length of the comment, where these are the last bytes of all
        self.sum = zlib.crc32(view[:-2], self.sum)
        self.file.write(view[:-2])
        return len(view)

    def flush(self) -> None:
        self.file.flush()

    def end(self) -> None:
        """What comes last: the comment's length, and the comment."""
        length = struct.pack("<H", len(CHECKSUM) + DIGITS)
        self.sum = zlib.crc32(length, self.sum)
        self.file.write(length + CHECKSUM + f"{self.sum:0{DIGITS}x}".encode())


def _check(file: Path) -> None:
    """Raise ValueError where a file is not what _Summing has written; one of an earlier version has no checksum."""
    size = len(CHECKSUM) + DIGITS
    with file.open("rb") as content:
        left = content.seek(0, 2)
        content.seek(max(0, left - ARCHIVE_END_BYTES))
        end = content.read()
        if not end[-size:].startswith(CHECKSUM):
            if end.startswith(ARCHIVE_END):
                return
            raise ValueError("it is cut off, or not a file of torch.save")
        content.seek(0)
        left, found = left - size, 0
        while left > 0:
            part = content.read(min(left, 1 << 20))
            left, found = left - len(part), zlib.crc32(part, found)
    if end[-DIGITS:] != f"{found:0{DIGITS}x}".encode():
        raise ValueError("its checksum differs")


def _size(parts: dict[str, Any]) -> int:
    """Bytes of the network, which the rest of the state is a small multiple of."""
    return sum(tensor.nbytes for tensor in parts["model"].state_dict().values())


def _copied(state: dict[str, Any], parts: dict[str, Any], keeps_trained: bool) -> dict[str, Any]:
    """What a thread can write while training goes on, on the CPU. The weights of the best epoch never change, so where
    that is this one they need no copy, and stand in the file once."""
    best_is_now = keeps_trained and state["best_epoch"] == state["epoch"]
    known = {"model": state["best_weights"]} if best_is_now else {}
    return {
        "state": state,
        "parts": {name: known.get(name) or _duplicate(part.state_dict()) for name, part in parts.items()},
    }


def _duplicate(content: Any) -> Any:
    """The same dicts and lists, with copies of the tensors on the CPU."""
    if isinstance(content, Tensor):
        return content.detach().to("cpu", copy=True)
    if isinstance(content, dict):
        return {name: _duplicate(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return type(content)(_duplicate(value) for value in content)
    return content


def load_state(folder: Path) -> tuple[State, dict[str, Any]] | None:
    """What Saver wrote; None where there is nothing, it can't be read, or other code wrote it. A damaged file is set
    aside as resume.pt.bad."""
    file = folder / RESUME
    if not file.exists():
        return None
    try:
        _check(file)
        content = torch.load(file, map_location="cpu", weights_only=True)
        state, parts = State(**content["state"]), content["parts"]
        if not _sound(state, parts):
            raise ValueError("it doesn't hold the state of a run")
    except MemoryError:
        raise
    except OSError as error:
        log.warning("%s can't be read, so the run starts over: %s", file, error)
        return None
    except Exception as error:  # a damaged file makes the unpickler raise almost anything
        reason = (str(error).splitlines() or [""])[0]
        bad = file.with_name(f"{RESUME}.bad")
        file.replace(bad)
        words = "%s can't be read, so the run starts over; the damaged file is kept as %s: %s: %s"
        log.warning(words, file, bad.name, type(error).__name__, reason)
        return None
    if not same_results(state.code_version):
        log.warning("%s was written by another version of training/, so the run starts over", file)
        return None
    return state, parts


def _sound(state: State, parts: Any) -> bool:
    """Whether these are of the types that a run needs."""
    numbers = (state.epoch, state.best_epoch, state.improved_epoch, state.threads)
    weights = isinstance(state.best_weights, dict) and isinstance(state.history, list)
    always = ("model", "optimizer", "schedule", "scaler")
    named = isinstance(parts, dict) and all(isinstance(parts.get(name), dict) for name in always)
    whole = all(isinstance(number, int) for number in numbers) and weights and named
    return whole and len(state.history) == state.epoch


def copy_weights(model: torch.nn.Module) -> dict[str, Tensor]:
    """The model's tensors, copied to the CPU."""
    return dict(_duplicate(model.state_dict()))
