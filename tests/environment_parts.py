"""A network that writes down how the threads of its process wait."""

import json
import os
import sys
from pathlib import Path

from torch import nn


def net(num_classes: int, file: str) -> nn.Module:
    """Adds a line to `file`: the process, what it was started as, and the variables."""
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    about = {"process": os.getpid(), "program": sys.argv[0]} | {name: os.environ.get(name) for name in names}
    with Path(file).open("a") as out:
        out.write(json.dumps(about) + "\n")
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, num_classes))
