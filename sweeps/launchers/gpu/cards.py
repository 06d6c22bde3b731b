"""The GPUs of this machine as nvidia-smi tells of them: their memory, what is used of it, whether MPS may serve them.

A slice of a GPU (MIG) is a card like others: `nvidia-smi -L` gives its UUID, `nvidia-smi -q -x` its memory.
(nvidia-ml-py would tell the same; nvidia-smi comes with the driver.)
"""

import os
import re
import subprocess
import xml.etree.ElementTree as Xml
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PATIENCE_S = 10.0
QUERY = ("index", "uuid", "memory.total", "memory.used", "compute_mode", "name")
MODELS = ("index", "uuid", "compute_cap", "name")
MPS_MODES = ("Default", "Exclusive_Process")  # compute modes in which several processes may share a card under MPS


@dataclass(frozen=True)
class Card:
    """A GPU or a slice of one. `name`: how CUDA_VISIBLE_DEVICES called it. MB are 2**20 bytes; `used_mb`: by all
    programs, those of other users and of this sweep too."""

    name: str
    uuid: str
    total_mb: float
    used_mb: float
    allows_mps: bool = False
    exclusive: bool = False  # one process at a time may use it, but for clients of MPS


def read_cards(names: Sequence[str], environment: Mapping[str, str] = os.environ) -> dict[str, Card]:
    """What is known of the cards that CUDA knows by these names: indices, UUIDs or their beginnings. Those of which
    nothing can be told for sure are left out."""
    if not names:
        return {}
    rows = gpu_rows(_ask(f"--query-gpu={','.join(QUERY)}", "--format=csv,noheader,nounits"))
    found = {}
    by_index = indices_are_cudas(rows, environment)
    for name in names:
        for row in rows:
            if (name.isdigit() and by_index and row["index"] == name) or _called(name, row["uuid"], "GPU-"):
                found[name] = _card(name, row)
    if rows and any(name.startswith("MIG-") for name in names):
        slices = mig_slices(_ask("-L"), _ask("-q", "-x"))
        for name in names:
            for uuid, (total, used) in slices.items():
                if _called(name, uuid, "MIG-"):
                    found[name] = Card(name, uuid, total, used, allows_mps=True)
    return {name: card for name, card in found.items() if card.total_mb > 0}


def card_models(
    names: Sequence[str], environment: Mapping[str, str] = os.environ
) -> dict[str, tuple[tuple[int, int], str]]:
    """Compute capability and model of the cards that CUDA knows by these names, of slices those of their card; those of
    which nvidia-smi tells nothing for sure are left out."""
    told = _ask(f"--query-gpu={','.join(MODELS)}", "--format=csv,noheader,nounits")
    rows = _rows(told, MODELS)
    slices = _parents(_ask("-L")) if any(name.startswith("MIG-") for name in names) else {}
    by_index = indices_are_cudas(rows, environment)
    found = {}
    for name in names:
        parents = {parent for uuid, parent in slices.items() if _called(name, uuid, "MIG-")}
        for row in rows:
            this = (name.isdigit() and by_index and row["index"] == name) or _called(name, row["uuid"], "GPU-")
            number = re.fullmatch(r"(\d+)\.(\d+)", row["compute_cap"])
            if number and (this or row["uuid"] in parents):
                found[name] = (int(number[1]), int(number[2])), row["name"]
    return found


def _parents(listed: str) -> dict[str, str]:
    """Of each slice the card, by their UUIDs, from `nvidia-smi -L`."""
    found, parent = {}, ""
    for line in listed.splitlines():
        if gpu_line := re.match(r"GPU \d+:.*\(UUID: (GPU-[^)]+)\)", line):
            parent = gpu_line[1]
        if slice_line := re.match(r"\s+MIG .*\(UUID: (MIG-[^)]+)\)", line):
            found[slice_line[1]] = parent
    return found


def gpu_rows(told: str) -> list[dict[str, str]]:
    """The rows of nvidia-smi --query-gpu, by the names of QUERY."""
    return _rows(told, QUERY)


def _rows(told: str, names: Sequence[str]) -> list[dict[str, str]]:
    lines = [[cell.strip() for cell in line.split(",", len(names) - 1)] for line in told.splitlines()]
    return [dict(zip(names, line, strict=True)) for line in lines if len(line) == len(names)]


def indices_are_cudas(rows: Sequence[Mapping[str, str]], environment: Mapping[str, str]) -> bool:
    """Whether nvidia-smi and CUDA count alike: where all GPUs are of one kind, or CUDA goes by the bus as well."""
    by_bus = environment.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    return by_bus or len({row["name"] for row in rows}) == 1


def mig_slices(listed: str, queried: str) -> dict[str, tuple[float, float]]:
    """Of each slice, by its UUID, total and used memory in MB, from `nvidia-smi -L` and `nvidia-smi -q -x`."""
    try:
        gpus = Xml.fromstring(queried).findall("gpu")
    except Xml.ParseError:
        return {}
    memory: dict[tuple[str, str], tuple[float, float]] = {}
    for gpu in gpus:
        for part in gpu.iterfind("mig_devices/mig_device"):
            total, used = (_mib(part.findtext(f"fb_memory_usage/{key}")) for key in ("total", "used"))
            if total is not None and used is not None:
                memory[gpu.findtext("uuid") or "", part.findtext("index") or ""] = total, used
    found, parent = {}, ""
    for line in listed.splitlines():
        if gpu_line := re.match(r"GPU \d+:.*\(UUID: (GPU-[^)]+)\)", line):
            parent = gpu_line[1]
        slice_line = re.match(r"\s+MIG .*Device\s+(\d+): \(UUID: (MIG-[^)]+)\)", line)
        if slice_line and (parent, slice_line[1]) in memory:
            found[slice_line[2]] = memory[parent, slice_line[1]]
    return found


def _card(name: str, row: Mapping[str, str]) -> Card:
    total, used = _mib(row["memory.total"]) or 0.0, _mib(row["memory.used"]) or 0.0
    mode = row["compute_mode"]
    return Card(name, row["uuid"], total, used, mode in MPS_MODES, mode == "Exclusive_Process")


def _called(name: str, uuid: str, kind: str) -> bool:
    """Whether CUDA would know a device of this UUID by `name`: the beginning is enough."""
    return name.startswith(kind) and uuid.startswith(name)


def _mib(text: str | None) -> float | None:
    number = re.match(r"\s*([\d.]+)", text or "")
    return float(number[1]) if number else None


def _ask(*arguments: str) -> str:
    """What nvidia-smi says; nothing where there is none, or it can't."""
    command = ["nvidia-smi", *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
