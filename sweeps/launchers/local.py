"""hydra/launcher=local: every run a process of its own, in a slot of this machine."""

import os
import pickle
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import cloudpickle
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, read_write

from sweeps.channel import Answer
from sweeps.hydra_glue.composer import Composer
from sweeps.hydra_glue.private import failed, singletons
from sweeps.launchers.batch import run_batch
from sweeps.launchers.claims import Claims
from sweeps.launchers.faults import park, part, trouble_in, without_graphs
from sweeps.launchers.fork_server import Forks, preload
from sweeps.launchers.launcher import Capabilities, Event, Handle, RunnableJob
from sweeps.launchers.local_config import OFF, LocalConfig
from sweeps.launchers.run_process import Processes, RunProcess, Task
from sweeps.launchers.sharing import Sharing
from sweeps.launchers.slots import MachineSlot, find_slots, hide_gpus, needs_of
from sweeps.launchers.worker import Ahead, Payload, Program
from training.run_folder import LOG
from training.schema.checks import need

__all__ = ["LocalConfig", "LocalLauncher"]
AHEAD_S = 15.0  # before the end of a run the next one is prepared
LOOK_S = 0.1  # where runs wait for others to be gone


class LocalLauncher(Launcher):
    """Processes forked from a server that has torch imported, one for a slot."""

    capabilities = Capabilities(channel=True, prune=True, cancel=True, this_machine=True)

    def __init__(
        self,
        slots: int | str,
        slots_per_gpu: int | str,
        mps: str,
        devices: str,
        wait: bool,
        retries: int,
        timeout_minutes: float | None,
        grace_s: float,
    ) -> None:
        need(retries >= 0, f"hydra.launcher.retries={retries}: expected 0 or more")
        need(timeout_minutes is None or timeout_minutes > 0, "hydra.launcher.timeout_minutes: expected above 0")
        need(grace_s >= 0, f"hydra.launcher.grace_s={grace_s}: expected 0 or more")
        need(mps in ("auto", *OFF), f"hydra.launcher.mps={mps}: expected auto or off")
        self.slot_settings, self.mps = (slots, slots_per_gpu, devices), "off" if mps in OFF else mps
        self.waits, self.retries, self.grace_s = wait, retries, grace_s
        self.timeout_s = None if timeout_minutes is None else 60 * timeout_minutes
        self.processes = Processes()
        self.slots: list[MachineSlot] = []
        self.placed: tuple[int, MachineSlot] | None = None  # the job that was placed last
        self.expected: RunnableJob | None = None  # the job that comes next, or one like it
        self.composer: Composer | None = None
        self.forks: Forks | None = None
        self.claims: Claims | None = None
        self.sharing: Sharing | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Remember what to run, and find the slots. No process starts yet."""
        self.composer = Composer(hydra_context, config)
        self.forks = Forks(Program(hydra_context, task_function, singletons()), preload("trainer" in config))
        if self.slot_settings[2] == "cpu":
            hide_gpus()
        self.slots = find_slots(*self.slot_settings)
        name = OmegaConf.select(config, "sweep.name", default=None)  # first, as the folder depends on it
        folder = Path(str(config.hydra.sweep.dir))
        self.sharing = Sharing(self.slot_settings[1] == "auto", self.mps, folder, self.slots)
        self.claims = Claims(str(name or folder.name), needs_of(self.slots))
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

    def _claims(self) -> Claims:
        assert self.claims is not None, "Hydra calls setup first"
        return self.claims

    def _sharing(self) -> Sharing:
        assert self.sharing is not None, "Hydra calls setup first"
        return self.sharing

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Hydra's interface: run a batch of jobs, give their results in order. Raises SweepEnded when stopped."""
        assert self.composer is not None, "Hydra calls setup first"
        return run_batch(self, self.composer.batch(initial_job_idx, job_overrides))

    @property
    def running(self) -> list[Handle]:
        """Jobs that were submitted and have not ended."""
        return self.processes.handles

    @property
    def waits_for(self) -> str:
        """Who uses the slots or the memory that `free_slot` or `place` found none of; else nothing."""
        return self._claims().waits_for or self._sharing().lack

    @property
    def longest_first(self) -> bool:
        """Whether the longest runs of a grid shall begin first."""
        return self._sharing().auto

    def _free(self) -> list[MachineSlot]:
        """Slots in which nothing runs, on cards that no run wants for itself."""
        taken, closed = {run.slot.number for run in self.processes.at_work}, self.processes.closed
        return [slot for slot in self.slots if slot.number not in taken and slot.gpu not in closed]

    def free_slot(self) -> MachineSlot | None:
        """A slot in which nothing runs, and which no other sweep uses: kept from others until `wait_any`."""
        return self._claimed(self._free())

    def place(self, job: RunnableJob) -> bool:
        """Choose the slot of a job that is submitted next; False where no card has room for it now."""
        sharing = self._sharing()
        slots = sharing.choose(sharing.demand(job), self._free(), self.processes)
        cards = [[slot for slot in slots if slot.gpu == gpu] for gpu in dict.fromkeys(slot.gpu for slot in slots)]
        slot = next((found for of in cards if (found := self._claimed(of)) is not None), None)
        self.placed = None if slot is None else (job.number, slot)
        return slot is not None

    def _claimed(self, free: Sequence[MachineSlot]) -> MachineSlot | None:
        claims = self._claims()
        for slot in [slot for slot in free if slot.number in claims.held]:
            if claims.may_keep(slot.number):
                return slot
            self._vacate(slot)
        number = claims.take([slot.number for slot in free])
        return next((slot for slot in free if slot.number == number), None)

    def _vacate(self, slot: MachineSlot) -> None:
        """Let others have a slot, when what ran in it is gone."""
        self.processes.empty(slot)
        self._claims().release(slot.number)

    def _give_back(self) -> None:
        """Let others have what is not in use."""
        for number in set(self._claims().held) - self.processes.busy:
            self._claims().release(number)
        self._claims().end_of_turn()

    def submit(self, job: RunnableJob) -> Handle:
        """Start a job in the slot that it was placed in, or a free one; its output goes to run.log in its folder."""
        number, slot = self.placed or (-1, None)
        slot = slot if slot is not None and number == job.number else self.free_slot()
        assert slot is not None, "submit needs a free slot"
        self.placed, handle = None, Handle(job.number, job.folder, slot)
        with read_write(job.config.hydra):  # resolved, so that the run need not work it out once more
            job.config.hydra.sweep.subdir = os.path.relpath(handle.folder, str(job.config.hydra.sweep.dir))
        self._start(Task(handle, slot, job.config, self._sharing().demand(job)))
        return handle

    def _start(self, task: Task, attempt: int = 0) -> None:
        if self._sharing().has_to_be_empty(task):
            self.processes.empty(task.slot)
        task.handle.begun = False
        variables, mps = self._sharing().environment(task.slot, task.alone)
        payload = cloudpickle.dumps(Payload(task.config, str(task.handle.folder / LOG), variables | task.environment))
        run = RunProcess(task, *self._forks().take(payload, variables), attempt=attempt, mps=mps)
        task.handle.process = run.process.pid
        self.processes.at_work.append(run)

    def wait_any(self, timeout_s: float, retry: bool = True) -> list[Event]:
        """What has happened, at the latest after `timeout_s`; often nothing. `retry`: whether killed runs may."""
        at_work = self.processes.at_work
        if at_work and time.monotonic() - at_work[-1].started > 0.2:  # else it would slow that start down
            self._forks().make_spare()
        self.processes.kill_overdue(self.timeout_s)
        self.processes.reap_gone()
        self._get_ready()
        events = self._go_on_alone(retry)
        self._give_back()
        owners: dict[Any, RunProcess] = {end: run for run in at_work for end in (run.connection, run.process.sentinel)}
        waits_s = 0.0 if events else min(timeout_s, LOOK_S) if self.processes.parked else timeout_s
        for run in {owners[item]: None for item in wait(list(owners), waits_s)}:  # each once
            if run in at_work:  # and not ended with another of its card
                events += self._hear(run, retry)
        return events

    def expect(self, job: RunnableJob | None) -> None:
        """Which job is likely to be submitted next; None: none."""
        self.expected = job

    def _get_ready(self) -> None:
        """Have the next run prepared where one is about to end."""
        ending = [run for run in self.processes.at_work if run.seconds_left < AHEAD_S]
        if self.expected is not None and ending and self._sharing().has_room_ahead(ending[0], self.processes):
            variables, _ = self._sharing().environment(ending[0].slot, alone=False)
            self._forks().get_ready(Ahead(self.expected.config, variables))

    def _go_on_alone(self, retry: bool) -> list[Event]:
        """Start what has to be alone on its card, where that is empty."""
        if not retry:
            stopped, self.processes.parked = [Event("stopped", task.handle) for task in self.processes.parked], []
            return stopped
        for task in self.processes.alone_now():
            self._start(task)
        return []

    def _hear(self, run: RunProcess, retry: bool) -> list[Event]:
        """One message of a run, or its end."""
        try:
            if not run.connection.poll():  # its process is gone, though one of its own may hold the other end
                return self._end_of_dead(run, retry)
            message, content = pickle.loads(run.connection.recv_bytes())
        except (EOFError, OSError):
            return self._end_of_dead(run, retry)
        if message == "epoch":
            self._sharing().heard(run, content)
            if content.epoch > run.epoch:  # a run that goes on repeats its last one, or does some again
                run.attempt, run.epoch = 0, content.epoch
            run.seconds_left = content.seconds_left
            return [Event("epoch", run.handle, report=content)]
        if message == "begun":
            run.handle.begun = True
            return [Event("begun", run.handle)]
        if message == "again":
            return [without_graphs(self.processes, run, content, retry, self._start)]
        trouble = trouble_in(content, run.mps, self.processes.has_company(run)) if message == "ended" else ""
        if trouble == "fault":
            return self._part(run, "had a CUDA error", retry)
        if trouble == "memory":
            return [park(self.processes, run, "out of memory beside others", retry)]
        self.processes.tell_end(run)
        return [Event(message, run.handle, result=content)]

    def _part(self, run: RunProcess, why: str, retry: bool) -> list[Event]:
        """All runs of a card go on from their last saved epoch without MPS, one at a time."""
        shared = f"#{run.handle.number} {why} under MPS, which all runs of a card share"
        events = part(self.processes, run, shared, retry)
        self._forks().close()  # what was made ready is a client too
        self._sharing().stop_mps(run.slot.gpu, why)
        return events

    def _end_of_dead(self, run: RunProcess, retry: bool) -> list[Event]:
        """A process has ended and sent no result: start it again where that is wanted, else tell of what it died."""
        self.processes.release(run)
        died = run.cause_of_death(self.timeout_s)
        shares = run.mps and died.kind in ("killed", "timeout")  # by a signal: MPS knows no other's work from its
        final = died.kind != "killed" or (not shares and (run.attempt >= self.retries or run.task.alone))
        if shares:
            events = self._part(run, f"was {died}", retry)
            if not final:
                return events
            self.processes.forget(run.handle)
            others = [event for event in events if event.handle is not run.handle]
            return [Event("ended", run.handle, result=failed(run.task.config, died)), *others]
        if final:
            return [Event("ended", run.handle, result=failed(run.task.config, died))]
        if not retry:
            return [Event("stopped", run.handle)]
        self._start(replace(run.task, epoch=run.epoch), run.attempt + 1)
        return [Event("retried", run.handle)]

    def close(self) -> None:
        """Let go of all processes. Runs that are under way are cancelled."""
        for handle in self.running:
            self.cancel(handle)
        self.processes.empty()
        self._claims().close()
        self._forks().close()
        self._sharing().close()

    def answer(self, handle: Handle, answer: Answer) -> None:
        """Let a run that reported an epoch go on, or end it."""
        with suppress(BrokenPipeError, ConnectionResetError):  # it died meanwhile, which wait_any will tell
            run = self.processes.of(handle)
            run.seconds_left = run.seconds_left if answer == "go" else 0.0
            run.connection.send(answer)

    def cancel(self, handle: Handle) -> None:
        """Stop a job now. Its last saved epoch stays; nothing more is heard of it."""
        if self.processes.forget(handle):
            return
        run = self.processes.of(handle)
        run.process.kill()
        self.processes.release(run)
