"""The places where a run can execute on this machine."""

import contextlib
import os
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sweeps.launchers.claims import Need
from sweeps.launchers.gpu.cards import read_cards
from sweeps.launchers.gpu.placing import slots_of
from training.device import may_have_gpu, resolve_threads
from training.schema.checks import need


@dataclass(frozen=True)
class MachineSlot:
    """One place. `gpu`: its CUDA_VISIBLE_DEVICES, empty for the CPU. `threads`: CPU threads of a run there."""

    number: int
    gpu: str
    threads: int

    @property
    def name(self) -> str:
        """What the live view calls it."""
        return f"gpu {self.gpu}" if self.gpu else f"cpu {self.number}"

    def environment(self) -> dict[str, str]:
        """Environment variables that keep a run in its slot. (trainer.threads=auto goes by the first.)"""
        threads = {"OMP_NUM_THREADS": str(self.threads), "MKL_NUM_THREADS": str(self.threads)}
        return threads | {"CUDA_VISIBLE_DEVICES": self.gpu}


def find_slots(slots: int | str, slots_per_gpu: int | str, devices: str) -> list[MachineSlot]:
    """The slots of this machine. Raises ConfigError."""
    check_slots(slots, slots_per_gpu, devices)
    gpus = gpu_names(_count_gpus(), os.environ.get("CUDA_VISIBLE_DEVICES"))
    need(bool(gpus) or devices != "gpu", "hydra.launcher.devices=gpu: this machine has no CUDA device")
    cores = resolve_threads("auto")
    known = slots_per_gpu == "auto" and set(gpus) == set(read_cards(gpus))
    return lay_out(gpus, slots, slots_of(slots_per_gpu, len(gpus), known, cores), cores)


def check_slots(slots: int | str, slots_per_gpu: int | str, devices: str) -> None:
    """Raise ConfigError for settings out of range."""
    need(slots == "auto" or (isinstance(slots, int) and slots >= 1), f"hydra.launcher.slots={slots}: auto or 1 and up")
    ok = slots_per_gpu == "auto" or (isinstance(slots_per_gpu, int) and slots_per_gpu >= 1)
    need(ok, f"hydra.launcher.slots_per_gpu={slots_per_gpu}: auto or 1 and up")
    need(devices in ("auto", "cpu", "gpu"), f"hydra.launcher.devices={devices}: expected auto, cpu or gpu")


def needs_of(slots: Sequence[MachineSlot]) -> dict[int, Need]:
    """What a run in each of these slots uses, by their numbers: its share of a GPU, or else of the cores."""
    cores = cpu_cores()
    share = len(cores) / max(1, len(slots))
    on_gpu = Counter(slot.gpu for slot in slots if slot.gpu)
    names = _device_names(tuple(on_gpu))
    return {
        slot.number: Need(f"gpu {names[slot.gpu]}", 1 / on_gpu[slot.gpu])
        if slot.gpu
        else Need("cpu", min(slot.threads, share), cores)
        for slot in slots
    }


def cpu_cores() -> tuple[int, ...]:
    """The numbers of those that this process may use."""
    cores = tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()
    return cores or tuple(range(os.cpu_count() or 1))


def _device_names(gpus: tuple[str, ...]) -> dict[str, str]:
    """One name for a device, by whatever of its names CUDA_VISIBLE_DEVICES calls it: its UUID, where that can be found.
    (The indices of nvidia-smi are CUDA's where all GPUs are of one kind, or with CUDA_DEVICE_ORDER=PCI_BUS_ID.)"""
    uuids: dict[str, str] = {}
    if any(name.isdigit() for name in gpus):
        command = ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"]
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            told = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
            uuids = dict(line.split(", ", 1) for line in told.splitlines() if ", " in line)
    return {name: uuids.get(name, name) for name in gpus}


def hide_gpus() -> None:
    """Have this process see no GPU, the plan too: what it resolves `auto` to has to be what a run finds."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""


def _count_gpus() -> int:
    """How many CUDA devices this process may use; they stay untouched."""
    if not may_have_gpu():
        return 0
    import torch

    return torch.cuda.device_count()


def gpu_names(count: int, visible: str | None) -> list[str]:
    """What to call `count` devices so that CUDA finds them where `visible` (CUDA_VISIBLE_DEVICES) is set already."""
    named = [name.strip() for name in (visible or "").split(",") if name.strip()]
    return named[:count] if named else [str(index) for index in range(count)]


def lay_out(gpus: Sequence[str], slots: int | str, slots_per_gpu: int, cores: int) -> list[MachineSlot]:
    """One slot per GPU times `slots_per_gpu`, or else one for the whole CPU; a number of `slots` overrules that."""
    places = [*gpus] * slots_per_gpu or [""]
    count = slots if isinstance(slots, int) else len(places)
    threads = max(1, cores // count)
    return [MachineSlot(number, places[number % len(places)], threads) for number in range(count)]
