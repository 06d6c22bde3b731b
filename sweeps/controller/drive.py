"""Keeps the slots of a launcher full until there is nothing left to do, or somebody says stop.

It holds nothing that a restart could not read back from the run folders.
"""

import gc
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from hydra.core.utils import JobReturn

from sweeps.channel import Answer
from sweeps.controller.finalize import detail, in_use, settle
from sweeps.controller.view import View
from sweeps.launchers.local import Event, Handle, LocalLauncher
from sweeps.plan.jobs import Job
from sweeps.stopping import Stop, heed_signals
from training.progress import EpochReport
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
    """How a sweep ended: the folders of its failed runs, Hydra's results by job number, and whether it was stopped."""

    failed: list[Path] = field(default_factory=list)
    results: dict[int, JobReturn] = field(default_factory=dict)
    stop: Stop = field(default_factory=Stop)


def drive(launcher: LocalLauncher, source: Source, view: View, outcome: Outcome) -> None:
    """Run what `source` gives until it gives no more and nothing runs, or until the sweep is told to stop."""
    gc.freeze()  # the plan has imported torch: the collector, looking through it, would stop the sweep now and then
    stop = outcome.stop
    jobs: dict[int, Job] = {}
    aside: list[Job] = []  # in use by another process

    def end(handles: list[Handle]) -> None:
        for handle in handles:
            launcher.cancel(handle)
            view.left(handle.number)
            source.on_stop(jobs[handle.number])

    with heed_signals(stop, launcher.grace_s, view.say):
        try:
            while not stop.is_due:
                while not stop.over() and launcher.free_slot() is not None:
                    job = source.next_job() or _take_free(aside)
                    if job is None:
                        break
                    jobs[job.number] = job
                    launcher.submit(job.number, job.config, job.folder)
                if stop.reason:
                    end([handle for handle in launcher.running if not handle.begun])  # nothing is lost
                if not launcher.running and (stop.reason or not aside):
                    break
                for event in launcher.wait_any(0.5, retry=not stop.over()):
                    job = jobs[event.handle.number]
                    if event.result is not None and isinstance(event.result._return_value, RunInUse):
                        aside.append(job)
                        view.left(job.number)
                        view.say(f"#{job.number} waits: {event.result._return_value}")
                    else:
                        _heed(event, job, launcher, source, view, outcome)
        finally:
            end(list(launcher.running))
            launcher.close()
            for job in aside:
                source.on_stop(job)


def _take_free(aside: list[Job]) -> Job | None:
    for job in aside:
        if not in_use(job.folder):
            aside.remove(job)
            return job
    return None


def _heed(event: Event, job: Job, launcher: LocalLauncher, source: Source, view: View, outcome: Outcome) -> None:
    handle = event.handle
    if event.kind == "begun":
        view.begun(handle)
    elif event.kind == "retried":
        view.say(f"#{job.number} was killed; it goes on from its last saved epoch")
    elif event.kind == "stopped":
        view.left(handle.number)
        source.on_stop(job)
    elif event.report is not None:
        view.epoch(handle, event.report)
        answer = source.on_epoch(job, event.report)
        launcher.answer(handle, "stop" if outcome.stop.over() and answer == "go" else answer)
    elif event.result is not None:
        outcome.results[job.number] = event.result
        record = settle(job, event.result)
        if record.status == "failed":
            outcome.failed.append(job.folder)
        view.ended(job.number, job.folder, str(record.status), detail(record))
        source.on_end(job, record)
