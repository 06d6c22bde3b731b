"""Sweeps under test: small ones, in this process through the door `train`, or as a process of its own that gets
signals."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import QUICK, ROOT, run_folders
from outcome import history_of, outcome, record_of

WAIT_S = 120.0  # for what takes seconds on a free machine


def small(tmp_path: Path, epochs: int = 3) -> list[str]:
    """A sweep of runs that take no time: add what to search. `trouble` says what happens to them."""
    network = ["model._target_=sweep_parts.net", f"+model.kwargs.file={tmp_path / 'trouble.json'}"]
    return ["-m", *QUICK, f"trainer.epochs={epochs}", "tracking=none", *network, "hydra.launcher.slots=2"]


def without(arguments: list[str], *keys: str) -> list[str]:
    """`arguments` less those of these keys, and of keys below them. The words in a value, a path say, are no matter."""

    def is_left_out(argument: str) -> bool:
        key = argument.lstrip("+").partition("=")[0]
        return any(key == one or key.startswith(f"{one}.") for one in keys)

    return [argument for argument in arguments if not is_left_out(argument)]


def trouble(tmp_path: Path, plan: dict[str, str]) -> None:
    """See sweep_parts: {"3": "kill 2"} kills the run with seed 3 in its second epoch, {"*": "hold 2"} holds all."""
    part = tmp_path / "trouble.part"
    part.write_text(json.dumps(plan))
    part.replace(tmp_path / "trouble.json")


def results(sweep: Path) -> dict[str, dict[str, Any]]:
    """What every run of a sweep came to, by its folder; equal for two sweeps that came to the same, bit for bit."""
    return {str(folder.relative_to(sweep)): outcome(folder) for folder in run_folders(sweep)}


def records(sweep: Path) -> dict[int, dict[str, Any]]:
    """The records of a sweep, by seed."""
    return {record["seed"]: record for record in map(record_of, run_folders(sweep))}


def decisions(sweep: Path) -> dict[str, tuple[str, list[float]]]:
    """What became of every run, and after which epochs, by its folder. (A pruned run keeps no weights.)"""
    return {
        str(folder.relative_to(sweep)): (
            record_of(folder)["status"],
            [row["val_acc"] for row in history_of(folder)],
        )
        for folder in run_folders(sweep)
    }


def endings(sweep: Path) -> dict[str, Any]:
    """How each run of a sweep ended, by its folder: what `results` has of it where it is done, which is weights and
    predictions too; of others, which leave none, status and epochs."""
    return {
        str(folder.relative_to(sweep)): outcome(folder)
        if record_of(folder)["status"] == "done"
        else (record_of(folder)["status"], [row["val_acc"] for row in history_of(folder)])
        for folder in run_folders(sweep)
    }


def tree(folder: Path) -> dict[str, int]:
    """Every file below `folder`, and when it was written; but for locks."""
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


class Running:
    """`python train.py ARGUMENTS` in a process group of its own."""

    program = (str(ROOT / "train.py"),)

    def __init__(self, tmp_path: Path, *arguments: str, **variables: str) -> None:
        self.file = tmp_path / f"out{time.monotonic_ns()}.txt"
        command = [sys.executable, *self.program, *arguments, f"sweep.root={tmp_path / 'outputs'}"]
        environment = {**os.environ, "FINEGRID_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT / "tests")}
        environment |= {"FINEGRID_RUNTIME": str(tmp_path / f"runtime{time.monotonic_ns()}")}  # slots of its own
        environment |= variables
        with self.file.open("w") as out:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=out, stderr=out, start_new_session=True
            )

    @property
    def out(self) -> str:
        """What it has said so far."""
        return self.file.read_text()

    def until(self, *texts: str) -> None:
        """Wait until it has said all of these."""
        ends = time.monotonic() + WAIT_S
        while not all(text in self.out for text in texts):
            assert self.process.poll() is None and time.monotonic() < ends, f"never said {texts}:\n{self.out}"
            time.sleep(0.02)

    def signal(self, number: int, group: bool = False) -> None:
        """To the controller alone, or to all its processes, as a terminal does."""
        (os.killpg if group else os.kill)(self.process.pid, number)

    def end(self) -> int:
        """Wait for its end; gives the exit code."""
        return self.process.wait(WAIT_S)

    def alive(self) -> list[str]:
        """Its processes that live still, runs and fork server too: of each its state, number and command."""
        if not Path("/proc/self/stat").exists():
            command = ["ps", "-ww", "-o", "stat=,pid=,args=", "-g", str(self.process.pid)]
            lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
            return [line for line in lines if not line.startswith("Z")]
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it ends at this moment
                state, _, group, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
                if state != "Z" and str(self.process.pid) in (group, session):
                    words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    found.append(f"{state} {folder.name} {words}")
        return found

    def until_all_are_gone(self) -> float:
        """How many seconds it took."""
        started = time.monotonic()
        while self.alive():
            assert time.monotonic() - started < WAIT_S, self.alive()
            time.sleep(0.05)
        return time.monotonic() - started


class Starter:
    """Starts sweeps, and cleans up after them."""

    def __init__(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path
        self.started: list[Running] = []

    def __call__(self, *arguments: str, **variables: str) -> Running:
        """`variables` are of the environment."""
        self.started.append(Running(self.tmp_path, *arguments, **variables))
        return self.started[-1]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """`python train.py ARGUMENTS` as a process that is not waited for."""
    starter = Starter(tmp_path)
    yield starter
    for running in starter.started:
        if running.alive():
            running.signal(signal.SIGKILL, group=True)
        running.process.wait()
