"""hydra/launcher=local: every run a process of its own, in a slot of this machine.

A launcher knows processes and devices, no hyperparameters: `submit` a job to a free slot, `wait_any` for what happens,
`answer` a run that reports an epoch, `cancel` one. Hydra's own `launch(batch)` is made of these.
"""

import contextlib
import os
import pickle
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Literal

import cloudpickle
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, read_write

from sweeps.channel import Answer
from sweeps.hydra_glue.composer import Composer
from sweeps.launchers.fork_server import SERVER_DIED, Forks, preload
from sweeps.launchers.slots import Slot, find_slots
from sweeps.launchers.worker import Payload, Program
from sweeps.stopping import Stop, heed_signals
from training.config import need
from training.progress import EpochReport
from training.run_folder import LOG


@dataclass
class LocalConfig:
    """hydra/launcher=local"""

    _target_: str = "sweeps.launchers.local.LocalLauncher"
    slots: Any = "auto"  # how many runs at once; auto: one per GPU, or one for the whole CPU
    slots_per_gpu: int = 1
    devices: str = "auto"  # auto, cpu or gpu
    retries: int = 1  # of a run that was killed; it goes on from its last saved epoch
    timeout_minutes: float | None = None  # of one run
    grace_s: float = 30.0  # from SIGTERM to the end of all


PATIENCE_S = 10.0  # for a run that has told its end but doesn't go

ConfigStore.instance().store(group="hydra/launcher", name="local", node=LocalConfig, provider="finegrid")


class Died(Exception):
    """A run's process ended without a result. `kind`: killed, timeout or exit."""

    def __init__(self, kind: Literal["killed", "timeout", "exit"], message: str) -> None:
        super().__init__(message)
        self.kind = kind

    def __reduce__(self) -> tuple[type["Died"], tuple[str, str]]:
        return Died, (self.kind, str(self))


@dataclass(eq=False)
class Handle:
    """A job in its slot."""

    number: int
    config: DictConfig
    folder: Path
    slot: Slot
    process: ForkServerProcess
    connection: Connection
    lifeline: Connection
    started: float = field(default_factory=time.monotonic)
    attempt: int = 0
    begun: bool = False
    timed_out: bool = False


@dataclass(frozen=True)
class Event:
    """Something that happened to a job. `stopped`: it obeyed the answer `stop`. `retried`: killed, and begun again."""

    kind: Literal["begun", "epoch", "ended", "stopped", "retried"]
    handle: Handle
    report: EpochReport | None = None  # of an epoch; `answer` it
    result: JobReturn | None = None  # of an end


class LocalLauncher(Launcher):
    """Processes forked from a server that has torch imported, one for a slot."""

    def __init__(
        self,
        slots: int | str,
        slots_per_gpu: int,
        devices: str,
        retries: int,
        timeout_minutes: float | None,
        grace_s: float,
    ) -> None:
        need(retries >= 0, f"hydra.launcher.retries={retries}: expected 0 or more")
        need(timeout_minutes is None or timeout_minutes > 0, "hydra.launcher.timeout_minutes: expected above 0")
        need(grace_s >= 0, f"hydra.launcher.grace_s={grace_s}: expected 0 or more")
        self.slots_asked = (slots, slots_per_gpu, devices)
        self.retries, self.grace_s = retries, grace_s
        self.timeout_s = None if timeout_minutes is None else 60 * timeout_minutes
        self.running: list[Handle] = []
        self.leaving: list[Handle] = []  # told their end, but their processes may not be gone
        self.slots: list[Slot] = []

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Remember what to run, and find the slots. No process starts yet."""
        self.composer = Composer(hydra_context, config)
        self.forks = Forks(Program(hydra_context, task_function, Singleton.get_state()), preload("trainer" in config))
        self.slots = find_slots(*self.slots_asked)

    def warm_up(self) -> None:
        """Have the server import what runs need, meanwhile."""
        self.forks.start_server()

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Hydra's interface: run a batch of jobs, give their results in order. Raises SweepEnded when stopped."""
        waiting = [self.composer.compose(initial_job_idx + i, overrides) for i, overrides in enumerate(job_overrides)]
        waiting.reverse()
        results: dict[int, JobReturn] = {}
        stop = Stop()
        with heed_signals(stop, self.grace_s, print):
            try:
                while ((waiting and not stop.reason) or self.running) and not stop.is_due:
                    while waiting and self.free_slot() is not None and not stop.reason:
                        config = waiting.pop()
                        self.submit(config.hydra.job.num, config, output_folder(config))
                    for event in self.wait_any(0.5, retry=not stop.reason):
                        if event.kind == "epoch":
                            self.answer(event.handle, "stop" if stop.reason else "go")
                        elif event.result is not None:
                            results[event.handle.number] = event.result
            finally:
                self.close()
        if len(results) < len(job_overrides):
            raise stop.ended()
        return [results[number] for number in sorted(results)]

    def free_slot(self) -> Slot | None:
        """A slot in which nothing runs."""
        taken = {handle.slot.number for handle in self.running}
        return next((slot for slot in self.slots if slot.number not in taken), None)

    def submit(self, number: int, config: DictConfig, folder: Path) -> Handle:
        """Start a job in a free slot; its output goes to run.log in `folder`."""
        slot = self.free_slot()
        assert slot is not None, "submit needs a free slot"
        with read_write(config.hydra):  # settled, so that the run need not work it out once more
            config.hydra.sweep.subdir = os.path.relpath(folder, str(config.hydra.sweep.dir))
        return self._start(number, config, folder, slot, 0)

    def _start(self, number: int, config: DictConfig, folder: Path, slot: Slot, attempt: int) -> Handle:
        for leaving in [handle for handle in self.leaving if handle.slot is slot]:
            self._reap(leaving)
        payload = cloudpickle.dumps(Payload(config, str(folder / LOG), slot.environment()))
        process, connection, lifeline = self.forks.take(payload)
        handle = Handle(number, config, folder, slot, process, connection, lifeline, attempt=attempt)
        self.running.append(handle)
        return handle

    def wait_any(self, timeout_s: float, retry: bool = True) -> list[Event]:
        """What has happened, at the latest after `timeout_s`; often nothing. `retry`: whether killed runs may."""
        if self.running and time.monotonic() - self.running[-1].started > 0.2:  # else it would slow that start down
            self.forks.ahead()
        now = time.monotonic()
        for handle in self.running:
            if self.timeout_s is not None and now - handle.started > self.timeout_s and not handle.timed_out:
                handle.timed_out = True
                handle.process.kill()
        owners: dict[Any, Handle] = {handle.connection: handle for handle in self.running}
        owners |= {handle.process.sentinel: handle for handle in self.running}
        ready = {owners[item]: None for item in wait(list(owners), timeout_s)}  # each once
        return [event for handle in ready for event in self._hear(handle, retry)]

    def _hear(self, handle: Handle, retry: bool) -> list[Event]:
        """One message of a run, or its end."""
        try:
            if not handle.connection.poll():  # its process is gone, though one of its own may hold the other end
                return [self._bury(handle, retry)]
            message, content = pickle.loads(handle.connection.recv_bytes())
        except (EOFError, OSError):
            return [self._bury(handle, retry)]
        if message == "epoch":
            return [Event("epoch", handle, report=content)]
        if message == "begun":
            handle.begun = True
            return [Event("begun", handle)]
        self.running.remove(handle)
        self.leaving.append(handle)
        return [Event(message, handle, result=content)]

    def _bury(self, handle: Handle, retry: bool) -> Event:
        """A process ended without a word: start it again where that is wanted, else tell of what it died."""
        self._release(handle)
        code = handle.process.exitcode
        if handle.timed_out:
            minutes = (self.timeout_s or 0) / 60
            died = Died("timeout", f"not finished after {minutes:g} minutes (hydra.launcher.timeout_minutes)")
        elif code is not None and code < 0:
            died = Died("killed", f"killed by {signal.Signals(-code).name}")
        elif code == SERVER_DIED:
            died = Died("killed", "killed with the server that it was forked from")
        else:
            died = Died("exit", f"its process ended by itself with exit code {code}")
        if died.kind == "killed" and handle.attempt < self.retries:
            if not retry:
                return Event("stopped", handle)
            again = self._start(handle.number, handle.config, handle.folder, handle.slot, handle.attempt + 1)
            return Event("retried", again)
        overrides = list(handle.config.hydra.overrides.task)
        result = JobReturn(overrides=overrides, cfg=handle.config, status=JobStatus.FAILED, _return_value=died)
        return Event("ended", handle, result=result)

    def _release(self, handle: Handle) -> None:
        self.running.remove(handle)
        self._reap(handle)

    def close(self) -> None:
        """Let go of all processes. Runs that are under way are cancelled."""
        for handle in list(self.running):
            self.cancel(handle)
        for handle in list(self.leaving):
            self._reap(handle)
        self.forks.close()

    def _reap(self, handle: Handle) -> None:
        """Wait until a process and all that it started are gone."""
        handle.process.join(PATIENCE_S)
        if handle.process.exitcode is None:
            handle.process.kill()
            handle.process.join()
        with contextlib.suppress(OSError):  # ProcessLookupError: it had no children left
            os.killpg(handle.process.pid or 0, signal.SIGKILL)
        handle.connection.close()
        handle.lifeline.close()
        if handle in self.leaving:
            self.leaving.remove(handle)

    def answer(self, handle: Handle, answer: Answer) -> None:
        """Let a run that reported an epoch go on, or end it."""
        try:
            handle.connection.send(answer)
        except (BrokenPipeError, ConnectionResetError):
            return  # it died meanwhile, which wait_any will tell

    def cancel(self, handle: Handle) -> None:
        """Stop a job now. Its last saved epoch stays; nothing more is heard of it."""
        handle.process.kill()
        self._release(handle)


def output_folder(config: DictConfig) -> Path:
    """The folder in which Hydra will run a job of a sweep."""
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(config)
    try:
        return Path(str(config.hydra.sweep.dir)) / str(OmegaConf.select(config, "hydra.sweep.subdir"))
    finally:
        HydraConfig.instance().cfg = before
