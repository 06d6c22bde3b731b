"""The server that runs are forked from ends with its controller, also while it imports."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

SERVER = "from multiprocessing.forkserver import main; import sweeps.launchers.end_with_controller, threading"
SERVER += "; import time, pathlib; {then}; time.sleep(600)"
CONTROLLER = """
import os, subprocess, sys, time, pathlib
print(subprocess.Popen([sys.executable, "-c", {server!r}]).pid, flush=True)
sys.stdin.read()
os._exit(9)
"""


@pytest.mark.parametrize("then", ["pass", "import sweeps.launchers.freeze"])
def test_a_server_whose_controller_dies_while_it_imports(tmp_path: Path, then: str) -> None:
    said = tmp_path / "threads"
    tell = f"{then}; pathlib.Path({str(said)!r}).write_text(str(threading.active_count()))"
    command = [sys.executable, "-c", CONTROLLER.format(server=SERVER.format(then=tell))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as controller:
        assert controller.stdout is not None
        server, ends = int(controller.stdout.readline()), time.monotonic() + 120
        while not said.exists() or not said.read_text():
            assert time.monotonic() < ends
            time.sleep(0.02)
    assert controller.returncode == 9
    try:
        if then == "pass":
            while alive(server):
                assert time.monotonic() < ends, "it lives on"
                time.sleep(0.02)
        else:  # it has imported everything, forks soon, and multiprocessing tells it of the end
            assert said.read_text() == "1" and alive(server)
    finally:
        if alive(server):
            os.kill(server, 9)


def alive(process: int) -> bool:
    """Whether it runs still; one that nobody has waited for doesn't."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True, check=False)
    return done.stdout.strip()[:1] not in ("", "Z")
