"""What starts workers. The plain one: processes of this machine."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from sweeps.launchers.workers import board


class Engine(Protocol):
    """Starts workers and ends them. `with_parent` workers end with the controller's process."""

    def start(self, count: int) -> None:
        """Start so many more. Raises ConfigError where they can't be."""

    def alive(self) -> int:
        """How many are there, or wait for their turn."""

    def dead(self) -> Sequence[str]:
        """Names of workers that are known to be gone."""

    def failed_starts(self) -> Sequence[str]:
        """Of those that ended with an error, the end of what they said."""

    def lack(self) -> str:
        """What to tell the user of workers that wait for a place; mostly nothing, and each line once."""

    def give_up(self, name: str, told: Mapping[str, Any]) -> None:
        """End a worker that is lost, as far as it is there. `told`: what its last beat said."""

    def stop(self, grace_s: float) -> None:
        """Have all end."""


class SubprocessEngine:
    """Workers as processes of this machine, which end with this one. Their output goes to `.workers/logs`."""

    def __init__(self, sweep_folder: Path, settings: dict[str, Any]) -> None:
        self.sweep_folder, self.settings = sweep_folder, {**settings, "with_parent": True}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, count: int) -> None:
        """Start so many more."""
        logs = board.own_folder(self.sweep_folder) / "logs"
        logs.mkdir(exist_ok=True)
        path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
        for _ in range(count):
            name = board.new_name()
            command = [sys.executable, "-m", "sweeps.launchers.workers.worker", str(self.sweep_folder)]
            command += ["--name", name, "--settings", json.dumps(self.settings)]
            environment = {**os.environ, "PYTHONPATH": path}
            with (logs / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )

    def alive(self) -> int:
        """How many live."""
        return sum(process.poll() is None for process in self.processes.values())

    def dead(self) -> list[str]:
        """Those that have ended."""
        return [name for name, process in self.processes.items() if process.poll() is not None]

    def failed_starts(self) -> list[str]:
        """The last lines of those that ended by an error of their own."""
        logs = self.sweep_folder / board.WORKERS / "logs"
        failed = [name for name, process in self.processes.items() if (process.poll() or 0) > 0]
        return [(logs / f"{name}.log").read_text(errors="replace").strip().rpartition("\n")[2] for name in failed]

    def lack(self) -> str:
        """They start at once."""
        return ""

    def give_up(self, name: str, told: Mapping[str, Any]) -> None:
        """Kill it; its runs go with it."""
        if name in self.processes:
            self.processes[name].kill()
            self.processes[name].wait()

    def stop(self, grace_s: float) -> None:
        """End all, at the latest after `grace_s`."""
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        ends = time.monotonic() + grace_s
        for process in self.processes.values():
            try:
                process.wait(max(0.0, ends - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
