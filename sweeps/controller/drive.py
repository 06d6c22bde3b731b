"""Keeps the slots of a launcher full until there is nothing left to do, or somebody says stop.

It holds nothing that a restart could not read back from the run folders.
"""

import contextlib
import gc
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from hydra.core.utils import JobReturn

from sweeps.channel import Answer
from sweeps.controller.finalize import detail, finalize, in_use
from sweeps.controller.view import View
from sweeps.controller.weights_budget import WeightsBudget
from sweeps.hydra_glue.private import returned
from sweeps.launchers.launcher import Event, Handle, Launcher
from sweeps.plan.jobs import Job
from sweeps.stopping import StopRequest, heed_signals
from training.console.progress import EpochReport
from training.record import Record
from training.run_folder import RunInUse


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


@dataclass
class Outcome:
    """How a sweep ended: the folders of its failed runs, Hydra's results by job number, and whether it was stopped.
    `budget`: what limits the weights that it keeps, looked at after every run."""

    failed: list[Path] = field(default_factory=list)
    results: dict[int, JobReturn] = field(default_factory=dict)
    request: StopRequest = field(default_factory=StopRequest)
    budget: WeightsBudget | None = None


def drive(launcher: Launcher, source: Source, view: View, outcome: Outcome) -> None:
    """Run what `source` gives until it gives no more and nothing runs, or until the sweep is told to stop."""
    gc.freeze()  # the plan has imported torch: the collector, looking through it, would stop the sweep now and then
    sweep = _SweepUnderWay(launcher, source, view, outcome)
    with heed_signals(outcome.request, launcher.grace_s, view.say), contextlib.closing(sweep):
        while sweep.goes_on():
            for event in launcher.wait_any(0.5, retry=not outcome.request.is_made()):
                sweep.note(event)


@dataclass
class _SweepUnderWay:
    """What `drive` knows of its jobs."""

    launcher: Launcher
    source: Source
    view: View
    outcome: Outcome
    jobs: dict[int, Job] = field(default_factory=dict)
    waiting_for_lock: list[Job] = field(default_factory=list)  # another process works on their folders

    def goes_on(self) -> bool:
        """Fill the free slots; gives whether there is anything to wait for."""
        if self.outcome.request.is_due:
            return False
        self._fill_slots()
        if not self.outcome.request.reason:
            return bool(self.launcher.running or self.waiting_for_lock)
        self._stop([handle for handle in self.launcher.running if not handle.begun])  # nothing is lost
        return bool(self.launcher.running)

    def _fill_slots(self) -> None:
        while not self.outcome.request.is_made() and self.launcher.free_slot() is not None:
            job = self.source.next_job() or self._take_unlocked()
            if job is None:
                return
            self.jobs[job.number] = job
            self.launcher.submit(job)

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
        self.view.left(handle.number)
        self.source.on_stop(self.jobs[handle.number])

    def close(self) -> None:
        """Stop what runs or waits still, and let the launcher go."""
        self._stop(list(self.launcher.running))
        self.launcher.close()
        for job in self.waiting_for_lock:
            self.source.on_stop(job)

    def note(self, event: Event) -> None:
        """Show what happened to a job, and tell its source."""
        handle = event.handle
        if event.kind == "begun":
            self.view.begun(handle)
        elif event.kind == "retried":
            self.view.say(f"#{handle.number} was killed; it goes on from its last saved epoch")
        elif event.kind == "stopped":
            self._left(handle)
        elif event.report is not None:
            self.view.epoch(handle, event.report)
            answer = self.source.on_epoch(self.jobs[handle.number], event.report)
            stops = answer == "go" and self.outcome.request.is_made()
            self.launcher.answer(handle, "stop" if stops else answer)
        elif event.result is not None:
            self._ended(self.jobs[handle.number], event.result)

    def _ended(self, job: Job, result: JobReturn) -> None:
        if isinstance(error := returned(result), RunInUse):
            self.waiting_for_lock.append(job)
            self.view.left(job.number)
            self.view.say(f"#{job.number} waits: {error}")
            return
        self.outcome.results[job.number] = result
        record = finalize(job, result)
        if record.status == "failed":
            self.outcome.failed.append(job.folder)
        self.view.ended(job.number, job.folder, str(record.status), detail(record))
        self.source.on_end(job, record)
        if self.outcome.budget is not None:
            self.outcome.budget.apply()
