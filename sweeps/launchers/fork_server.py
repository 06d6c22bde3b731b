"""Processes for runs, forked from a server that has torch imported: each starts in some 20 ms instead of 4 s.

Torch in a forked child is safe as long as the server touches no GPU and starts no thread.
"""

import contextlib
import json
import multiprocessing
import signal
import sys
from collections.abc import Mapping
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from types import MappingProxyType

import cloudpickle

from sweeps.launchers.temp_folder import mark_temp_folder
from sweeps.launchers.worker import SIGNALS, Ahead, Program, main

SERVER_DIED = 255  # multiprocessing's exit code for a process whose fork server is gone
ANY = ""
# A process, the controller's end of its channel, and what ends the process when the controller lets go of it
Forked = tuple[ForkServerProcess, Connection, Connection]


class Forks:
    """Gives processes that carry out jobs of `program`. `modules`: what the server imports."""

    def __init__(self, program: Program, modules: list[str]) -> None:
        self.program = program.pickled()
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(modules)
        self.spares: dict[str, Forked] = {}  # by the environment that they were made ready for

    def start_server(self) -> None:
        """Start the server where none runs; returns at once. It and its runs are out of Ctrl-C's and SIGTERM's reach:
        blocked signals stay so in children."""
        mark_temp_folder()
        resource_tracker.ensure_running()  # which the server starts else, unblocking the signals again
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def take(self, payload: bytes, environment: Mapping[str, str] = MappingProxyType({})) -> Forked:
        """A process that has received this job; one that was made ready for this environment, where there is one."""
        for attempt in range(3):
            try:
                key = next((key for key in (_key(environment), ANY) if key in self.spares), ANY)
                if key in self.spares and self.spares[key][0].exitcode is not None:
                    self.close()  # it died, or the server did, without which nobody hears of its end
                forked = self.spares.pop(key, None) or self._fork()
                self.spares[key] = forked
                forked[1].send_bytes(payload)
                return self.spares.pop(key)
            except (EOFError, OSError):  # the server, or the process in its first moments, was killed
                self.close()
                if attempt == 2:
                    raise
        raise AssertionError("unreachable")

    def make_spare(self) -> None:
        """Have a process ready for the next job, which spares that one the fork."""
        if ANY not in self.spares:
            with contextlib.suppress(EOFError, OSError):  # the next job will see to it
                self.spares[ANY] = self._fork()

    def get_ready(self, ahead: Ahead) -> None:
        """Have a process prepare this run, where none does for this environment."""
        key = _key(ahead.environment)
        if key not in self.spares:
            self.make_spare()
            with contextlib.suppress(EOFError, OSError, KeyError):
                self.spares[ANY][1].send_bytes(cloudpickle.dumps(ahead))
                self.spares[key] = self.spares.pop(ANY)

    def close(self) -> None:
        """End the processes that wait for a job."""
        for process, connection, lifeline in self.spares.values():
            lifeline.close()  # which ends it
            connection.close()
            process.join()
        self.spares.clear()

    def _fork(self) -> Forked:
        controllers_end, runs_end = self.context.Pipe()
        end, lifeline = self.context.Pipe(duplex=False)
        process = self.context.Process(target=main, args=(self.program, runs_end, end))
        try:
            self.start_server()
            process.start()
        except (EOFError, OSError):
            controllers_end.close()
            lifeline.close()
            raise
        finally:
            runs_end.close()
            end.close()
        return process, controllers_end, lifeline


def _key(environment: Mapping[str, str]) -> str:
    """What a process that was made ready holds on to: its card, its threads."""
    return json.dumps(dict(environment), sort_keys=True) if environment else ANY


def preload(trains: bool) -> list[str]:
    """What the server imports before it forks: nothing that touches a GPU or leaves a thread. `trains`: its runs do."""
    plugins = [name for name in sys.modules if name.startswith(("hydra.", "hydra_plugins."))]
    plugins = [name for name in plugins if not name.rpartition(".")[2].startswith("_")]  # not what does their work
    training = (
        [
            "training.engine.run",
            "training.engine.ahead",
            "training.predict",
            "torch.utils.tensorboard",
            "sklearn.datasets",
            "sklearn.metrics",
        ]
        if trains
        else []
    )
    sweeping = [
        "sweeps.launchers.worker",
        "sweeps.hydra_glue.messages",
        "sweeps.sweepers.grid",
        "sweeps.sweepers.optuna_async",
    ]
    return ["sweeps.launchers.end_with_controller", *plugins, *training, *sweeping, "sweeps.launchers.freeze"]
