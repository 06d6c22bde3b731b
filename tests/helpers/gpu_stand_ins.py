"""Stand-ins for NVIDIA's programs on a machine without a GPU: executables on PATH that say what a test has written.

Nothing here shows that a GPU works; that is for the tests marked `gpu`.
"""

import os
import sys
from pathlib import Path

import pytest

SMI = """#!/bin/sh
case "$1" in
  --query-gpu=*) cat {folder}/gpus.csv ;;
  -L) cat {folder}/list.txt ;;
  -q) cat {folder}/query.xml ;;
esac
"""
# Like the real one: -f stays in the foreground and makes sockets in its folder of pipes; without it commands are read.
CONTROL = """#!{python}
import os, socket, sys, time
pipes = os.environ["CUDA_MPS_PIPE_DIRECTORY"]
quitting = os.path.join(pipes, "quit")
if sys.argv[1:] == ["-f"]:
    for name in ("control_privileged", "control"):
        socket.socket(socket.AF_UNIX).bind(os.path.join(pipes, name))
    with open({folder!r} + "/daemons.txt", "a") as file:
        print(os.getpid(), pipes, os.environ["CUDA_VISIBLE_DEVICES"], file=file)
    while not os.path.exists(quitting):
        time.sleep(0.02)
elif sys.stdin.read() == "quit\\n":
    open(quitting, "w").close()
"""
UUIDS = ("GPU-aaaaaaaa-0000", "GPU-bbbbbbbb-0000")


class StandIns:
    """nvidia-smi and nvidia-cuda-mps-control in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cards()

    def write(self, name: str, content: str) -> None:
        """An executable."""
        path = self.folder / name
        path.write_text(content)
        path.chmod(0o755)

    def cards(self, used: tuple[float, ...] = (0, 0), total: float = 81559, mode: str = "Default") -> None:
        """What nvidia-smi tells of as many cards."""
        rows = enumerate(zip(UUIDS, used, strict=False))
        lines = [f"{index}, {uuid}, {total:.0f}, {one:.0f}, {mode}, NVIDIA H100" for index, (uuid, one) in rows]
        (self.folder / "gpus.csv").write_text("\n".join(lines) + "\n")
        self.write("nvidia-smi", SMI.format(folder=self.folder))

    def mps(self) -> None:
        """Have a control program."""
        self.write("nvidia-cuda-mps-control", CONTROL.format(python=sys.executable, folder=str(self.folder)))

    def daemons(self) -> list[tuple[int, Path, str]]:
        """Those that were started: process, folder of pipes, cards."""
        file = self.folder / "daemons.txt"
        rows = [line.split(" ") for line in file.read_text().splitlines()] if file.exists() else []
        return [(int(process), Path(pipes), cards) for process, pipes, cards in rows]


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIns:
    """NVIDIA's programs, ours, first on PATH; no MPS yet."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    for variable in ("CUDA_MPS_PIPE_DIRECTORY", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(variable, raising=False)
    return StandIns(folder)
