"""What is known of a run, as record.json has it: the one place that reads and writes it. Without torch.

Every key of the file is an attribute here. Reading never raises for what a file contains: what is missing or of another
type is None (an empty list, an empty part), and keys that this version doesn't know stay in `extra` and are written
back. A later version adds keys and renames none.
"""

import dataclasses
import json
import os
import re
import reprlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.run_folder import CONFIG, RECORD, UNREADABLE_ARRAYS, predictions_file, read_json, read_text, write_json
from training.schema.json_parts import Extra, as_number, from_keys, to_keys
from training.schema.record_parts import (
    DataSummary,
    Failure,
    Latency,
    Machine,
    Resolved,
    Scores,
    SoupSummary,
    Times,
    Versions,
)
from training.schema.settings import Settings, settings_of

if TYPE_CHECKING:
    import numpy as np

SCHEMA = 1
STATUSES = ("done", "pruned", "diverged", "failed")
ACCURACIES = ("val_acc", "test_acc", "val_balanced_acc", "test_balanced_acc")
ROUNDING_POINTS = 0.01  # of an accuracy in a record
DONE = ("done", "diverged")  # a run of such a status need not be run again


@dataclass
class Record:
    """A run: what it is, and, when it is over, how it ended."""

    schema: int | None = None
    identity: str | None = None
    seed: int | None = None
    fold: int | None = None
    sweep: str | None = None
    config: dict[str, Any] | None = None  # training.config.RunConfig of that version, as nested dicts
    resolved: Resolved = field(default_factory=Resolved)
    data: DataSummary = field(default_factory=DataSummary)
    code_version: str | None = None
    versions: Versions = field(default_factory=Versions)
    machine: Machine = field(default_factory=Machine)
    params: int | None = None
    threads: int | None = None
    gpu_memory_mb: float | None = None  # the most that torch held on the GPU (2**20 bytes), without the CUDA context
    status: str | None = None  # done, pruned, diverged, failed; None in config.json
    failure: Failure = field(default_factory=Failure)
    epochs_run: int | None = None
    stopped_early: bool | None = None
    best_epoch: int | None = None
    val: Scores = field(default_factory=Scores)
    test: Scores = field(default_factory=Scores)
    soup: SoupSummary = field(default_factory=SoupSummary)
    time: Times = field(default_factory=Times)
    latency_ms: Latency = field(default_factory=Latency)
    exports: list[Any] | None = None  # training/export.py
    weights_removed: str | None = None  # the sweep.keep_weights that removed best.safetensors
    extra: Extra = field(default_factory=dict)

    def figure(self, name: str) -> float | None:
        """A number by the name of its column: val_acc, test_macro_f1, minutes, images_per_s, latency_ms, params."""
        split, _, metric = name.partition("_")
        if split in ("val", "test"):
            return (self.val if split == "val" else self.test).figure(metric)
        if name == "latency_ms":
            return self.latency_ms.batch_1.median
        return as_number(getattr(self.time if name in ("minutes", "images_per_s") else self, name, None))

    @property
    def is_soup(self) -> bool:
        """Whether it is averaged weights, not a run."""
        return self.soup != SoupSummary()

    @cached_property
    def settings(self) -> Settings:
        """What users see of the config."""
        return settings_of(self.config or {})

    def to_json(self) -> dict[str, Any]:
        """The keys of record.json. What is None or empty is left out, but for what a run that is over always tells."""
        content = to_keys(self)
        content.setdefault("fold", None)
        if self.status is not None:
            content = {"failure": None, "time": {}} | content
        if self.status == "done":
            content = {"best_epoch": None} | content
        if self.time.minutes is not None:
            content["time"].setdefault("images_per_s", None)
        order = {entry.name: number for number, entry in enumerate(dataclasses.fields(self))}
        return dict(sorted(content.items(), key=lambda item: order.get(item[0], len(order))))

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Record":
        """From the keys of record.json or config.json, whatever is in them."""
        return from_keys(cls, content)


def read_record(folder: Path) -> Record | None:
    """The record in `folder`, or None where the run has not ended, or its record can't be read or believed."""
    content = read_json(folder / RECORD)
    record = Record.from_json(content) if content else None
    return None if record is None or damage(record, folder) else record


def parsed(path: Path) -> Record:
    """The record.json or config.json in `path`. Raises OSError, and ValueError with the reason where it is neither."""
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not valid JSON, perhaps cut off ({error})") from None
    is_record = path.name == RECORD
    keys = ("identity", "seed", "config", *(["status"] if is_record else []))
    missing = [key for key in keys if not isinstance(content, dict) or key not in content]
    if missing:
        raise ValueError(f"no {' and no '.join(missing)} in it")
    if is_record and content.get("schema") != SCHEMA:
        raise ValueError(f"its schema is {content.get('schema')}, expected {SCHEMA}: made by another finegrid?")
    if is_record and content["status"] not in STATUSES:
        raise ValueError(f"its status is {content['status']!r}, expected {', '.join(STATUSES)}")
    record = Record.from_json(content)
    if wrong := damage(record, path.parent):
        raise ValueError(wrong)
    return record


def unreadable(folder: Path) -> str:
    """Why the record that lies in `folder` can't be read or believed; nothing where it can, or there is none."""
    if not os.path.lexists(folder / RECORD):
        return ""
    try:
        parsed(folder / RECORD)
    except (OSError, ValueError) as error:
        return f"{RECORD}: {getattr(error, 'strerror', None) or error}"
    return ""


def damage(record: Record, folder: Path) -> str:
    """What can't be in the record of the run in `folder`; nothing where all can."""
    for name in ACCURACIES:
        value, scores = record.figure(name), record.val if name.startswith("val") else record.test
        odd = value if record.status is None else scores.extra.get(name.partition("_")[2], value)
        if odd is not None and not (value is not None and 0 <= value <= 100):
            shown = reprlib.repr(odd) if value is None else format(value, "g")
            return f"its {name} is {shown}, expected 0 to 100 (per cent)"
    if record.status == "done" and record.val.acc is None:
        return "its val_acc is missing"
    best, last = record.best_epoch, record.epochs_run
    if best is not None and last and not 0 < best <= last:
        return f"its best_epoch is {best}, expected 1 to {last}"
    named = named_after(folder)
    names = ("identity", "seed") if record.is_soup else ("identity", "seed", "fold")  # of the runs that it is made of
    for name in names if named and record.status is not None else ():
        if getattr(record, name) != named[name]:
            return f"its {name} is {getattr(record, name)}, and that of its folder {named[name]}: another run's?"
    return ""


def read_predictions(folder: Path, record: Record, split: str) -> "tuple[np.ndarray, np.ndarray, np.ndarray]":
    """Names [N] str, labels [N] int and logits [N, classes] float of the val or test images of a run. Raises ValueError
    with the reason where they can't be read, or don't fit the record."""
    import numpy as np

    file = folder / predictions_file(split)
    try:
        with np.load(file, allow_pickle=False) as content:
            names, labels, logits = content["id"], content["label"], content["logits"]
    except UNREADABLE_ARRAYS as error:
        raise ValueError(f"{file.name} can't be read ({type(error).__name__})") from None
    if wrong := misfit(names, labels, logits, record, split):
        raise ValueError(f"{file.name} doesn't fit its record: {wrong}")
    return names, labels, logits


def misfit(names: "np.ndarray", labels: "np.ndarray", logits: "np.ndarray", record: Record, split: str) -> str:
    """What is wrong with the predictions of val or test, in the light of the record of their run; nothing where they
    fit."""
    expected, told = getattr(record.data.n, split), getattr(record, split).acc
    kinds = names.dtype.kind == "U", labels.dtype.kind in "iu", logits.dtype.kind == "f"
    if not all(kinds) or (names.ndim, labels.ndim, logits.ndim) != (1, 1, 2):
        return "expected names, whole numbers as labels, and a row of scores an image"
    count, classes = logits.shape
    if not len(names) == len(labels) == count:
        return f"{len(names)} names, {len(labels)} labels and {count} rows of scores"
    if expected not in (None, count):
        return f"{count} images, expected {expected}"
    if not count or not classes or labels.min() < 0 or labels.max() >= classes:
        return f"labels outside of its {classes} classes" if count and classes else "it is empty"
    if record.data.classes is not None and len(record.data.classes) != classes:
        return f"{classes} classes, expected {len(record.data.classes)}"
    accuracy = 100 * float((logits.argmax(1) == labels).mean())
    if told is not None and abs(accuracy - told) > ROUNDING_POINTS:
        return f"{accuracy:.2f} % of its images are right, expected {told:.2f} %"
    return ""


def named_after(folder: Path) -> dict[str, Any]:
    """What the name <slug>-<identity>/seed=<n>[-fold=<k>] says; {} for a folder of another name."""
    slug = re.fullmatch(r".*-([0-9a-f]{10})", folder.parent.name)
    replicate = re.fullmatch(r"seed=(\d+)(?:-fold=(\d+))?", folder.name)
    if slug is None or replicate is None:
        return {}
    fold = None if replicate[2] is None else int(replicate[2])
    return {"identity": slug[1], "seed": int(replicate[1]), "fold": fold}


def write_record(folder: Path, record: Record) -> None:
    """Write record.json, whole or not at all. Raises OSError."""
    write_json(folder / RECORD, record.to_json())


def read_beginning(folder: Path) -> Record | None:
    """What the run in `folder` said of itself when it began; None where that can't be read."""
    content = read_json(folder / CONFIG)
    return Record.from_json(content) if content else None


def write_beginning(folder: Path, record: Record) -> None:
    """Write config.json: what a run is, before it has a record. Raises OSError."""
    write_json(folder / CONFIG, record.to_json())


def timestamp(when: datetime | None = None) -> str:
    """A time (none: now) as a record has it."""
    return (when or datetime.now(UTC)).isoformat(timespec="milliseconds")
