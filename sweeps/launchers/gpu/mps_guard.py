"""Runs an MPS control daemon as long as its standard input is open, then ends it and removes its folder.

    python -I -S sweeps/launchers/gpu/mps_guard.py CONTROL_PROGRAM FOLDER

A sweep that is killed can end nothing, and the daemon would hold the card for ever; the kernel closes the pipe. Where
the guard is killed itself, the file that it leaves names the daemon (mps.py ends it with the next start).
"""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys

QUIT_S = 10.0  # for the daemon to end by itself: it waits for its clients, which are ending too
LOOK_S = 0.5


def main(control: str, folder: str) -> None:
    """Start, wait, end."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # it ends with its sweep, not before
        signal.signal(number, lambda *_: None)
    with subprocess.Popen([control, "-f"], stdin=subprocess.DEVNULL, start_new_session=True) as daemon:
        with contextlib.suppress(OSError), open(os.path.join(folder, "daemon"), "w") as file:  # noqa: PTH118, PTH123
            file.write(str(daemon.pid))
        while daemon.poll() is None:
            readable, _, _ = select.select([0], [], [], LOOK_S)
            if readable and not os.read(0, 1024):
                break
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run([control], input=b"quit\n", timeout=QUIT_S, check=False)
        with contextlib.suppress(subprocess.TimeoutExpired):
            daemon.wait(QUIT_S)
        with contextlib.suppress(OSError):  # its server, too, which serves nobody any more
            os.killpg(daemon.pid, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
