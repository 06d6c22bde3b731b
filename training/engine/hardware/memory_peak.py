"""How much of a GPU a run takes, which tells a sweep how many of its kind fit beside each other."""

import torch


def peak_memory_mb(device: str) -> float | None:
    """What torch's allocator held on `device` at its peak in this process, in MB (2**20 bytes), CUDA graphs included;
    the CUDA context is not. None where there is no GPU."""
    if not device.startswith("cuda"):
        return None
    return torch.cuda.max_memory_reserved(device) / 2**20
