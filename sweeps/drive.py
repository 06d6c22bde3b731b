"""Keeps the slots of a launcher full until there is nothing left to do, or somebody says stop.

It holds nothing that a restart could not read back from the run folders.
"""

import contextlib
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from hydra.core.utils import JobReturn, JobStatus

from sweeps.channel import Answer
from sweeps.local import Died, Event, LocalLauncher
from sweeps.plan import Job
from sweeps.view import View
from training.progress import EpochReport
from training.record import CONFIG, LOG, RECORD, read_json, read_record, write_json


class Source(Protocol):
    """Where jobs come from, and who wants to know what becomes of them."""

    def next_job(self) -> Job | None:
        """The next job for a free slot, or None where there is none at present."""

    def beat(self) -> None:
        """Called about twice a second."""

    def on_epoch(self, job: Job, report: EpochReport) -> Answer:
        """An epoch of a job is over. May it go on?"""

    def on_end(self, job: Job, record: dict[str, Any]) -> None:
        """A job came to its end."""

    def on_stop(self, job: Job) -> None:
        """A job was stopped before its end."""


@dataclass
class Stop:
    """Who wants the sweep to end, and how soon. First Ctrl-C: after the epochs under way. Second, or SIGTERM: see
    `deadline`, a time.monotonic()."""

    reason: str = ""
    exit_code: int = 0
    deadline: float = float("inf")

    def ask(self, reason: str, exit_code: int, within_s: float = float("inf")) -> None:
        """Stop for this reason."""
        self.reason, self.exit_code = self.reason or reason, self.exit_code or exit_code
        self.deadline = min(self.deadline, time.monotonic() + within_s)


@dataclass
class Outcome:
    """How a sweep ended: the folders of its failed runs, Hydra's results by job number, and whether it was stopped."""

    failed: list[Path] = field(default_factory=list)
    results: dict[int, JobReturn] = field(default_factory=dict)
    stop: Stop = field(default_factory=Stop)


def drive(launcher: LocalLauncher, source: Source, view: View, max_hours: float | None) -> Outcome:
    """Run what `source` gives until it gives no more and nothing runs, or until the sweep is told to stop."""
    outcome = Outcome()
    jobs: dict[int, Job] = {}
    ends = time.monotonic() + 3600 * max_hours if max_hours is not None else float("inf")
    with _signals(outcome.stop, launcher.grace_s, view):
        try:
            while True:
                source.beat()
                if time.monotonic() > ends and not outcome.stop.reason:
                    outcome.stop.ask(f"sweep.max_hours={max_hours:g} are over", 0)
                    view.say(f"{outcome.stop.reason}; the epochs under way are finished")
                while not outcome.stop.reason and launcher.free_slot() is not None:
                    job = source.next_job()
                    if job is None:
                        break
                    jobs[job.number] = job
                    launcher.submit(job.number, job.config, job.folder)
                if not launcher.running or time.monotonic() > outcome.stop.deadline:
                    break
                for event in launcher.wait_any(0.5):
                    _heed(event, jobs[event.handle.number], launcher, source, view, outcome)
        finally:
            for handle in list(launcher.running):
                launcher.cancel(handle)
                view.left(handle.number)
                source.on_stop(jobs[handle.number])
    return outcome


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
        launcher.answer(handle, "stop" if outcome.stop.reason and answer == "go" else answer)
    elif event.result is not None:
        outcome.results[job.number] = event.result
        record = settle(job, event.result)
        if record["status"] == "failed":
            outcome.failed.append(job.folder)
        view.ended(job.number, job.folder, record["status"], detail(record))
        source.on_end(job, record)


def settle(job: Job, result: JobReturn) -> dict[str, Any]:
    """The record of a job that ended; written here where its process could not."""
    record = read_record(job.folder)
    if record is not None and not isinstance(result._return_value, Died):
        return record
    error = result._return_value
    kind = error.kind if isinstance(error, Died) else "exception"
    message = str(error) if result.status is JobStatus.FAILED else "it left no record"
    log = job.folder / LOG
    tail = log.read_text(errors="replace").splitlines()[-8:] if log.exists() else []
    failure = {"kind": kind, "message": message, "log": tail}
    record = read_json(job.folder / CONFIG) | {"status": "failed", "failure": failure, "time": {}}
    with contextlib.suppress(OSError):  # a full disk, say; the failure is told all the same
        write_json(job.folder / RECORD, record)
    return record


def detail(record: dict[str, Any]) -> str:
    """What is said about a run in one line when it ends."""
    if record.get("val") and record.get("test"):
        return f"val acc {record['val']['acc']:.2f}, test acc {record['test']['acc']:.2f}"
    failure = record.get("failure") or {}
    return f"{failure.get('kind')}: {failure.get('message')}" if failure else ""


class _signals:
    """Ctrl-C once: finish the epochs under way. Twice: now. SIGTERM: finish them, but within `grace_s`."""

    def __init__(self, stop: Stop, grace_s: float, view: View) -> None:
        self.stop, self.grace_s, self.view = stop, grace_s, view

    def __enter__(self) -> None:
        self.before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        signal.signal(signal.SIGINT, self._interrupt)
        signal.signal(signal.SIGTERM, self._terminate)

    def __exit__(self, *error: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.stop.exit_code:
            self.stop.ask("interrupted", 130, within_s=0)
        else:
            self.stop.ask("interrupted", 130)
            self.view.say("interrupted: the epochs under way are finished and saved; Ctrl-C again stops now")

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        self.stop.ask("terminated", 143, within_s=self.grace_s)
        self.view.say(f"terminated: all runs stop within {self.grace_s:g} s")
