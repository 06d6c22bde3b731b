"""Prepare and train a run again, and watch whether its epochs are the same."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from training.console.progress import EpochReport
from training.data.dataset import Dataset, open_as_read
from training.engine.hardware.out_of_memory import out_of_memory
from training.engine.prepare import Prepared, prepare
from training.engine.run import run
from training.errors import ConfigError, DataChanged, Pruned
from training.provenance.histories import partings
from training.record import Record
from training.reproducing.manifest import differing, missing_files, named, read_manifest, rows_of, without_manifest
from training.reproducing.original import Original, as_it_was, weights_path, where_images_lie
from training.run_folder import RECORD, read_history
from training.schema.checks import need
from training.schema.data_config import DataConfig

Say = Callable[[str], None]


def same_images(original: Original, config: DataConfig, given: bool) -> Dataset:
    """The images of the run. `given`: --data has said where they lie. Raises ConfigError that names those that differ,
    as far as that is known."""
    rows, folder = read_manifest(original.folder), original.folder
    try:
        dataset = open_as_read(config, original.record.data.fingerprint)
    except ConfigError as error:
        places = [place for place in (config.root, config.csv) if place]
        gone = missing_files(rows, Path(places[0])) if rows and places and Path(places[0]).is_dir() else []
        hint = "" if given or not places else "; --data ROOT says where the images lie now"
        what = f"; {named('of its manifest are missing', gone)}" if gone else ""
        raise ConfigError(f"{folder}: its images can't be opened: {error}{what}{hint}") from error
    wanted, found = original.record.data.fingerprint, dataset.fingerprint
    parts = differing(rows, rows_of(dataset, config, whole=False)) if rows else []
    if wanted is None or (found == wanted and not parts):
        return dataset
    parts = parts or list(without_manifest(original, dataset))
    told = f": {'; '.join(parts)}" if parts else ""
    raise ConfigError(f"{folder}: the images are not those of the run (fingerprint {found}, recorded {wanted}){told}")


def prepare_again(
    original: Original,
    out: Path,
    data: Path | None = None,
    weights: Path | None = None,
    device: str | None = None,
    threads: int | None = None,
) -> Prepared:
    """The run as one that can begin below `out`. Raises ConfigError for what is missing, or is not what it was."""
    try:
        return _prepared(original, out, data, weights, device, threads)
    except (TypeError, ValueError, AttributeError) as error:  # values of other types in an edited record
        raise ConfigError(f"{original.folder}: the config in its record can't be used: {error}") from error


def _prepared(
    original: Original, out: Path, data: Path | None, weights: Path | None, device: str | None, threads: int | None
) -> Prepared:
    config = as_it_was(original, out, device, threads)
    path = weights_path(original, weights)
    images = where_images_lie(original, data)
    config = replace(config, data=images, weights=replace(config.weights, path=path))
    dataset = same_images(original, images, data is not None)
    try:
        prepared = prepare(config, dataset)
    except ConfigError as error:
        hint = "; --weights FILE says where they lie now" if path and not Path(path).exists() else ""
        folder = "" if str(error).startswith(str(original.folder)) else f"{original.folder}: "
        raise ConfigError(f"{folder}{error}{hint}") from error
    wanted, found = original.record.resolved.weights, prepared.resolved.weights
    need(
        wanted in (None, found),
        f"{original.folder}: the initial weights{f' in {path}' if path else ''} are not those of the run ({found}, "
        f"recorded {wanted}); --weights FILE names others",
    )
    lies_there = (prepared.folder / RECORD).exists()
    need(not lies_there, f"--out {out}: it was trained again there already ({prepared.folder}); choose another folder")
    return prepared


def edited(original: Original, prepared: Prepared) -> str:
    """A line where the config in the record doesn't give the identity in it; else nothing."""
    resolved, now = original.record.resolved, prepared.compute
    as_then = resolved.precision in (None, now.precision) and resolved.memory_format in (None, now.memory_format)
    if not as_then or original.record.identity == prepared.identity:
        return ""
    return (
        f"identity: {original.record.identity} recorded, and its config gives {prepared.identity}: the record was "
        "edited, or made by another version of finegrid"
    )


def train_again(original: Original, prepared: Prepared, say: Say) -> Record:
    """Gives the new record. `say` gets a line an epoch. Raises ConfigError where it can't be trained here."""
    until = original.epochs if original.record.status == "pruned" else None

    def on_epoch(report: EpochReport) -> None:
        if not report.repeated:
            say(_told(original, read_history(prepared.folder), report))
        if until is not None and report.epoch >= until:
            raise Pruned(report.epoch)

    try:
        return run(prepared, on_epoch, micro_batch=original.record.resolved.micro_batch)
    except DataChanged as error:
        raise ConfigError(f"{original.folder}: {error}") from error
    except Exception as error:
        if not out_of_memory(error):
            raise
        raise ConfigError(f"{original.folder}: out of memory on {prepared.compute.device}") from error


def _told(original: Original, rows: list[dict[str, float]], report: EpochReport) -> str:
    where = f"epoch {report.epoch} of {report.epochs}"
    before = original.history[: report.epoch]
    if len(before) < report.epoch:
        return f"{where}: no such epoch in the run"
    apart = partings(before[-1:], rows[-1:])
    if not apart:
        return f"{where}: the same"
    first = apart[0]
    return f"{where}: {first.column} {first.second!r} now, {first.first!r} recorded"
