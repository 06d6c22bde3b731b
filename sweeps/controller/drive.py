"""Keeps the slots of a launcher full until there is nothing left to do, or somebody says stop.

It holds nothing that a restart could not read back from the run folders.
"""

import contextlib
import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from hydra.core.utils import JobReturn

from sweeps.cancelling import ALL, name_of
from sweeps.channel import Answer
from sweeps.controller.finalize import detail, finalize, in_use
from sweeps.controller.live_state import LiveState
from sweeps.controller.view import View
from sweeps.controller.weights_budget import WeightsBudget
from sweeps.hydra_glue.private import returned
from sweeps.launchers.launcher import Event, Handle, Launcher, has_room
from sweeps.plan.jobs import Job
from sweeps.stopping import CANCELLED, RunCancelled, StopRequest, heed_signals
from training.console.progress import EpochReport
from training.record import Record
from training.run_folder import RunInUse

LOOK_AGAIN_S = 2.0  # for a job, where there was none for a free slot: a study may get one from a controller that died
LOOK_AHEAD = 32  # jobs of a grid that are asked for while others wait for room: a smaller one may fit


class Source(Protocol):
    """Where jobs come from, and who wants to know what becomes of them."""

    def next_job(self) -> Job | None:
        """The next job for a free slot, or None where there is none at present."""

    def on_epoch(self, job: Job, report: EpochReport) -> Answer:
        """An epoch of a job is over. May it go on?"""

    def on_end(self, job: Job, record: Record) -> None:
        """A job came to its end."""

    def on_stop(self, job: Job) -> None:
        """A job was stopped before its end."""

    def on_cancel(self, job: Job) -> None:
        """Somebody ended a job before its end. It is for the next command."""

    def planned(self) -> Sequence[Job]:
        """The jobs that are known to come."""


@dataclass
class Outcome:
    """How a sweep ended: the folders of its failed and cancelled runs, Hydra's results by job number, and whether it
    was stopped. `budget`: what limits the weights that it keeps, looked at after every run. `keeps_results`: each holds
    the whole config of its run, which of a search of ten thousand trials nobody asks for."""

    failed: list[Path] = field(default_factory=list)
    cancelled: list[Path] = field(default_factory=list)
    results: dict[int, JobReturn] = field(default_factory=dict)
    request: StopRequest = field(default_factory=StopRequest)
    budget: WeightsBudget | None = None
    keeps_results: bool = True


def drive(launcher: Launcher, source: Source, view: View, outcome: Outcome, sweep_folder: Path) -> None:
    """Run what `source` gives until it gives no more and nothing runs, or until the sweep is told to stop."""
    gc.freeze()  # the plan has imported torch: the collector, looking through it, would stop the sweep now and then
    with LiveState(sweep_folder, len(launcher.slots)).joined() as live:
        live.plan(source.planned(), view.total)
        sweep = _SweepUnderWay(launcher, source, view, outcome, live)
        with heed_signals(outcome.request, launcher.grace_s, view.say), contextlib.closing(sweep):
            while sweep.goes_on():
                for event in launcher.wait_any(0.5, retry=not outcome.request.is_made()):
                    sweep.note(event)


@dataclass
class _SweepUnderWay:
    """What `drive` knows of its jobs. Of one that is over nothing stays but its number and how far it came."""

    launcher: Launcher
    source: Source
    view: View
    outcome: Outcome
    live: LiveState
    jobs: dict[int, Job] = field(default_factory=dict)  # in their slots
    given: set[int] = field(default_factory=set)  # numbers of the jobs that were ever submitted
    last: Job | None = None  # the one that was submitted last
    waiting_for_lock: list[Job] = field(default_factory=list)  # another process works on their folders
    held: list[Job] = field(default_factory=list)  # they wait for a slot that other sweeps use, or for room on a card
    announced: int = -1  # how many jobs had been submitted when the launcher was told of the next one
    idle_until: float = 0.0  # when to ask for a job again, after there was none
    epochs: dict[int, int] = field(default_factory=dict)  # how far jobs have come, by number
    told_to_stop: set[int] = field(default_factory=set)
    requests: set[str] = field(default_factory=set)  # numbers of jobs that shall end

    def goes_on(self) -> bool:
        """Fill the free slots; gives whether there is anything to wait for."""
        if self.outcome.request.is_due:
            return False
        self._hear_requests()
        self._fill_slots()
        self.live.say("ending", self.outcome.request.reason)
        self.live.tick()
        if not self.outcome.request.reason:
            return bool(self.launcher.running or self.waiting_for_lock or self.held)
        self._stop([handle for handle in self.launcher.running if not handle.begun])  # nothing is lost
        return bool(self.launcher.running)

    def _hear_requests(self) -> None:
        new = self.live.requests() - self.requests
        if not new:
            return
        self.requests |= new
        if ALL in new and not self.outcome.request.is_made():
            self.outcome.request.make("cancelled", CANCELLED)
            self.view.say("cancelled: the epochs under way are finished and saved")
        for handle in [handle for handle in self.launcher.running if str(handle.number) in new]:
            self.view.say(f"#{handle.number} is to be cancelled: it ends after its epoch")
            self.live.is_to_end(handle.number)
            if not handle.begun:
                self.launcher.cancel(handle)
                self._left(handle)
        for job in [job for job in self.held if self._is_cancelled(job)]:
            self.held.remove(job)
            self._cancelled(job)
        self.live.mark({name_of(job.folder): None for job in self.source.planned() if self._is_cancelled(job)})

    def _is_cancelled(self, job: Job) -> bool:
        """Whether its end was asked for, alone or with all others."""
        return str(job.number) in self.requests or ALL in self.requests

    def _cancelled(self, job: Job) -> None:
        """It is over for this command, and no failure."""
        self.outcome.cancelled.append(job.folder)
        self.live.mark({name_of(job.folder): self.epochs.get(job.number) or None})
        self.live.left(job.number)
        self.view.ended(job.number, job.folder, "cancelled", "the same command takes it up again")
        self.source.on_cancel(job)

    def _fill_slots(self) -> None:
        while not self.outcome.request.is_made() and (self.held or time.monotonic() >= self.idle_until):
            free = self.launcher.free_slot() is not None
            if not free and (self.held or not self._waits_for_others()):
                break  # all slots are ours
            job = self._next_job(free)
            if job is None:
                break
            if self._is_cancelled(job):
                self._cancelled(job)
            elif free:
                self.jobs[job.number] = self.last = job
                self.given.add(job.number)
                self.live.submitted(self.launcher.submit(job))
            else:  # other sweeps use the slots; ours goes on, though nothing of it may run
                self.held.append(job)
        self._announce()
        line = self._waits_for_others() if self.held else ""
        self.live.say("waits_for", line)
        self.view.waits(line)

    def _announce(self) -> None:
        """Tell a launcher that prepares runs which comes next; of a search, which doesn't know, one like the last."""
        expect = getattr(self.launcher, "expect", None)
        if expect is None or len(self.given) == self.announced:
            return
        self.announced, total = len(self.given), self.view.total
        coming = [*self.held, *self.source.planned()]
        more = not coming and (total is None or len(self.given) < total)
        expect(coming[0] if coming else self.last if more else None)

    def _next_job(self, free: bool) -> Job | None:
        """The first job that can begin now, of those that wait and those that come; without a `free` slot any."""
        for waiting in self.held if free else ():
            if self._is_cancelled(waiting) or has_room(self.launcher, waiting):
                self.held.remove(waiting)
                return waiting
        while not self.held or (free and len(self.held) < LOOK_AHEAD and self.source.planned()):
            if time.monotonic() < self.idle_until:
                return None
            job = self.source.next_job() or self._take_unlocked()
            if job is None:
                if not self.waiting_for_lock:
                    self.idle_until = time.monotonic() + LOOK_AGAIN_S
                return None
            if not free or self._is_cancelled(job) or has_room(self.launcher, job):
                return job
            self.held.append(job)
        return None

    def _waits_for_others(self) -> str:
        """Which other sweeps use the slots, where the launcher shares them."""
        return str(getattr(self.launcher, "waits_for", ""))

    def _take_unlocked(self) -> Job | None:
        for job in self.waiting_for_lock:
            if not in_use(job.folder):
                self.waiting_for_lock.remove(job)
                return job
        return None

    def _stop(self, handles: Sequence[Handle]) -> None:
        for handle in handles:
            if self.launcher.capabilities.cancel or not handle.begun:
                self.launcher.cancel(handle)
            self._left(handle)

    def _left(self, handle: Handle) -> None:
        job = self.jobs.pop(handle.number)
        if self._is_cancelled(job):
            return self._cancelled(job)
        self.view.left(handle.number)
        self.live.left(handle.number, ended=False)
        self.source.on_stop(job)

    def close(self) -> None:
        """Stop what runs or waits still, and let the launcher go."""
        self._stop(list(self.launcher.running))
        self.launcher.close()
        for job in [*self.waiting_for_lock, *self.held]:
            self.source.on_stop(job)
        self.held.clear()

    def note(self, event: Event) -> None:
        """Show what happened to a job, and tell its source."""
        handle = event.handle
        if event.kind in ("ended", "stopped"):
            self.idle_until = 0.0
        if event.kind == "begun":
            self.view.begun(handle)
            self.live.begun(handle)
        elif event.kind == "retried":
            self.live.begun(handle)
            self.view.say(event.note or f"#{handle.number} was killed; it goes on from its last saved epoch")
        elif event.kind == "told":
            self.view.say(event.note)
        elif event.kind == "stopped":
            if handle.number not in self.told_to_stop and not self.outcome.request.is_made():
                self.requests.add(str(handle.number))  # by SIGTERM to its process
            self._left(handle)
        elif event.report is not None:
            self._answer(handle, event.report)
        elif event.result is not None:
            self._ended(self.jobs.pop(handle.number), event.result)

    def _answer(self, handle: Handle, report: EpochReport) -> None:
        job = self.jobs[handle.number]
        self.epochs[handle.number] = report.epoch
        self.view.epoch(handle, report)
        answer = self.source.on_epoch(job, report)
        if answer == "go" and (self.outcome.request.is_made() or self._is_cancelled(job)):
            self.told_to_stop.add(handle.number)
            answer = "stop"
        self.live.epoch(handle, report, ending=answer != "go")
        self.launcher.answer(handle, answer)

    def _ended(self, job: Job, result: JobReturn) -> None:
        if isinstance(error := returned(result), RunInUse):
            self.waiting_for_lock.append(job)
            self.view.left(job.number)
            self.live.left(job.number, ended=False)
            self.view.say(f"#{job.number} waits: {error}")
            return
        if isinstance(error, RunCancelled):
            self.epochs[job.number] = error.epoch or 0
            return self._cancelled(job)
        if self.outcome.keeps_results:
            self.outcome.results[job.number] = result
        record = finalize(job, result)
        if record.status == "failed":
            self.outcome.failed.append(job.folder)
        self.live.left(job.number)
        self.view.ended(job.number, job.folder, str(record.status), detail(record), record)
        self.source.on_end(job, record)
        if self.outcome.budget is not None:
            self.outcome.budget.apply()
