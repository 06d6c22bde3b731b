"""Where the figures of benchmarks/cluster go: a table, and lines of JSON."""

import json
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def processor() -> str:
    """What this machine calls its processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def write(out: Path | None, row: Mapping[str, Any]) -> None:
    """Append a figure to `out`, with when and where it was measured."""
    if out is not None:
        where = {"date": time.strftime("%Y-%m-%d %H:%M"), "processor": processor(), "cores": os.cpu_count()}
        with out.open("a") as file:
            file.write(json.dumps({**row, **where}) + "\n")
