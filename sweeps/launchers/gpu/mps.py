"""NVIDIA's Multi-Process Service for the runs of a sweep that share a card: without it a GPU serves its processes by
turns, with it at the same time.

Each card has a control daemon of its own, with its own folder of pipes, so that no other program's work is in it, and a
fault on one card leaves the others alone. Whoever starts it can be killed: then its guard (mps_guard.py) ends it. Where
that was killed, the next sweep in this folder does: a lock on a file beside the pipes says whether the guard lives.
(https://docs.nvidia.com/deploy/mps/)
"""

import contextlib
import fcntl
import os
import shutil
import signal
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
QUIT_S = 10.0  # to end by itself, where nobody guards it
HERE, ELSEWHERE = ".mps-", "finegrid-mps-"  # names of folders of pipes, in a sweep's and in the temporary one
HELD, DAEMON = "held", "daemon"  # files in them: locked while the guard lives; the daemon's process
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
    name = f"{HERE}{os.getpid()}-{time.monotonic_ns() % 10**6}"
    folder = sweep.absolute() / name
    if len(os.fsencode(folder)) + LONGEST_NAME > SOCKET_BYTES:
        return Path(tempfile.mkdtemp(prefix=ELSEWHERE, dir=None if _short(tempfile.gettempdir()) else "/tmp"))
    folder.mkdir(mode=0o700, parents=True)
    return folder


def _short(parent: str) -> bool:
    return len(os.fsencode(parent)) + len(f"/{ELSEWHERE}12345678") + LONGEST_NAME <= SOCKET_BYTES


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
            with (folder / "guard.log").open("wb") as log, (folder / f"{HELD}.new").open("wb") as held:
                fcntl.flock(held, fcntl.LOCK_EX)  # the guard's too, which has the same open file
                (folder / f"{HELD}.new").rename(folder / HELD)
                command = [sys.executable, "-I", "-S", str(GUARD), CONTROL, str(folder)]
                guard = subprocess.Popen(
                    command,
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    pass_fds=[held.fileno()],
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
        if self.folder.exists():  # the guard was killed before it had ended the daemon
            _end(self.folder)


def end_left_behind(sweep: Path) -> int:
    """End the daemons whose guards were killed, of this sweep and of those that had their pipes in the temporary
    folder; gives how many folders of pipes they had."""
    places = {Path(tempfile.gettempdir()), Path("/tmp")}
    folders = [*sweep.absolute().glob(f"{HERE}*"), *(one for place in places for one in place.glob(f"{ELSEWHERE}*"))]
    left = [folder for folder in folders if _is_left(folder)]
    for folder in left:
        _end(folder)
    return len(left)


def _is_left(folder: Path) -> bool:
    """Whether a folder of pipes is this user's, and its guard is gone. (Without the file it is not ours to judge.)"""
    with contextlib.suppress(OSError), (folder / HELD).open("rb") as held:
        if os.fstat(held.fileno()).st_uid == os.getuid():
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    return False


def _end(folder: Path) -> None:
    """End the daemon whose pipes these are, with its server, and remove them."""
    environment = os.environ | {PIPES: str(folder), LOGS: str(folder)}
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = [CONTROL]
        subprocess.run(command, env=environment, input=b"quit\n", capture_output=True, timeout=QUIT_S, check=False)
    ends = time.monotonic() + QUIT_S
    while (daemon := _daemon(folder)) is not None and time.monotonic() < ends:
        time.sleep(0.05)
    if daemon is not None:
        with contextlib.suppress(OSError):
            os.killpg(daemon, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def _daemon(folder: Path) -> int | None:
    """The process of a daemon; None where it is gone, or another process has its number by now."""
    with contextlib.suppress(OSError, ValueError):
        process = int((folder / DAEMON).read_text())
        if CONTROL in Path(f"/proc/{process}/cmdline").read_text(errors="replace"):
            return process
    return None
