"""The control daemon of MPS: with a stand-in for NVIDIA's program, and (marker gpu) with the real one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from conftest import ROOT
from gpu_stand_ins import UUIDS, StandIns, stand_ins

from sweeps.launchers.gpu.cards import Card
from sweeps.launchers.gpu.mps import SOCKET_BYTES, Mps, end_left_behind, pipe_folder, why_no_mps

__all__ = ["stand_ins"]
CARD = Card("0", UUIDS[0], 80_000, 0, allows_mps=True)
STARTS_AND_WAITS = """
import sys, time
from pathlib import Path
from sweeps.launchers.gpu.cards import Card
from sweeps.launchers.gpu.mps import Mps
assert Mps.start(Card("0", "GPU-a", 1, 0, allows_mps=True), Path(sys.argv[1]))
print("started", flush=True)
time.sleep(600)
"""


def until_gone(process: int, folder: Path) -> None:
    ends = time.monotonic() + 60
    while folder.exists() or Path(f"/proc/{process}").exists():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_from_start_to_end(stand_ins: StandIns, tmp_path: Path) -> None:
    stand_ins.mps()
    mps = Mps.start(CARD, tmp_path)
    assert mps is not None
    ((process, folder, cards),) = stand_ins.daemons()
    assert cards == UUIDS[0] and folder.parent == tmp_path, "in the sweep, for its card alone"
    assert mps.environment()["CUDA_MPS_PIPE_DIRECTORY"] == str(folder)
    assert mps.environment()["CUDA_VISIBLE_DEVICES"] == UUIDS[0]
    mps.stop()
    until_gone(process, folder)


def test_it_ends_with_a_sweep_that_is_killed(stand_ins: StandIns, tmp_path: Path) -> None:
    stand_ins.mps()
    command = [sys.executable, "-c", STARTS_AND_WAITS, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as sweep:
        assert sweep.stdout is not None and sweep.stdout.readline() == "started\n"
        ((process, folder, _),) = stand_ins.daemons()
        os.kill(sweep.pid, signal.SIGKILL)
    until_gone(process, folder)


def test_a_daemon_that_does_not_start(stand_ins: StandIns, tmp_path: Path) -> None:
    stand_ins.write("nvidia-cuda-mps-control", "#!/bin/sh\nexit 1\n")
    assert Mps.start(CARD, tmp_path) is None
    assert not list(tmp_path.glob(".mps*"))


def test_why_not(stand_ins: StandIns) -> None:
    assert why_no_mps(CARD, {}) == "there is no nvidia-cuda-mps-control"
    stand_ins.mps()
    assert why_no_mps(CARD, {}) == ""
    assert "CUDA_MPS_PIPE_DIRECTORY is set" in why_no_mps(CARD, {"CUDA_MPS_PIPE_DIRECTORY": "/tmp/nvidia-mps"})
    assert "compute mode" in why_no_mps(Card("0", "GPU-a", 80_000, 0), {})
    assert "nvidia-smi" in why_no_mps(None, {})


def test_pipes_of_a_sweep_far_down(tmp_path: Path) -> None:
    """A socket's path has a limit, a sweep's has none to speak of."""
    far = tmp_path / ("a" * 100)
    folder = pipe_folder(far)
    assert len(os.fsencode(folder / "control_privileged")) <= SOCKET_BYTES and folder.is_dir()
    assert not folder.is_relative_to(far)
    folder.rmdir()


def test_a_daemon_whose_guard_was_killed(stand_ins: StandIns, tmp_path: Path) -> None:
    """The next start in the sweep's folder ends it, and no other's."""
    stand_ins.mps()
    left, alive = Mps.start(CARD, tmp_path / "left"), Mps.start(CARD, tmp_path / "alive")
    assert left is not None and alive is not None
    ((process, folder, _), (other, _, _)) = stand_ins.daemons()
    left.guard.kill()
    left.guard.wait()
    assert Path(f"/proc/{process}").exists(), "nobody has ended it"
    end_left_behind(tmp_path / "left")
    until_gone(process, folder)
    assert Path(f"/proc/{other}").exists()
    alive.stop()


def test_a_guard_that_was_killed_while_the_sweep_goes_on(stand_ins: StandIns, tmp_path: Path) -> None:
    stand_ins.mps()
    mps = Mps.start(CARD, tmp_path)
    assert mps is not None
    ((process, folder, _),) = stand_ins.daemons()
    mps.guard.kill()
    mps.stop()
    until_gone(process, folder)
