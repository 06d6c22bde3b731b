"""What runs on a node of a Ray cluster: an actor that has a place there, and a worker in it as a process of its own.

Ray carries this file's class to its nodes as it is, so it may name nothing of this project.
"""

import os
import platform
import re
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Order:
    """Which worker to start. `python`: the interpreter, where the node has it; `arguments`: of the worker's program,
    without its name; `threads`: CPU threads that it may use, 0 for what the node says."""

    python: str
    arguments: tuple[str, ...]
    folder: str  # of the sweep
    logs: str
    path: str  # where the project's modules are
    threads: int
    variables: Mapping[str, str]


class WorkerHost:
    """Lives as long as its worker, and ends it; when this process is killed, the worker sees it and ends too."""

    def __init__(self) -> None:
        host = re.sub("[^A-Za-z0-9_-]", "_", platform.node())
        self.own_name = f"{host}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self.lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None
        self.told_to_end = False

    def name(self) -> str:
        """Of its worker: HOST-PROCESS-RANDOM, without dots."""
        return self.own_name

    def serve(self, order: Order) -> tuple[int, str]:
        """Start the worker and wait for its end: its exit code, and the last line that it said. Raises OSError."""
        if not Path(order.folder).is_dir():
            what = "is not there: every node has to see the sweep's folder at the same path"
            raise FileNotFoundError(f"{platform.node()}: {order.folder} {what}")
        log = Path(order.logs) / f"{self.own_name}.log"
        log.parent.mkdir(exist_ok=True)
        python = order.python if Path(order.python).is_file() else sys.executable
        command = [python, "-m", "sweeps.launchers.workers.worker", *order.arguments, "--name", self.own_name]
        path = os.pathsep.join(filter(None, (order.path, os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, **order.variables, "PYTHONPATH": path}
        if order.threads:
            environment.update({"OMP_NUM_THREADS": str(order.threads), "MKL_NUM_THREADS": str(order.threads)})
        with self.lock, log.open("ab") as out:
            if self.told_to_end:
                return 0, ""
            self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        code = self.process.wait()
        try:
            return code, log.read_text(errors="replace").strip().rpartition("\n")[2]
        except OSError:  # the sweep has ended, and its folder of workers is gone
            return code, ""

    def end(self, grace_s: float) -> None:
        """Have the worker end, at the latest after `grace_s`."""
        with self.lock:
            self.told_to_end, process = True, self.process
        if process is None:
            return
        try:
            if grace_s > 0:
                process.terminate()
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
