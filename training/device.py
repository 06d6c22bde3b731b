"""On what a run computes: device, precision, threads. Answers without torch wherever that is possible."""

import contextlib
import ctypes
import os
import platform
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from training.config import TrainerConfig
from training.schema.checks import need

if TYPE_CHECKING:
    import torch

# From this size of images on (px) a CPU with bf16 takes it. Smaller ones gain little or lose (resnet18 at 32 px: 0.68
# to 1.16 times as many images/s as in fp32, at 64 px 1.46 times; docs/performance.md).
BF16_FROM = 48
# Up to this size (px) networks of depthwise convolutions are faster in fp32 there: those that give at least so large a
# share of a network's channels (training/models/layers.py). Mobile networks have 0.22 to 0.46, ConvNeXt 0.16.
DEPTHWISE_FROM, DEPTHWISE_UP_TO = 0.2, 224


@dataclass(frozen=True)
class Compute:
    """`device`: cpu, mps, cuda or cuda:N. `precision`: fp32, bf16 or fp16. `memory_format` as torch spells it.
    `capture`: steps are recorded as CUDA graphs."""

    device: str
    precision: str
    memory_format: str
    capture: bool = False


@dataclass(frozen=True)
class Kind:
    """What runs compute on that are carried out elsewhere, as far as `auto` goes by it. `device`: cpu, mps or cuda.
    `capability`: of a CUDA device, (8, 0) say. `bf16`: whether its CPU multiplies bfloat16 by itself."""

    name: str  # for people: a100, NVIDIA A100-SXM4-80GB, cpu
    device: str
    capability: tuple[int, int] = (0, 0)
    bf16: bool = False

    @property
    def precision(self) -> str:
        """What `auto` is on it, if neither images nor network say otherwise."""
        if self.device == "cuda":
            return _by_generation(self.capability[0])
        return "bf16" if self.device == "cpu" and self.bf16 else "fp32"

    def can(self, precision: str) -> bool:
        """Whether it computes in this precision; a CPU without instructions for bf16 does so, slowly."""
        if self.device == "cuda":
            return precision != "bf16" or self.capability[0] >= 8
        return precision != "fp16"


def precision_for(kinds: Sequence[Kind]) -> str:
    """The precision that `auto` is on all of these: the weakest's."""
    answers = {kind.precision for kind in kinds}
    weakest = min(answers, key=("fp32", "fp16", "bf16").index)
    return weakest if all(kind.can(weakest) for kind in kinds) else "fp32"


def autocast(compute: Compute, cached: bool = True) -> contextlib.AbstractContextManager[None]:
    """What puts a forward pass into the precision of `compute`. `cached`: weights that occur twice are cast once, which
    torch's notes advise against in a CUDA graph."""
    if compute.precision == "fp32":
        return contextlib.nullcontext()
    import torch

    dtype = torch.bfloat16 if compute.precision == "bf16" else torch.float16
    return torch.autocast(compute.device.partition(":")[0], dtype, cache_enabled=cached)


def layout(compute: Compute) -> "torch.memory_format":
    """How images and weights lie in memory."""
    import torch

    return torch.channels_last if compute.memory_format == "channels_last" else torch.contiguous_format


@cache
def may_have_gpu() -> bool:
    """False where no GPU can be, which spares importing torch to find out."""
    drivers = ("/dev/nvidiactl", "/proc/driver/nvidia", "/dev/dxg", "/dev/kfd")
    return platform.system() != "Linux" or any(Path(driver).exists() for driver in drivers)


@cache
def cpu_has_bf16() -> bool:
    """Whether the processor multiplies bfloat16 by itself: avx512_bf16 or amx_bf16 on x86, bf16 on Arm."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return re.search(r"\b(avx512_bf16|amx_bf16|bf16)\b", flags) is not None


def resolve_compute(config: TrainerConfig, size: int | None = None, kinds: Sequence[Kind] | None = None) -> Compute:
    """Settle every `auto`. The precision follows from what the processor is and from the images' `size` in px, never
    from a measurement. `kinds`: a run is carried out elsewhere, on any of these; empty: nobody knows on what, and
    `auto` is what it is here; None: it is carried out here.

    Raises ConfigError when the device that was asked for is not there.
    """
    device = _device(config.device) if kinds is None else _device_elsewhere(config.device, kinds)
    precision: str = config.precision
    if precision == "auto" and device == "cpu" and _is_small(size):
        precision = "fp32"
    elif precision == "auto" and kinds:
        precision = precision_for([replace(kind, device="cpu") for kind in kinds] if config.device == "cpu" else kinds)
    elif precision == "auto":
        precision = _auto_precision(device)
    cuda = device.startswith("cuda")
    may = cuda or (kinds is not None and not kinds)
    need(precision != "fp16" or may, f"trainer.precision=fp16 needs a CUDA device, not {device}")
    need(config.capture is not True or may, f"trainer.capture=true needs a CUDA device, not {device}; auto is for both")
    memory_format: str = config.memory_format
    if memory_format == "auto":
        memory_format = "contiguous" if device == "mps" else "channels_last"
    return Compute(device, precision, memory_format, bool(config.capture) and cuda)


def for_network(compute: Compute, config: TrainerConfig, size: int, depthwise: Callable[[], float]) -> Compute:
    """`compute` with the precision that suits a network, where that is `auto`. `depthwise`: gives the share of its
    channels that depthwise convolutions make; asked only where that matters."""
    decides = config.precision == "auto" and compute.device == "cpu" and compute.precision == "bf16"
    if decides and size <= DEPTHWISE_UP_TO and depthwise() >= DEPTHWISE_FROM:
        return replace(compute, precision="fp32")
    return compute


def former_precision(config: TrainerConfig, compute: Compute, size: int) -> tuple[str, str] | None:
    """What `auto` was on this processor before it went by images and network too, and for which runs it no longer is
    that. None where it is what it was."""
    if config.precision != "auto" or compute.device != "cpu" or _auto_precision("cpu") == compute.precision:
        return None
    small, depthwise = f"images of less than {BF16_FROM} px", "networks of depthwise convolutions"
    return _auto_precision("cpu"), f"{small if _is_small(size) else depthwise} on a CPU"


def _is_small(size: int | None) -> bool:
    return size is not None and size < BF16_FROM


def _device(asked: str) -> str:
    if asked == "cpu" or (asked == "auto" and not may_have_gpu()):
        return "cpu"
    import torch

    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if asked == "mps":
        need(torch.backends.mps.is_available(), "trainer.device=mps: no such device on this machine")
        return asked
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = int(asked.partition(":")[2] or 0)
    need(index < count, f"trainer.device={asked}: this machine has {count or 'no'} CUDA device{'s' * (count > 1)}")
    return asked


def _device_elsewhere(asked: str, kinds: Sequence[Kind]) -> str:
    """The device that all of these have; what was asked for, where nobody knows them."""
    if not kinds:
        return _device(asked) if asked == "auto" else asked
    found = {kind.device for kind in kinds}
    if asked == "auto":
        return "cpu" if len(found) > 1 else found.pop()
    names = ", ".join(dict.fromkeys(kind.name for kind in kinds))
    ok = asked == "cpu" or found == {asked.partition(":")[0]}
    need(ok, f"trainer.device={asked}: this sweep's runs are carried out on {names}")
    return asked


def _auto_precision(device: str) -> str:
    if device == "cpu":
        return "bf16" if cpu_has_bf16() else "fp32"
    if device == "mps":
        return "fp32"
    import torch

    return _by_generation(torch.cuda.get_device_capability(device)[0])


def _by_generation(major: int) -> str:
    """Of NVIDIA's GPUs: Volta has units for fp16, Ampere for bf16 too."""
    return "bf16" if major >= 8 else "fp16" if major >= 7 else "fp32"


def resolve_threads(asked: int | str) -> int:
    """The number of CPU threads of a run: `auto` is all cores that this process may use. In a sweep its slot says how
    many that are, in OMP_NUM_THREADS."""
    if isinstance(asked, int):
        return asked
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    limit = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return min(int(limit), cores) if limit.isdigit() and int(limit) else cores


def check_threads(asked: int | str) -> None:
    """Raise ConfigError for more CPU threads than this machine has cores. (Two on a single one do no harm.)"""
    cores = os.cpu_count() or 1
    ok = not isinstance(asked, int) or asked <= max(2, cores)
    need(ok, f"trainer.threads={asked}: this machine has {cores} CPU core{'s' * (cores > 1)}; auto takes all there are")


def keep_freed_memory() -> None:
    """Let this process keep the memory of a step for the next one. glibc would give large tensors back to the system
    and get them again page by page, zeroed, at every step: some per cent of a network's time on a CPU. Other C
    libraries are left as they are."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(-4, 0)  # M_MMAP_MAX: no large block outside the heap
    mallopt(-1, -1)  # M_TRIM_THRESHOLD: and none of the heap given back


def describe(device: str) -> str:
    """The device's name, for the record."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()
