"""NVIDIA's Multi-Process Service for the runs of a sweep that share a card: without it a GPU serves its processes by
turns, with it at the same time.

Each card has a control daemon of its own, with its own folder of pipes, so that no other program's work is in it, and a
fault on one card leaves the others alone. Whoever starts it can be killed: then its guard (mps_guard.py) ends it.
(https://docs.nvidia.com/deploy/mps/)
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sweeps.launchers.gpu.cards import Card

CONTROL = "nvidia-cuda-mps-control"
PIPES = "CUDA_MPS_PIPE_DIRECTORY"
LOGS = "CUDA_MPS_LOG_DIRECTORY"
SOCKET_BYTES = 107  # of a socket's path
LONGEST_NAME = len("/control_privileged")  # of the daemon's sockets
BEGINS_S, ENDS_S = 10.0, 40.0  # how long a daemon may take
GUARD = Path(__file__).with_name("mps_guard.py")


def why_no_mps(card: Card | None, environment: Mapping[str, str] = os.environ) -> str:
    """Why the runs on a card can't have a control daemon of ours; nothing where they can."""
    if shutil.which(CONTROL) is None:
        return f"there is no {CONTROL}"
    if environment.get(PIPES):
        return f"{PIPES} is set: runs go to that daemon"
    if card is None:
        return "nvidia-smi doesn't tell of this card"
    return "" if card.allows_mps else "its compute mode doesn't allow it"


def pipe_folder(sweep: Path) -> Path:
    """A new folder for a daemon's pipes: in the sweep's, or where that path is too long for a socket in the temporary
    one. Raises OSError."""
    name = f".mps-{os.getpid()}-{time.monotonic_ns() % 10**6}"
    folder = sweep.absolute() / name
    if len(os.fsencode(folder)) + LONGEST_NAME > SOCKET_BYTES:
        return Path(tempfile.mkdtemp(prefix="finegrid-mps-", dir=None if _short(tempfile.gettempdir()) else "/tmp"))
    folder.mkdir(mode=0o700, parents=True)
    return folder


def _short(parent: str) -> bool:
    return len(os.fsencode(parent)) + len("/finegrid-mps-12345678") + LONGEST_NAME <= SOCKET_BYTES


@dataclass
class Mps:
    """A control daemon under way. `guard`: the process that ends it when its standard input is closed, which the
    kernel does where this process is killed."""

    card: Card
    folder: Path
    guard: "subprocess.Popen[bytes]"

    @classmethod
    def start(cls, card: Card, sweep: Path) -> "Mps | None":
        """None where it can't be started."""
        try:
            folder = pipe_folder(sweep)
            environment = os.environ | {PIPES: str(folder), LOGS: str(folder), "CUDA_VISIBLE_DEVICES": card.uuid}
            with (folder / "guard.log").open("wb") as log:
                command = [sys.executable, "-I", "-S", str(GUARD), CONTROL, str(folder)]
                guard = subprocess.Popen(
                    command, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
                )
        except OSError:
            return None
        mps = cls(card, folder, guard)
        ends = time.monotonic() + BEGINS_S
        while not (folder / "control").exists():
            if guard.poll() is not None or time.monotonic() > ends:
                mps.stop()
                return None
            time.sleep(0.02)
        return mps

    def environment(self) -> dict[str, str]:
        """What makes a process its client. By UUID, which means the same to daemon and client: the daemon counts the
        devices that it sees anew."""
        return {PIPES: str(self.folder), LOGS: str(self.folder), "CUDA_VISIBLE_DEVICES": self.card.uuid}

    def stop(self) -> None:
        """End it, when its clients are gone."""
        assert self.guard.stdin is not None
        with contextlib.suppress(OSError):
            self.guard.stdin.close()
        try:
            self.guard.wait(ENDS_S)
        except subprocess.TimeoutExpired:
            self.guard.kill()
            self.guard.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
