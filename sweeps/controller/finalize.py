"""What became of a job: its record, written here where the run itself could not."""

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus

from sweeps.hydra_glue.private import returned
from sweeps.launchers.launcher import Died
from sweeps.plan.jobs import Job, written
from training.config import as_dict
from training.data.changed_since import since_planned
from training.errors import DataChanged
from training.record import SCHEMA, Record, read_beginning, read_record, write_record
from training.run_folder import LOG, RunInUse, lock
from training.schema.record_parts import Failure, Resolved, Times


def finalize(job: Job, result: JobReturn) -> Record:
    """The record of a job that ended. One that was there when the job was planned says nothing of how this ended."""
    record = read_record(job.folder)
    if record is not None and (result.status is JobStatus.COMPLETED or written(job.folder) != job.found):
        return record
    error = returned(result)
    message = "it left no record"
    if isinstance(error, BaseException):
        message = str(error) if isinstance(error, Died | RunInUse) else f"{type(error).__name__}: {error}"
    if isinstance(error, DataChanged):
        message = _what_changed(job, error)
    failure = Failure(_kind(error), message, last_lines(job.folder))
    begun = read_beginning(job.folder) or _beginning(job)
    record = replace(begun, status="failed", failure=failure, time=Times())
    if isinstance(error, RunInUse):  # whoever has it will leave a record
        return record
    with contextlib.suppress(OSError, RunInUse), lock(job.folder, wait_s=2):  # a full disk, say: it is told anyway
        write_record(job.folder, record)
    return record


def _what_changed(job: Job, error: DataChanged) -> str:
    """What happened to a job's images since it was planned, in this process."""
    changes = since_planned(job.run.data)
    return f"the images changed since the plan: {changes}" if changes else str(error)


def _kind(error: Any) -> str:
    if isinstance(error, DataChanged):
        return "data"
    if isinstance(error, RunInUse):
        return "in_use"
    return error.kind if isinstance(error, Died) else "exception"


def _beginning(job: Job) -> Record:
    """What a record says of its run, for one that died before it could say so itself."""
    assert job.prepared is not None
    return Record(
        schema=SCHEMA,
        identity=job.prepared.identity,
        seed=job.run.seed,
        fold=job.run.data.fold,
        sweep=job.run.sweep.name,
        config=as_dict(job.run),
        resolved=Resolved(weights=job.prepared.resolved.weights),
    )


def detail(record: Record) -> str:
    """What is said about a run in one line when it ends."""
    if record.val.acc is not None and record.test.acc is not None:
        return f"val acc {record.val.acc:.2f}, test acc {record.test.acc:.2f}"
    return f"{record.failure.kind}: {record.failure.message}" if record.failure.kind else ""


def last_lines(folder: Path, count: int = 8) -> list[str]:
    """The end of a run's log."""
    try:
        return (folder / LOG).read_text(errors="replace").splitlines()[-count:]
    except OSError:
        return []


def in_use(folder: Path) -> bool:
    """Whether a process holds the lock of this folder."""
    if not folder.is_dir():
        return False
    try:
        with lock(folder):
            return False
    except RunInUse:
        return True
