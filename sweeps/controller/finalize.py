"""What became of a job: its record, written here where the run itself could not."""

import contextlib
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus

from sweeps.hydra_glue.private import returned
from sweeps.launchers.launcher import Died
from sweeps.plan.jobs import Job, written
from training.config import as_dict
from training.record import CONFIG, LOG, RECORD, SCHEMA, RunInUse, lock, read_json, read_record, write_json


def finalize(job: Job, result: JobReturn) -> dict[str, Any]:
    """The record of a job that ended. One that was there when the job was planned says nothing of how this ended."""
    record = read_record(job.folder)
    if record is not None and (result.status is JobStatus.COMPLETED or written(job.folder) != job.found):
        return record
    error = returned(result)
    message = "it left no record"
    if isinstance(error, BaseException):
        message = str(error) if isinstance(error, Died | RunInUse) else f"{type(error).__name__}: {error}"
    failure = {"kind": _kind(error), "message": message, "log": last_lines(job.folder)}
    record = _about(job) | read_json(job.folder / CONFIG) | {"status": "failed", "failure": failure, "time": {}}
    if isinstance(error, RunInUse):  # whoever has it will leave a record
        return record
    with contextlib.suppress(OSError, RunInUse), lock(job.folder, wait_s=2):  # a full disk, say: it is told anyway
        write_json(job.folder / RECORD, record)
    return record


def _kind(error: Any) -> str:
    if isinstance(error, RunInUse):
        return "in_use"
    return error.kind if isinstance(error, Died) else "exception"


def _about(job: Job) -> dict[str, Any]:
    """What a record says of its run, for one that died before it could say so itself."""
    assert job.prepared is not None
    about = {"schema": SCHEMA, "identity": job.prepared.identity, "seed": job.run.seed}
    about |= {"fold": job.run.data.fold, "sweep": job.run.sweep.name}
    return about | {"config": as_dict(job.run), "resolved": {"weights": job.prepared.facts.weights}}


def detail(record: dict[str, Any]) -> str:
    """What is said about a run in one line when it ends."""
    if record.get("val") and record.get("test"):
        return f"val acc {record['val']['acc']:.2f}, test acc {record['test']['acc']:.2f}"
    failure = record.get("failure") or {}
    return f"{failure.get('kind')}: {failure.get('message')}" if failure else ""


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
