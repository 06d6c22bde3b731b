"""hydra/launcher=local: every run a process of its own, in a slot of this machine."""

import contextlib
import os
import pickle
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import cloudpickle
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, read_write

from sweeps.channel import Answer
from sweeps.hydra_glue.composer import Composer
from sweeps.hydra_glue.private import failed, singletons
from sweeps.launchers.batch import run_batch
from sweeps.launchers.claims import INSIDE, Claims
from sweeps.launchers.fork_server import SERVER_DIED, Forks, preload
from sweeps.launchers.launcher import Capabilities, Died, Event, Handle, RunnableJob
from sweeps.launchers.slots import MachineSlot, find_slots, hide_gpus, needs_of
from sweeps.launchers.worker import Payload, Program
from training.run_folder import LOG
from training.schema.checks import need


@dataclass
class LocalConfig:
    """hydra/launcher=local"""

    _target_: str = "sweeps.launchers.local.LocalLauncher"
    slots: Any = "auto"  # how many runs at once; auto: one per GPU, or one for the whole CPU
    slots_per_gpu: int = 1
    devices: str = "auto"  # auto, cpu or gpu
    wait: bool = True  # for slots that other sweeps on this machine use; false: exit code 2 where none is free at first
    retries: int = 3  # of a run that was killed; it goes on from its last saved epoch, and counts anew after a further
    timeout_minutes: float | None = None  # of one run
    grace_s: float = 30.0  # from SIGTERM to the end of all


PATIENCE_S = 10.0  # for a run that has told its end but doesn't go

ConfigStore.instance().store(group="hydra/launcher", name="local", node=LocalConfig, provider="finegrid")


@dataclass(eq=False)
class RunProcess:
    """The process that works on a job: its channel, and what ends it when we let go."""

    handle: Handle
    slot: MachineSlot
    config: DictConfig
    process: ForkServerProcess
    connection: Connection
    lifeline: Connection
    attempt: int  # how often it was killed since its last epoch
    epoch: int = 0  # the last of which it has told
    started: float = field(default_factory=time.monotonic)
    timed_out: bool = False


class LocalLauncher(Launcher):
    """Processes forked from a server that has torch imported, one for a slot."""

    capabilities = Capabilities(channel=True, prune=True, cancel=True, this_machine=True)

    def __init__(
        self,
        slots: int | str,
        slots_per_gpu: int,
        devices: str,
        wait: bool,
        retries: int,
        timeout_minutes: float | None,
        grace_s: float,
    ) -> None:
        need(retries >= 0, f"hydra.launcher.retries={retries}: expected 0 or more")
        need(timeout_minutes is None or timeout_minutes > 0, "hydra.launcher.timeout_minutes: expected above 0")
        need(grace_s >= 0, f"hydra.launcher.grace_s={grace_s}: expected 0 or more")
        self.slot_settings = (slots, slots_per_gpu, devices)
        self.waits, self.retries, self.grace_s = wait, retries, grace_s
        self.timeout_s = None if timeout_minutes is None else 60 * timeout_minutes
        self.at_work: list[RunProcess] = []
        self.leaving: list[RunProcess] = []  # told their end, but their processes may not be gone
        self.slots: list[MachineSlot] = []
        self.composer: Composer | None = None
        self.forks: Forks | None = None
        self.claims: Claims | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Remember what to run, and find the slots. No process starts yet."""
        self.composer = Composer(hydra_context, config)
        self.forks = Forks(Program(hydra_context, task_function, singletons()), preload("trainer" in config))
        if self.slot_settings[2] == "cpu":
            hide_gpus()
        self.slots = find_slots(*self.slot_settings)
        name = OmegaConf.select(config, "sweep.name", default=None) or Path(str(config.hydra.sweep.dir)).name
        self.claims = Claims(str(name), needs_of(self.slots))
        if self.claims.problem:
            print(self.claims.problem, file=sys.stderr)
        if not self.waits and not OmegaConf.select(config, "sweep.plan", default=False):
            why = self.claims.none_is_free()
            need(not why, f"hydra.launcher.wait=false: {why.removeprefix('waits for a slot: ')}")

    def warm_up(self) -> None:
        """Have the server import what runs need, meanwhile."""
        self._forks().start_server()

    def _forks(self) -> Forks:
        assert self.forks is not None, "Hydra calls setup first"
        return self.forks

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Hydra's interface: run a batch of jobs, give their results in order. Raises SweepEnded when stopped."""
        assert self.composer is not None, "Hydra calls setup first"
        return run_batch(self, self.composer.batch(initial_job_idx, job_overrides))

    @property
    def running(self) -> list[Handle]:
        """Jobs that were submitted and have not ended."""
        return [run.handle for run in self.at_work]

    @property
    def waits_for(self) -> str:
        """Which other sweeps use the slots, where `free_slot` found none for that; else nothing."""
        return self._claims().waits_for

    def _claims(self) -> Claims:
        assert self.claims is not None, "Hydra calls setup first"
        return self.claims

    def free_slot(self) -> MachineSlot | None:
        """A slot in which nothing runs, and which no other sweep uses: it is kept from others until `wait_any`."""
        taken, claims = {run.slot.number for run in self.at_work}, self._claims()
        free = [slot for slot in self.slots if slot.number not in taken]
        for slot in [slot for slot in free if slot.number in claims.held]:
            if claims.may_keep(slot.number):
                return slot
            self._vacate(slot)
        number = claims.take([slot.number for slot in free])
        return next((slot for slot in free if slot.number == number), None)

    def _vacate(self, slot: MachineSlot) -> None:
        """Let others have a slot, when what ran in it is gone."""
        for leaving in [run for run in self.leaving if run.slot is slot]:
            self._reap(leaving)
        self._claims().release(slot.number)

    def _give_back(self) -> None:
        """Let others have what is not in use."""
        busy = {run.slot.number for run in self.at_work}
        busy |= {run.slot.number for run in self.leaving if run.process.exitcode is None}
        for number in [number for number in self._claims().held if number not in busy]:
            self._claims().release(number)
        self._claims().end_of_turn()

    def submit(self, job: RunnableJob) -> Handle:
        """Start a job in a free slot; its output goes to run.log in its folder."""
        slot = self.free_slot()
        assert slot is not None, "submit needs a free slot"
        handle = Handle(job.number, job.folder, slot)
        with read_write(job.config.hydra):  # resolved, so that the run need not work it out once more
            job.config.hydra.sweep.subdir = os.path.relpath(handle.folder, str(job.config.hydra.sweep.dir))
        self._start(handle, slot, job.config, 0)
        return handle

    def _start(self, handle: Handle, slot: MachineSlot, config: DictConfig, attempt: int) -> None:
        for leaving in [run for run in self.leaving if run.slot is slot]:
            self._reap(leaving)
        handle.begun = False
        payload = cloudpickle.dumps(Payload(config, str(handle.folder / LOG), slot.environment() | {INSIDE: "1"}))
        run = RunProcess(handle, slot, config, *self._forks().take(payload), attempt=attempt)
        handle.process = run.process.pid
        self.at_work.append(run)

    def wait_any(self, timeout_s: float, retry: bool = True) -> list[Event]:
        """What has happened, at the latest after `timeout_s`; often nothing. `retry`: whether killed runs may."""
        if self.at_work and time.monotonic() - self.at_work[-1].started > 0.2:  # else it would slow that start down
            self._forks().make_spare()
        self._kill_overdue()
        self._give_back()
        owners: dict[Any, RunProcess] = {run.connection: run for run in self.at_work}
        owners |= {run.process.sentinel: run for run in self.at_work}
        ready = {owners[item]: None for item in wait(list(owners), timeout_s)}  # each once
        return [self._hear(run, retry) for run in ready]

    def _kill_overdue(self) -> None:
        for run in self.at_work:
            overdue = self.timeout_s is not None and time.monotonic() - run.started > self.timeout_s
            if overdue and not run.timed_out:
                run.timed_out = True
                run.process.kill()

    def _hear(self, run: RunProcess, retry: bool) -> Event:
        """One message of a run, or its end."""
        try:
            if not run.connection.poll():  # its process is gone, though one of its own may hold the other end
                return self._end_of_dead(run, retry)
            message, content = pickle.loads(run.connection.recv_bytes())
        except (EOFError, OSError):
            return self._end_of_dead(run, retry)
        if message == "epoch":
            if content.epoch > run.epoch:  # a run that goes on repeats its last one, or does some again
                run.attempt, run.epoch = 0, content.epoch
            return Event("epoch", run.handle, report=content)
        if message == "begun":
            run.handle.begun = True
            return Event("begun", run.handle)
        self.at_work.remove(run)
        self.leaving.append(run)
        return Event(message, run.handle, result=content)

    def _end_of_dead(self, run: RunProcess, retry: bool) -> Event:
        """A process has ended and sent no result: start it again where that is wanted, else tell of what it died."""
        self._release(run)
        died = self._cause_of_death(run)
        if died.kind != "killed" or run.attempt >= self.retries:
            return Event("ended", run.handle, result=failed(run.config, died))
        if not retry:
            return Event("stopped", run.handle)
        self._start(run.handle, run.slot, run.config, run.attempt + 1)
        self.at_work[-1].epoch = run.epoch
        return Event("retried", run.handle)

    def _cause_of_death(self, run: RunProcess) -> Died:
        code = run.process.exitcode
        if run.timed_out:
            minutes = (self.timeout_s or 0) / 60
            return Died("timeout", f"not finished after {minutes:g} minutes (hydra.launcher.timeout_minutes)")
        if code is not None and code < 0:
            return Died("killed", f"killed by {signal.Signals(-code).name}")
        if code == SERVER_DIED:
            return Died("killed", "killed with the server that it was forked from")
        return Died("exit", f"its process ended by itself with exit code {code}")

    def _release(self, run: RunProcess) -> None:
        self.at_work.remove(run)
        self._reap(run)

    def close(self) -> None:
        """Let go of all processes. Runs that are under way are cancelled."""
        for handle in self.running:
            self.cancel(handle)
        for run in list(self.leaving):
            self._reap(run)
        self._claims().close()
        self._forks().close()

    def _reap(self, run: RunProcess) -> None:
        """Wait until a process and all that it started are gone."""
        run.process.join(PATIENCE_S)
        if run.process.exitcode is None:
            run.process.kill()
            run.process.join()
        with contextlib.suppress(OSError):  # ProcessLookupError: it had no children left
            os.killpg(run.process.pid or 0, signal.SIGKILL)
        run.connection.close()
        run.lifeline.close()
        if run in self.leaving:
            self.leaving.remove(run)

    def answer(self, handle: Handle, answer: Answer) -> None:
        """Let a run that reported an epoch go on, or end it."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it died meanwhile, which wait_any will tell
            self._process_of(handle).connection.send(answer)

    def cancel(self, handle: Handle) -> None:
        """Stop a job now. Its last saved epoch stays; nothing more is heard of it."""
        run = self._process_of(handle)
        run.process.kill()
        self._release(run)

    def _process_of(self, handle: Handle) -> RunProcess:
        return next(run for run in self.at_work if run.handle is handle)
