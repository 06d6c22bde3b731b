"""The other side of the local launcher: what happens in the process of one run.

It is forked from a server that has torch imported and nothing else done, so it starts in a tenth of a second and
leaks nothing into the next run.
"""

import os
import signal
import sys
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cloudpickle
from hydra.core.singleton import Singleton
from hydra.core.utils import run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from sweeps import channel
from training.errors import Stopped

# What the server imports before it forks; nothing here touches a GPU or starts a thread.
PRELOAD = ["sweeps.worker", "sweeps.compose", "training.run", "training.predict", "torch.utils.tensorboard"]


@dataclass
class Payload:
    """What a run's process needs to know."""

    context: HydraContext
    singletons: Any
    task_function: TaskFunction
    config: DictConfig
    log_file: str
    environment: dict[str, str]


def main(payload: bytes, connection: Connection, lifeline: Connection) -> None:
    """Run one Hydra job; send `begun`, `epoch` and then `ended` (with Hydra's JobReturn) or `stopped`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the controller, which asks its runs to stop
    threading.Thread(target=_die_with, args=(lifeline,), daemon=True).start()
    job: Payload = cloudpickle.loads(payload)
    os.environ.update(job.environment)
    _write_output_to(Path(job.log_file))
    setup_globals()
    Singleton.set_state(job.singletons)
    channel.attach(connection)
    connection.send(("begun", None))
    try:
        result = run_job(
            hydra_context=job.context,
            task_function=job.task_function,
            config=job.config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
    except Stopped:
        connection.send(("stopped", None))
        return
    connection.send_bytes(cloudpickle.dumps(("ended", result)))


def _die_with(lifeline: Connection) -> None:
    """End at once when the controller is gone; what the last epoch left is on the disk."""
    try:
        lifeline.recv()
    except (EOFError, OSError):
        os._exit(1)


def _write_output_to(log_file: Path) -> None:
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("ab") as file:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
