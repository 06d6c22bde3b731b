"""What a run's record says of its beginning, its time, and its failure."""

import errno
import logging
import os
import platform
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from training.config import as_dict
from training.device import describe
from training.engine.hardware.out_of_memory import out_of_memory
from training.engine.prepare import Prepared
from training.engine.session import Session
from training.errors import DataChanged
from training.provenance.code_version import code_version
from training.provenance.environment import machine, versions
from training.record import SCHEMA, Record, timestamp, write_record
from training.schema.json_parts import from_keys
from training.schema.record_parts import Counts, DataSummary, Failure, Resolved, Times

log = logging.getLogger(__name__)


def head_of_record(prepared: Prepared) -> Record:
    """What a run is, before anything is known of how it ends."""
    dataset, resolved = prepared.dataset, prepared.resolved
    return Record(
        schema=SCHEMA,
        identity=prepared.identity,
        seed=prepared.config.seed,
        fold=prepared.config.data.fold,
        sweep=prepared.config.sweep.name,
        config=as_dict(prepared.config),
        resolved=Resolved(
            weights=resolved.weights,
            normalize=resolved.normalize,
            precision=resolved.precision,
            memory_format=resolved.memory_format,
            device=prepared.compute.device,
            device_name=describe(prepared.compute.device),
            licence=prepared.licence,
        ),
        data=DataSummary(
            fingerprint=dataset.fingerprint,
            classes=list(dataset.classes),
            n=from_keys(Counts, {name: len(indices) for name, indices in dataset.split.items()}),
            skipped=list(dataset.skipped),
            shared=from_keys(Counts, dataset.shared),
            value_range={kind: list(one) for kind, one in dataset.reading.ranges.items()} or None,
            read_as=list(dataset.reading.lines) or None,
            single_valued=dataset.reading.single_valued() or None,
            giants=len(dataset.reading.giants) or None,
            frames=len(dataset.reading.frames) or None,
            drawn=list(dataset.drawn),
            split_folders=dataset.split_folders or None,
            left_out=dataset.left_out,
            two_labels=from_keys(Counts, dataset.same_files.two_labels),
            two_labels_first=list(dataset.same_files.examples) or None,
            repeated=dataset.same_files.repeated,
            twins=from_keys(Counts, dataset.twins or {}),
        ),
        code_version=code_version(),
        versions=versions(),
        machine=machine(prepared.compute.device.startswith("cuda")),
    )


def times_of(session: Session, started: datetime) -> Times:
    """When it ran and how fast. `started`: when its preparation began."""
    history = session.state.history
    seconds = sum(row["seconds"] for row in history)
    images = sum(row["images_per_s"] * row["seconds"] for row in history)
    return Times(
        started=timestamp(started),
        finished=timestamp(),
        minutes=session.seconds() / 60,
        images_per_s=images / seconds if seconds else None,
        epoch_seconds=[row["seconds"] for row in history],
        host=platform.node(),
        process=os.getpid(),
    )


def failure_kind(error: BaseException) -> str:
    """What a failed run failed of: out_of_memory, disk, data or exception."""
    if isinstance(error, DataChanged):
        return "data"
    if out_of_memory(error):
        return "out_of_memory"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "disk"
    return "exception"


def record_failure(folder: Path, about: Record, error: Exception) -> None:
    """Leave a record of a run that failed of this; where that can't be written, say so."""
    kind, message = failure_kind(error), f"{type(error).__name__}: {error}"
    log.error("the run failed (%s): %s", kind, message, exc_info=error if kind == "exception" else None)
    failed = replace(about, status="failed", failure=Failure(kind, message), time=Times(finished=timestamp()))
    try:
        write_record(folder, failed)
    except OSError as again:
        log.error("and its failure can't be recorded: %s", again)
