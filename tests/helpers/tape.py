"""What a CUDA graph is, on any device: the kernels of a function with the tensors that they had, to be run again.

A replay runs no Python of the function, reads and writes where the recording did, and draws random numbers anew. As in
a CUDA graph, a value can't be looked at.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

LOOKS = ("_local_scalar_dense", "is_nonzero", "nonzero", "equal")  # operations that a GPU would be waited for


class _Kernels(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, kernel: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if kernel.overloadpacket.__name__ in LOOKS:
            raise RuntimeError("operation not permitted when stream is capturing")
        result = kernel(*args, **(kwargs or {}))
        self.done.append((kernel, args, kwargs or {}, result))
        return result


class Tape:
    """Records as training.engine.hardware.graphs.CudaRecorder does."""

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        yield

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        with _Kernels():
            yield

    def record(self, work: Callable[[], tuple[Tensor, ...]]) -> tuple[Callable[[], None], tuple[Tensor, ...]]:
        self.recorded += 1
        with _Kernels() as kernels:
            results = work()

        @torch.no_grad()
        def replay() -> None:
            self.replayed += 1
            for kernel, args, kwargs, before in kernels.done:
                after = kernel(*args, **kwargs)
                for old, new in zip(tree_leaves(before), tree_leaves(after), strict=True):
                    if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                        old.detach().copy_(new)

        return replay, results
