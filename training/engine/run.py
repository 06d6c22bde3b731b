"""One run, from a prepared config to its record. Killed at any point and called again, it goes on."""

import contextlib
import gc
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from training.console.progress import EpochReport
from training.data.batches import one_batch
from training.data.changed_since import replaced_since_opened
from training.engine.hardware.graphs import BrokenRecording, CaptureError
from training.engine.hardware.memory_peak import peak_memory_mb
from training.engine.hardware.out_of_memory import halved, out_of_memory
from training.engine.latency import add_latency, lacks_latency, latency_of
from training.engine.model_card import leave_card
from training.engine.predictions import save_predictions, summarize
from training.engine.prepare import Prepared
from training.engine.run_record import head_of_record, record_failure, times_of
from training.engine.session import Session, open_session
from training.engine.tracking.data_card import leave_data_card
from training.engine.tracking.mistakes import worst_mistakes
from training.errors import BeginAgain, ConfigError, DataChanged, Diverged, Pruned
from training.models.tta import averaged
from training.provenance.code_version import same_results
from training.record import DONE, Record, read_record, write_beginning, write_record
from training.run_folder import (
    BEST,
    CARD,
    EXPORTS,
    MISTAKES,
    RECORD,
    RESUME,
    lock,
    remove_parts,
    write_json,
    write_whole,
)  # fmt: skip
from training.schema.checks import AUTO
from training.schema.json_parts import from_keys
from training.schema.record_parts import Failure, Scores

log = logging.getLogger(__name__)
Listener = Callable[[EpochReport], None]


def run(
    prepared: Prepared,
    on_epoch: Listener | None = None,
    started: datetime | None = None,
    micro_batch: int | None = None,
    begins_again: bool = False,
) -> Record:
    """Train, evaluate, and leave a record in the run folder; gives the record.

    A finished run is not repeated, an interrupted one goes on. `on_epoch` hears of every epoch; what it raises ends
    the run. `started`: when its preparation began, for the record. `micro_batch`: images at once, at most.
    `begins_again`: who calls can begin the run again in a fresh process, and is asked to by BeginAgain; else this
    process does what it can. Any failure is recorded, then raised. Raises training.run_folder.RunInUse where another
    process has it.
    """
    started = started or datetime.now(UTC)
    folder, config = prepared.folder, prepared.config
    if config.debug.overfit_batch:
        prepared = replace(prepared, dataset=one_batch(prepared.dataset, config.trainer.batch_size, config.draws))
    with lock(folder, wait_s=2):  # for the last breath of a run whose sweep was killed
        remove_parts(folder)
        if (known := finished(folder, config.sweep.stale)) is not None:
            (folder / RESUME).unlink(missing_ok=True)  # there if the run was killed right after its record
            return add_latency(prepared, known) if lacks_latency(config, known) else known
        for name in (RECORD, CARD, *EXPORTS.values()):  # an export is of the network that is trained anew now
            (folder / name).unlink(missing_ok=True)
        about = head_of_record(prepared)
        log.info("%s: identity %s, %s", folder, prepared.identity, prepared.replicate)
        log.info("data: %s", prepared.dataset.summary())
        prepared.dataset.reading.tell()
        for line in prepared.dataset.same_files.lines():
            log.warning("%s", line)
        try:
            write_beginning(folder, about)
            record = _in_memory(prepared, on_epoch, started, micro_batch, begins_again)
            if record.status == "pruned":  # before its record, since nobody looks into the folder of a pruned run again
                (folder / RESUME).unlink(missing_ok=True)
            if record.status == "done":
                leave_card(folder, record)
            write_record(folder, record)
        except Exception as error:
            record_failure(folder, about, error)
            raise
        (folder / RESUME).unlink(missing_ok=True)
        return record


def finished(folder: Path, stale: str) -> Record | None:
    """The record of a run that need not be done again. Failed and pruned ones need, with stale=rerun old code's too."""
    record = read_record(folder)
    if record is None or record.status not in DONE:
        return None
    if not same_results(record.code_version):
        if stale == "rerun":
            return None
        log.warning("%s was made by another version of training/; sweep.stale=rerun would repeat it", folder)
    log.info("%s is finished already: %s", folder, record.status)
    return record


def _in_memory(
    prepared: Prepared, on_epoch: Listener | None, started: datetime, size: int | None, begins_again: bool
) -> Record:
    """The record of a session. One whose steps can't be CUDA graphs, or that runs out of memory with them, is followed
    by another without, under trainer.capture=auto, after a recording that broke off in a fresh process; and with
    on_oom=accumulate one that runs out of memory by another in pieces of half the size. Each goes on from the last
    state. `size`: of the pieces to begin with."""
    auto = prepared.config.trainer.capture == AUTO
    plain = os.environ.get(BeginAgain.NO_GRAPHS, "") if auto else ""
    while True:
        captured = False
        try:
            with contextlib.closing(open_session(prepared, size, plain)) as session:
                size, captured = session.state.micro_batch, not session.not_captured
                return _record(session, on_epoch, started)
        except Exception as error:
            smaller = halved(size or prepared.config.trainer.batch_size)
            short = out_of_memory(error)
            broken = _broken_recording(error)  # the session's end may have failed after it
            if auto and (broken or isinstance(error, CaptureError) or (captured and short)):
                plain = "out of memory with them" if short else str(broken or error)
                afresh = ", in a fresh process" if broken and begins_again else ""
                log.warning("no CUDA graphs: %s; it goes on from the last state without%s", plain, afresh)
                if afresh:
                    raise BeginAgain(plain) from error
            elif prepared.config.trainer.on_oom == "fail" or not short or smaller is None:
                raise
            else:
                size = smaller
                log.warning("out of memory: it goes on from the last state in pieces of %d images", size)
        session = None  # type: ignore[assignment]  # and its tensors with it
        gc.collect()
        if torch.cuda.is_available():
            with contextlib.suppress(RuntimeError):  # of a recording that broke off, in some versions of torch
                torch.cuda.empty_cache()


def _broken_recording(error: BaseException | None) -> BrokenRecording | None:
    """What an error came after, if that was a recording that broke off."""
    while error is not None and not isinstance(error, BrokenRecording):
        error = error.__cause__ or error.__context__
    return error


def _record(session: Session, on_epoch: Listener | None, started: datetime) -> Record:
    prepared, state = session.prepared, session.state
    if not prepared.config.debug.overfit_batch:
        leave_data_card(prepared.folder.parents[1], prepared.dataset, prepared.config.data, session.store)
    record = head_of_record(prepared)
    if prepared.config.optimizer.lr == AUTO:
        record.resolved.lr = state.lr
    if prepared.compute.device.startswith("cuda"):
        record.resolved.capture = session.not_captured or "on"
    record.resolved.micro_batch = state.micro_batch
    record.params, record.threads = session.parameter_count, state.threads
    record = replace(record, **_outcome(session, on_epoch))
    for technique in session.techniques.values():
        for name, value in technique.resolved().items():
            setattr(record.resolved, name, value)
    record.time = times_of(session, started)
    if lacks_latency(prepared.config, record):
        side = prepared.config.data.stored
        model = averaged(session.trainer.eval_model, prepared.config.trainer.tta)
        record.latency_ms = latency_of(model, session.preprocessing, side, prepared.compute)
    record.gpu_memory_mb = peak_memory_mb(prepared.compute.device)
    session.elsewhere.record(record)
    session.saver.forget()
    return record


def _outcome(session: Session, on_epoch: Listener | None) -> dict[str, Any]:
    """What a record says of how the run ended: its attributes."""
    try:
        _train(session, on_epoch)
        _check_images(session)
        return _finish(session)
    except (Diverged, Pruned) as error:
        status = type(error).__name__.lower()
        log.warning("%s: %s", status, error)
        failure = Failure(kind=status, message=str(error)) if status == "diverged" else Failure()
        return {"status": status, "failure": failure, "epochs_run": error.epoch}


def _train(session: Session, on_epoch: Listener | None) -> None:
    """All epochs that are left."""
    state, epochs = session.state, session.config.trainer.epochs
    if state.epoch:
        log.info("going on after epoch %d of %d", state.epoch, epochs)
        if on_epoch is not None:  # once more: whoever listens may have died before it heard of it
            on_epoch(replace(_report(session, state.history[-1]), repeated=True))
    while state.epoch < epochs and not session.out_of_patience:
        row = session.train_one_epoch()
        report = _report(session, row)
        log.info(
            "epoch %d/%d  train loss %.4f acc %.2f  val loss %.4f acc %.2f  lr %.2e  %.0f images/s  %.0f s left",
            state.epoch, epochs, row["train_loss"], row["train_acc"], row["val_loss"], row["val_acc"], row["lr"],
            row["images_per_s"], report.seconds_left,
        )  # fmt: skip
        if on_epoch is not None:
            on_epoch(report)
    if state.epoch < epochs:
        log.info(
            "no better %s in %d epochs: training ends early",
            session.config.trainer.monitor,
            session.config.trainer.patience,
        )


def _check_images(session: Session) -> None:
    """Raise DataChanged where files were replaced while the run read them: what it saw would be a mixture. (A file that
    vanished stops it at once, and what is kept on disk for all runs doesn't change.)"""
    prepared = session.prepared
    if prepared.dataset.paths is None or session.store.is_shared or prepared.config.debug.overfit_batch:
        return
    try:
        replaced = replaced_since_opened(prepared.config.data)
    except ConfigError as error:
        return log.warning("the images can't be looked at once more: %s", error)
    if replaced:
        raise DataChanged(f"the images changed while the run trained on them: {replaced}")


def _report(session: Session, row: dict[str, float]) -> EpochReport:
    """What a listener is told of the last epoch, whose row of history.csv this is."""
    state, trainer = session.state, session.config.trainer
    return EpochReport(
        epoch=state.epoch,
        epochs=trainer.epochs,
        val_acc=row["val_acc"],
        val_loss=row["val_loss"],
        images_per_s=row["images_per_s"],
        seconds_left=(trainer.epochs - state.epoch) * state.seconds / state.epoch,
        monitor=trainer.monitor,
        value=row[trainer.monitor],
        gpu_memory_mb=peak_memory_mb(session.prepared.compute.device),
    )


def _finish(session: Session) -> dict[str, Any]:
    """Look at the test set, once, at the selected epoch, and leave predictions and weights."""
    state = session.state
    val, test = session.final_predictions()
    save_predictions(session.folder, session.prepared.dataset, val, test)
    write_json(
        session.folder / MISTAKES, {"images": worst_mistakes(session.prepared.dataset, test.labels, test.logits)}
    )
    write_whole(session.folder / BEST, session.best_weights_file())
    classes, own = session.prepared.dataset.classes, session.config.trainer.metrics
    outcome = {
        "status": "done",
        "epochs_run": state.epoch,
        "stopped_early": state.epoch < session.config.trainer.epochs,
        "best_epoch": state.best_epoch,
        "val": from_keys(Scores, summarize(val, classes, own)),
        "test": from_keys(Scores, summarize(test, classes, own)),
    }
    log.info("best epoch %d: val acc %.2f, test acc %.2f", state.best_epoch, val.accuracy, test.accuracy)
    session.tracker.end(session.config, session.prepared.resolved.weights, val.accuracy, test.accuracy)
    return outcome
