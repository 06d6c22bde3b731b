"""A controller that no terminal holds (sweep.detach=true): where it is, and whether it lives. Light to import.

In the sweep's folder, `.detached/controller.json` says who it is; its output goes to `controller.log`. One that is a
process of a session of its own holds the lock of that folder as long as it lives; of a job, Slurm is asked.
"""

import contextlib
import glob
import os
import platform
import shutil
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from sweeps.cancelling import CONTROLLERS, holder
from training.run_folder import read_json, write_json

FOLDER, STATE, OUTPUT = ".detached", "controller.json", "controller.log"
ENDED = (  # states of a job that is over
    *("COMPLETED", "COMPLETING", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL"),
)
SILENT_S = 120.0  # a controller on another host that has written nothing for so long is gone
CALL_S = 30.0  # for an answer of Slurm


@dataclass(frozen=True)
class Detached:
    """Of one controller. `arguments`: of the command that began it. `job`: Slurm's number, where it is a job."""

    arguments: list[str]
    process: int | None = None
    host: str = ""
    job: str | None = None

    def write(self, sweep_folder: Path) -> None:
        """Raises OSError."""
        write_json(sweep_folder / FOLDER / STATE, asdict(self))


def read_detached(sweep_folder: Path) -> Detached | None:
    """The controller that was detached last; None where none was."""
    content = read_json(sweep_folder / FOLDER / STATE)
    arguments, process, job = content.get("arguments"), content.get("process"), content.get("job")
    if not isinstance(arguments, list):
        return None
    return Detached(
        [str(one) for one in arguments],
        process if isinstance(process, int) else None,
        str(content.get("host") or ""),
        None if job is None else str(job),
    )


def where_it_lives(sweep_folder: Path) -> str:
    """Where the detached controller of a sweep is, in words; nothing where there is none that lives."""
    known = read_detached(sweep_folder)
    if known is None:
        return ""
    if known.job is not None:
        state = _state_of_job(known.job)
        return f"job {known.job} of Slurm ({state})" if state else ""
    alive = holder(sweep_folder / FOLDER) is not None or _beats(sweep_folder, known)
    return f"process {known.process} on {known.host}" if alive else ""


def _beats(sweep_folder: Path, known: Detached) -> bool:
    """Whether a controller on another host has written of late: over a network its lock may not be seen."""
    newest = 0.0
    if known.host != platform.node():
        for file in (sweep_folder / CONTROLLERS).glob(f"{glob.escape(known.host)}-{known.process}-*/*.json"):
            with contextlib.suppress(OSError):
                newest = max(newest, file.stat().st_mtime)
    return time.time() - newest < SILENT_S


def _state_of_job(job: str) -> str:
    """PENDING, RUNNING, ...; nothing for a job that has ended, or where there is no Slurm."""
    if shutil.which("squeue") is None:
        return ""
    environment = {**os.environ, "LC_ALL": "C"}
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        command = ["squeue", "-h", "-j", job, "-o", "%T"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=CALL_S, check=False, env=environment)
        if done.returncode == 0:
            states = [one for one in done.stdout.split() if one not in ENDED]
            return states[0] if states else ""
        if "Invalid job id" in done.stderr:  # it ended long ago
            return ""
    return "Slurm doesn't answer"
