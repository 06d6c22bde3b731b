"""hydra/launcher=local: every run a process of its own, in a slot of this machine.

A launcher knows processes and devices, no hyperparameters: `submit` a job to a free slot, `wait_any` for what happens,
`answer` a run that reports an epoch, `cancel` one. Hydra's own `launch(batch)` is made of these.
"""

import multiprocessing
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
from omegaconf import DictConfig, OmegaConf, open_dict

from sweeps.channel import Answer
from sweeps.slots import Slot, find_slots
from sweeps.worker import PRELOAD, Payload
from sweeps.worker import main as worker_main
from training.config import need
from training.progress import EpochReport
from training.record import LOG


@dataclass
class LocalConfig:
    """hydra/launcher=local"""

    _target_: str = "sweeps.local.LocalLauncher"
    slots: Any = "auto"  # how many runs at once; auto: one per GPU, or one for the whole CPU
    slots_per_gpu: int = 1
    devices: str = "auto"  # auto, cpu or gpu
    retries: int = 1  # of a run that was killed; it goes on from its last saved epoch
    timeout_minutes: float | None = None  # of one run
    grace_s: float = 30.0  # from SIGTERM to the end of all


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
        self.slots_asked = (slots, slots_per_gpu, devices)
        self.retries, self.grace_s = retries, grace_s
        self.timeout_s = None if timeout_minutes is None else 60 * timeout_minutes
        self.running: list[Handle] = []
        self.slots: list[Slot] = []

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Remember what to run, and find the slots. No process starts yet."""
        self.context, self.task_function, self.config = hydra_context, task_function, config
        self.slots = find_slots(*self.slots_asked)
        self.server = multiprocessing.get_context("forkserver")
        self.server.set_forkserver_preload(PRELOAD)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Hydra's interface: run a batch of jobs, give their results in order."""
        waiting = [self.compose(overrides, initial_job_idx + i) for i, overrides in enumerate(job_overrides)]
        waiting.reverse()
        results: dict[int, JobReturn] = {}
        try:
            while waiting or self.running:
                while waiting and self.free_slot() is not None:
                    config = waiting.pop()
                    self.submit(config.hydra.job.num, config, output_folder(config))
                for event in self.wait_any(1.0):
                    if event.kind == "epoch":
                        self.answer(event.handle, "go")
                    elif event.result is not None:
                        results[event.handle.number] = event.result
        finally:
            self.close()
        return [results[number] for number in sorted(results)]

    def compose(self, overrides: Sequence[str], number: int) -> DictConfig:
        """The config of one job. Raises Hydra's errors."""
        config = self.context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            config.hydra.job.id = str(number)
            config.hydra.job.num = number
        return config

    def free_slot(self) -> Slot | None:
        """A slot in which nothing runs."""
        taken = {handle.slot.number for handle in self.running}
        return next((slot for slot in self.slots if slot.number not in taken), None)

    def submit(self, number: int, config: DictConfig, folder: Path) -> Handle:
        """Start a job in a free slot; its output goes to run.log in `folder`."""
        slot = self.free_slot()
        assert slot is not None, "submit needs a free slot"
        return self._start(number, config, folder, slot, 0)

    def _start(self, number: int, config: DictConfig, folder: Path, slot: Slot, attempt: int) -> Handle:
        environment = slot.environment()
        singletons = Singleton.get_state()
        payload = Payload(self.context, singletons, self.task_function, config, str(folder / LOG), environment)
        ours, theirs = self.server.Pipe()
        end, lifeline = self.server.Pipe(duplex=False)
        process = self.server.Process(target=worker_main, args=(cloudpickle.dumps(payload), theirs, end))
        process.start()
        theirs.close()
        end.close()
        handle = Handle(number, config, folder, slot, process, ours, lifeline, attempt=attempt)
        self.running.append(handle)
        return handle

    def wait_any(self, timeout_s: float) -> list[Event]:
        """What has happened, at the latest after `timeout_s`; often nothing."""
        now = time.monotonic()
        for handle in self.running:
            if self.timeout_s is not None and now - handle.started > self.timeout_s and not handle.timed_out:
                handle.timed_out = True
                handle.process.kill()
        owners: dict[Any, Handle] = {handle.connection: handle for handle in self.running}
        owners |= {handle.process.sentinel: handle for handle in self.running}
        ready = {owners[item]: None for item in wait(list(owners), timeout_s)}  # each once
        return [event for handle in ready for event in self._hear(handle)]

    def _hear(self, handle: Handle) -> list[Event]:
        """One message of a run, or its end."""
        try:
            message, content = pickle.loads(handle.connection.recv_bytes())
        except (EOFError, OSError):
            return [self._bury(handle)]
        if message == "epoch":
            return [Event("epoch", handle, report=content)]
        if message == "begun":
            return [Event("begun", handle)]
        self._release(handle)
        return [Event(message, handle, result=content)]

    def _bury(self, handle: Handle) -> Event:
        """A process ended without a word: start it again where that is wanted, else tell of what it died."""
        self._release(handle)
        code = handle.process.exitcode
        if handle.timed_out:
            minutes = (self.timeout_s or 0) / 60
            died = Died("timeout", f"not finished after {minutes:g} minutes (hydra.launcher.timeout_minutes)")
        elif code is not None and code < 0:
            died = Died("killed", f"killed by {signal.Signals(-code).name}")
        else:
            died = Died("exit", f"its process ended by itself with exit code {code}")
        if died.kind == "killed" and handle.attempt < self.retries:
            again = self._start(handle.number, handle.config, handle.folder, handle.slot, handle.attempt + 1)
            return Event("retried", again)
        overrides = list(handle.config.hydra.overrides.task)
        result = JobReturn(overrides=overrides, cfg=handle.config, status=JobStatus.FAILED, _return_value=died)
        return Event("ended", handle, result=result)

    def _release(self, handle: Handle) -> None:
        handle.process.join()
        handle.connection.close()
        handle.lifeline.close()
        self.running.remove(handle)

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

    def close(self) -> None:
        """Stop everything that runs."""
        for handle in list(self.running):
            self.cancel(handle)


def output_folder(config: DictConfig) -> Path:
    """The folder in which Hydra will run a job of a sweep."""
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(config)
    try:
        return Path(str(config.hydra.sweep.dir)) / str(OmegaConf.select(config, "hydra.sweep.subdir"))
    finally:
        HydraConfig.instance().cfg = before
