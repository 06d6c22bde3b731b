"""A training step's forward and backward pass as a CUDA graph: one launch instead of some hundreds.

It pays where a GPU waits for launches, with small batches. The optimizer stays outside: in one kernel it is a launch or
two, and a one-cycle schedule changes its betas, which a graph would hold as they were. Capturing follows torch's notes
(https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Pass = Callable[[Tensor, Tensor], tuple[Tensor, ...]]  # (images, labels) to tensors; leaves gradients in the parameters
WARM_UP = 3  # passes before the capture, in which libraries choose their kernels and take their memory


@dataclass(frozen=True)
class _Graph:
    """What was captured, and the tensors that it reads and writes at each replay."""

    graph: torch.cuda.CUDAGraph
    images: Tensor
    labels: Tensor
    results: tuple[Tensor, ...]
    gradients: list[Tensor | None]  # of the model's parameters

    def fits(self, images: Tensor, labels: Tensor) -> bool:
        """Whether it was captured for such a batch."""
        same_shapes = images.shape == self.images.shape and labels.shape == self.labels.shape
        return same_shapes and labels.dtype == self.labels.dtype


class Captured:
    """A pass over batches of one shape; those of another go through `work` itself.

    The first batch is what is captured: buffers (BatchNorm's statistics) and random numbers are then set back. Results
    are overwritten by the next call. Raises RuntimeError where the network does what can't be captured, such as looking
    at a value.
    """

    def __init__(self, work: Pass, model: nn.Module) -> None:
        self.work, self.model = work, model
        self.taken: _Graph | None = None

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        """What `work` gives, with the gradients of this batch alone in the parameters."""
        taken = self.taken = self.taken or self._capture(images.clone(), labels.clone())
        if not taken.fits(images, labels):
            self.model.zero_grad()
            return self.work(images, labels)
        taken.images.copy_(images)
        taken.labels.copy_(labels)
        for parameter, gradient in zip(self.model.parameters(), taken.gradients, strict=True):
            parameter.grad = gradient
        taken.graph.replay()
        return taken.results

    def _capture(self, images: Tensor, labels: Tensor) -> _Graph:
        """A graph that works on these two tensors, which are its own from now on."""
        buffers = [buffer.clone() for buffer in self.model.buffers()]
        random = torch.cuda.get_rng_state(images.device)
        beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(WARM_UP):
                self.model.zero_grad()
                self.work(images, labels)
        torch.cuda.current_stream().wait_stream(beside)
        self.model.zero_grad()  # so that the gradients of the graph lie where it writes them
        graph = torch.cuda.CUDAGraph()
        # other threads may pin memory and save meanwhile, which the default mode would take for a mistake of this one
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            results = self.work(images, labels)
        gradients = [parameter.grad for parameter in self.model.parameters()]
        for buffer, before in zip(self.model.buffers(), buffers, strict=True):
            buffer.copy_(before)
        torch.cuda.set_rng_state(random, images.device)
        return _Graph(graph, images, labels, results, gradients)
