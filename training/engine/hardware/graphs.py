"""Parts of a step as CUDA graphs: one launch instead of some hundreds, which a GPU with small batches waits for.

A part is a function without arguments. It reads and writes tensors that stay where they are, and is recorded when it is
asked for a second time, by its key: a smaller last batch, another phase of training are keys of their own. Capturing
follows torch's notes (https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs).

A replay is the plain step to the bit, or there is none: the first one is compared with plain passes from the same
state, and what draws random numbers of Python, NumPy or torch's CPU generator, which a graph would repeat for ever, is
refused.
"""

import contextlib
import random
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from training.engine.hardware.out_of_memory import out_of_memory

Work = Callable[[], tuple[Tensor, ...]]
WARM_UP = 3  # passes before the recording, in which libraries choose their kernels and take their memory


class CaptureError(Exception):
    """This step can't be a CUDA graph; the message says why."""


class BrokenRecording(CaptureError):
    """A recording broke off. torch's random numbers on the device count as being recorded from then on ("Offset
    increment outside graph capture"), and its allocator keeps the recording's memory: the process is of no more use."""


class Recorder(Protocol):
    """What makes something to replay out of a function."""

    def aside(self) -> contextlib.AbstractContextManager[None]:
        """Where the passes before the recording are made."""

    def watched(self) -> contextlib.AbstractContextManager[None]:
        """Where a pass raises RuntimeError that could not be recorded, so far as this shows without recording it."""

    def record(self, work: Work) -> tuple[Callable[[], None], tuple[Tensor, ...]]:
        """What repeats `work`, and the tensors that hold its results then. Nothing has been computed yet."""


class CudaRecorder:
    """CUDA graphs that share their memory: none may need what another has left in it, but for its results until that
    one is replayed."""

    def __init__(self) -> None:
        self.pool: Any = None

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """A stream of its own, as torch's notes ask for."""
        beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            yield
        torch.cuda.current_stream().wait_stream(beside)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """What waits for the device is found out here: in a recording it would leave torch's allocator in disorder."""
        before = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode(before)

    def record(self, work: Work) -> tuple[Callable[[], None], tuple[Tensor, ...]]:
        """A graph."""
        self.pool = self.pool or torch.cuda.graph_pool_handle()
        graph, failure, stream = torch.cuda.CUDAGraph(), None, torch.cuda.current_stream()
        results: tuple[Tensor, ...] = ()
        try:
            # other threads may pin memory and save meanwhile, which the default mode takes for a mistake of this one
            with torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
                try:
                    results = work()
                except Exception as error:
                    failure = error  # the end of the recording raises another one
                    raise
        except Exception as error:
            torch.cuda.set_stream(stream)  # torch's context leaves its own where the recording can't be ended
            raise failure or error  # noqa: B904 (of one and the same failure)
        return graph.replay, results


@dataclass(frozen=True)
class _Recording:
    replay: Callable[[], None]
    results: tuple[Tensor, ...]
    gradients: list[Tensor | None]  # where it leaves them, a parameter each


class Graphs:
    """The recordings of a training. `exact`: refuse those that don't repeat a plain pass to the bit. Results are
    overwritten by the next call."""

    def __init__(
        self,
        recorder: Recorder,
        device: str,
        parameters: Sequence[nn.Parameter] = (),
        exact: bool = True,
    ) -> None:
        self.recorder, self.device, self.parameters, self.exact = recorder, torch.device(device), parameters, exact
        self.known: dict[Hashable, _Recording | None] = {}

    def __call__(self, key: Hashable, work: Work, changed: Callable[[], list[Tensor]]) -> tuple[Tensor, ...]:
        """What `work` gives. `changed`: the tensors that it changes in place, gradients that it adds to among them.
        Raises CaptureError."""
        if key not in self.known:
            self.known[key] = None
            return work()
        known = self.known[key]
        if known is None:
            known = self.known[key] = self._recorded(work, changed())  # and so this call's work is done
            return known.results
        self._replay(known)
        return known.results

    def _replay(self, recording: _Recording) -> None:
        for parameter, gradient in zip(self.parameters, recording.gradients, strict=True):
            parameter.grad = gradient
        recording.replay()

    def _recorded(self, work: Work, changed: list[Tensor]) -> _Recording:
        start, drawn = _State(changed, self.parameters, self.device), _host_draws(self.device)
        passes: list[list[Tensor]] = []
        with self.recorder.aside():
            for number in range(WARM_UP):
                start.restore()
                if number < WARM_UP - 1:
                    results = work()
                else:
                    with _as_capture_error(), self.recorder.watched():
                        results = work()
                passes = [*passes[-1:], start.outcome(results)] if self.exact else []
        if passes and not _alike(*passes) and _host_draws(self.device) == drawn:
            raise CaptureError("two plain steps from one state differ: it counts them, or isn't deterministic")
        start.restore()
        try:
            replay, results = self.recorder.record(work)
        except Exception as error:
            broken = BrokenRecording(_told(error))
            if out_of_memory(error):  # stays what it is, and says what it broke
                raise error from broken
            raise broken from error
        if _host_draws(self.device) != drawn:
            raise CaptureError("it draws random numbers of Python, NumPy or torch's CPU generator")
        recording = _Recording(replay, results, [parameter.grad for parameter in self.parameters])
        start.restore()
        self._replay(recording)
        if passes and not _alike(passes[-1], start.outcome(results)):
            raise CaptureError("its replay is not the plain step to the bit")
        return recording


@contextlib.contextmanager
def _as_capture_error() -> Iterator[None]:
    """Whatever is raised but a lack of memory."""
    try:
        yield
    except Exception as error:
        if out_of_memory(error):
            raise
        raise CaptureError(_told(error)) from error


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


class _State:
    """What a part of a step changes, as it was before."""

    def __init__(self, changed: list[Tensor], parameters: Sequence[nn.Parameter], device: torch.device) -> None:
        self.parameters, self.device = parameters, device
        self.gradients = [parameter.grad for parameter in parameters]
        self.tensors, self.copies = changed, [tensor.clone() for tensor in changed]
        self.random = torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()

    @torch.no_grad()
    def restore(self) -> None:
        for tensor, copy in zip(self.tensors, self.copies, strict=True):
            tensor.copy_(copy)
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            parameter.grad = gradient
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(self.random, self.device)
        else:
            torch.set_rng_state(self.random)

    def outcome(self, results: tuple[Tensor, ...]) -> list[Tensor]:
        """Copies of all that is there after a pass."""
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        return [tensor.detach().clone() for tensor in (*self.tensors, *gradients, *results)]


def _alike(some: list[Tensor], others: list[Tensor]) -> bool:
    """Whether all numbers are the same, those that are none too."""
    return len(some) == len(others) and all(
        one.shape == other.shape and bool(((one == other) | ((one != one) & (other != other))).all())
        for one, other in zip(some, others, strict=True)
    )


def _host_draws(device: torch.device) -> tuple[Any, ...]:
    """Where the random numbers are that don't come from `device`."""
    name, keys, *rest = np.random.get_state()
    torchs = b"" if device.type == "cpu" else torch.get_rng_state().numpy().tobytes()
    return random.getstate(), name, np.asarray(keys).tobytes(), rest, torchs
