"""The other side of the local launcher: what happens in the process of one run.

It is forked from a server that has torch imported and nothing else done, so it starts in a tenth of a second and
leaks nothing into the next run.
"""

import contextlib
import io
import marshal
import os
import signal
import sys
import threading
import traceback
from dataclasses import dataclass
from logging import LogRecord
from multiprocessing.connection import Connection
from pathlib import Path
from types import CodeType
from typing import Any

import cloudpickle
from hydra.core.utils import JobReturn, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from sweeps import channel
from sweeps.hydra_glue.private import failed, returned, set_failed, set_singletons
from sweeps.launchers.getting_ready import get_ready, telling
from training.errors import BeginAgain, Stopped

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Program:
    """What all runs of a sweep have in common."""

    context: HydraContext
    task_function: TaskFunction
    singletons: Any

    def pickled(self) -> bytes:
        buffer = io.BytesIO()
        _Pickler(buffer).dump(self)
        return buffer.getvalue()


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # untyped
    """Leaves functions the name of their file, which a traceback needs and cloudpickle 3.1.3 takes from them."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, CodeType):
            return marshal.loads, (marshal.dumps(obj),)
        return super().reducer_override(obj)


@dataclass
class Ahead:
    """What a run will be that this process is likely to get: it makes ready what it can."""

    config: DictConfig
    environment: dict[str, str]


@dataclass
class Payload:
    """What one run's process needs to know."""

    config: DictConfig
    log_file: str
    environment: dict[str, str]


def main(pickled: bytes, connection: Connection, lifeline: Connection) -> None:
    """Receive one Hydra job and run it; send `begun`, `epoch` and then `ended` (with Hydra's JobReturn) or `stopped`.

    Or `again`, with the reason, where the run has to go on in a fresh process. `pickled`: the Program.
    """
    # Blocked so far; handlers, since what is ignored stays so in programs that a run starts. Ctrl-C in a terminal comes
    # to all its processes, and is for the controller, which asks its runs to stop.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, channel.terminate)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    os.setpgid(0, 0)  # so that what it starts, and would hold the lock of its folder, can be ended with it
    threading.Thread(target=_die_with, args=(lifeline,), daemon=True).start()
    program: Program = cloudpickle.loads(pickled)
    ready: Ahead | None = None
    told: list[LogRecord] = []
    try:
        job: Payload | Ahead = cloudpickle.loads(connection.recv_bytes())
        while isinstance(job, Ahead):
            _write_output_to(Path(os.devnull))
            told, ready = get_ready(program, job.config, job.environment), job
            job = cloudpickle.loads(connection.recv_bytes())
    except EOFError:  # there is no job for a spare process
        return
    os.environ.update(job.environment)
    _write_output_to(Path(job.log_file))
    setup_globals()
    set_singletons(program.singletons)
    channel.attach(connection)
    connection.send(("begun", None))
    alike = ready is not None and ready.config.get("data") == job.config.get("data")
    task = telling(program.task_function, told) if alike and told else program.task_function
    try:
        result = run_job(
            hydra_context=program.context,
            task_function=task,
            config=job.config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
    except Stopped:
        connection.send(("stopped", None))
        return
    except BeginAgain as reason:
        connection.send(("again", str(reason)))
        return
    except Exception as error:  # before the run began: its folder can't be made, or what was planned is gone
        with contextlib.suppress(OSError):  # a full disk: the sweep is told anyway
            traceback.print_exc()
        result = failed(job.config, error)
    connection.send_bytes(_packed(result))


def _packed(result: JobReturn) -> bytes:
    """The message `ended`. What a run returns or raises may be anything, also what can't be sent or read."""
    try:
        message: bytes = cloudpickle.dumps(("ended", result))
        cloudpickle.loads(message)
    except Exception as error:
        given = returned(result)
        told = f"{type(given).__name__}: {given}"
        if not isinstance(given, Exception):
            told = f"its result can't be sent to the sweep: {error}"
        set_failed(result, RuntimeError(told))
        message = cloudpickle.dumps(("ended", result))
    return message


def _die_with(lifeline: Connection) -> None:
    """End at once when the controller is gone, with all children; what the last epoch left is on the disk."""
    try:
        lifeline.recv()
    except (EOFError, OSError):
        os.killpg(0, signal.SIGKILL)


def _write_output_to(log_file: Path) -> None:
    """To nowhere where there can be no log: what is wrong with the folder the run says itself."""
    try:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        log_file.open("ab").close()
    except OSError:
        log_file = Path(os.devnull)
    with log_file.open("ab") as file:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
