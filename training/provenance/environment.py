"""What a run is made with beside its config: the installed packages, and the machine."""

import os
import platform
import re
import sys
from functools import cache

from training.device import describe
from training.schema.record_parts import Machine, Versions

DIST_INFO = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)\.dist-info")


def versions() -> Versions:
    """Of Python, torch, torchvision, and of all that is installed."""
    import torch
    import torchvision

    return Versions(platform.python_version(), torch.__version__, torchvision.__version__, installed())


def installed() -> str:
    """The packages that Python finds here, as `_found_in` gives them."""
    return _found_in(tuple(dict.fromkeys(sys.path)))


@cache  # by path, which a long-lived process (a notebook, a server) may change
def _found_in(places: tuple[str, ...]) -> str:
    """`NAME==VERSION NAME==VERSION ...`, sorted: the packages that Python finds here, by the names of their folders
    (importlib.metadata reads a file of each, which takes a tenth of a second)."""
    found: dict[str, str] = {}
    for place in places:
        try:
            names = sorted(os.listdir(place or "."))  # noqa: PTH208 (no Path for each of a thousand names)
        except OSError:  # a zip, or not there
            continue
        for match in filter(None, map(DIST_INFO.fullmatch, names)):
            name = re.sub(r"[-_.]+", "-", match["name"]).lower()  # as pip compares them
            found.setdefault(name, match["version"])
    return " ".join(f"{name}=={version}" for name, version in sorted(found.items()))


@cache
def machine(on_cuda: bool) -> Machine:
    """This one, as far as it can change the bits of a result. `on_cuda`: a run on the CPU wakes no GPU."""
    import torch

    return Machine(
        system=platform.platform(),
        processor=describe("cpu"),
        cores=os.cpu_count(),
        instructions=torch.backends.cpu.get_cpu_capability(),
        cuda=torch.version.cuda if on_cuda else None,
        cudnn=_cudnn() if on_cuda else None,
    )


def _cudnn() -> str | None:
    import torch

    version = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return None if version is None else str(version)
