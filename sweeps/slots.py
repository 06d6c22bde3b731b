"""The places where a run can execute on this machine."""

import os
from dataclasses import dataclass

from training.config import need
from training.device import may_have_gpu, resolve_threads


@dataclass(frozen=True)
class Slot:
    """One place. `gpu`: its CUDA_VISIBLE_DEVICES, empty for the CPU. `threads`: CPU threads of a run there."""

    number: int
    gpu: str
    threads: int

    @property
    def name(self) -> str:
        """What the live view calls it."""
        return f"gpu {self.gpu}" if self.gpu else f"cpu {self.number}"

    def environment(self) -> dict[str, str]:
        """Environment variables that keep a run in its slot."""
        threads = {"OMP_NUM_THREADS": str(self.threads), "MKL_NUM_THREADS": str(self.threads)}
        return threads | ({"CUDA_VISIBLE_DEVICES": self.gpu} if self.gpu else {})


def visible_gpus() -> list[str]:
    """The CUDA devices that this process may use, as CUDA_VISIBLE_DEVICES names them. CUDA itself stays untouched."""
    if not may_have_gpu():
        return []
    import torch

    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return named[:count] if named else [str(index) for index in range(count)]


def find_slots(slots: int | str, slots_per_gpu: int, devices: str) -> list[Slot]:
    """One slot per GPU times `slots_per_gpu`, or else one for the whole CPU; `slots` sets their number. Raises
    ConfigError."""
    need(slots == "auto" or (isinstance(slots, int) and slots >= 1), f"hydra.launcher.slots={slots}: auto or 1 and up")
    need(slots_per_gpu >= 1, f"hydra.launcher.slots_per_gpu={slots_per_gpu}: expected 1 or more")
    need(devices in ("auto", "cpu", "gpu"), f"hydra.launcher.devices={devices}: expected auto, cpu or gpu")
    gpus = [] if devices == "cpu" else visible_gpus()
    need(bool(gpus) or devices != "gpu", "hydra.launcher.devices=gpu: this machine has no CUDA device")
    places = gpus * slots_per_gpu or [""]
    count = slots if isinstance(slots, int) else len(places)
    threads = max(1, resolve_threads("auto") // count)
    return [Slot(number, places[number % len(places)], threads) for number in range(count)]
