"""Settings of torch that hold for the whole process: threads, memory, the current GPU, determinism."""

import os

import torch

from training.config import TrainerConfig
from training.device import keep_freed_memory


def set_up_process(config: TrainerConfig, device: str, threads: int) -> None:
    """Make this process ready for one run. `device`: cpu, mps, cuda or cuda:N. A later call for another run replaces
    all of it but CUBLAS_WORKSPACE_CONFIG and the memory that is kept, which change no result."""
    torch.set_num_threads(threads)
    if device == "cpu":
        keep_freed_memory()
    if device.startswith("cuda:"):  # streams and graphs belong to the current one
        torch.cuda.set_device(device)
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(config.deterministic, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # for bugs of torch's
    torch.backends.cudnn.benchmark = not config.deterministic
