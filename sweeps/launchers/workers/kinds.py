"""What kind of device workers have: as the user says it (hydra.launcher.gpu), or as a worker finds it."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from sweeps.launchers.gpu.cards import card_models
from training.device import Kind, cpu_has_bf16, describe
from training.errors import ConfigError

# Compute capability: the generation, by which precision goes, and what NVIDIA sells of it
CAPABILITIES = {
    (6, 0): ("p100",),
    (6, 1): ("p40", "p4", "gtx1080", "gtx1080ti"),
    (7, 0): ("v100", "titanv"),
    (7, 5): ("t4", "rtx2080", "rtx2080ti", "rtx6000", "rtx8000"),
    (8, 0): ("a100", "a800", "a30"),
    (8, 6): ("a40", "a10", "a16", "a2", "a6000", "a5000", "a4000", "rtx3060", "rtx3070", "rtx3080", "rtx3090"),
    (8, 9): ("l40s", "l40", "l4", "rtx6000ada", "rtx4070", "rtx4080", "rtx4090"),
    (9, 0): ("h100", "h200", "h800", "h20", "gh200"),
    (10, 0): ("b200", "gb200"),
    (12, 0): ("rtx5080", "rtx5090", "rtxpro6000"),
}
CPU = "cpu"
MAKERS = r"^(nvidia|tesla|geforce|quadro)+"
PROBE = "import torch; print([torch.cuda.get_device_capability(i) for i in range(torch.cuda.device_count())])"
PATIENCE_S = 120.0


def named_kind(name: str) -> Kind:
    """What hydra.launcher.gpu=NAME says. Raises ConfigError."""
    plain = re.sub(MAKERS, "", re.sub(r"[^a-z0-9]", "", str(name).lower()))
    if plain == CPU:
        return Kind(CPU, "cpu", bf16=cpu_has_bf16())
    if sm := re.fullmatch(r"sm(\d{1,2})(\d)", plain):
        return Kind(str(name), "cuda", (int(sm[1]), int(sm[2])), cpu_has_bf16())
    for capability, names in CAPABILITIES.items():
        if plain in names or re.sub(r"(sxm\d?|pcie|nvl|\d+gb?)+$", "", plain) in names:
            return Kind(str(name), "cuda", capability, cpu_has_bf16())
    known = ", ".join([CPU, *(name for names in CAPABILITIES.values() for name in names)])
    raise ConfigError(
        f"hydra.launcher.gpu={name}: no such card is known; choose from {known}, or give its compute capability, sm_80 "
        "for 8.0"
    )


def kind_of_slots(gpus: Sequence[str]) -> Kind:
    """What this machine's slots on these GPUs (names as in CUDA_VISIBLE_DEVICES; none: slots on the CPU) compute on;
    where they are unequal, the weakest."""
    if not gpus:
        return Kind(describe("cpu") or CPU, "cpu", bf16=cpu_has_bf16())
    models = card_models(gpus)
    if len(models) < len(set(gpus)):
        models = {str(number): (capability, "") for number, capability in enumerate(_probe())}
    capability, name = min(models.values())
    return Kind(name or as_sm(capability), "cuda", capability, cpu_has_bf16())


def as_sm(capability: tuple[int, int]) -> str:
    """sm_80 for (8, 0)."""
    return f"sm_{capability[0]}{capability[1]}"


def _probe() -> list[tuple[int, int]]:
    """What torch says, asked in a process of its own, so that nothing stays on the cards. Raises RuntimeError."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    told = subprocess.run(
        [sys.executable, "-c", PROBE],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    found = [(int(major), int(minor)) for major, minor in re.findall(r"\((\d+), (\d+)\)", told.stdout)]
    if not found:
        raise RuntimeError(f"CUDA tells of no device: {told.stderr.strip().rpartition(chr(10))[2]}")
    return found


def as_json(kind: Kind) -> dict[str, Any]:
    """For a beat, or a sweep's file."""
    return {"name": kind.name, "device": kind.device, "capability": list(kind.capability), "bf16": kind.bf16}


def from_json(content: Any) -> Kind | None:
    """What `as_json` has made; None for anything else."""
    if not isinstance(content, Mapping):
        return None
    device, capability = content.get("device"), content.get("capability")
    if device not in ("cpu", "mps", "cuda") or not isinstance(capability, list) or len(capability) != 2:
        return None
    if not all(isinstance(part, int) for part in capability):
        return None
    return Kind(str(content.get("name")), device, (capability[0], capability[1]), bool(content.get("bf16")))
