"""What is known of a run, as record.json has it: the one place that reads and writes it. Without torch.

Every key of the file is an attribute here. Reading never raises for what a file contains: what is missing or of another
type is None (an empty list, an empty part), and keys that this version doesn't know stay in `extra` and are written
back. A later version adds keys and renames none.
"""

import dataclasses
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from training.run_folder import CONFIG, RECORD, read_json, write_json
from training.schema.json_parts import Extra, as_number, from_keys, to_keys
from training.schema.settings import Settings, settings_of

SCHEMA = 1
DONE = ("done", "diverged")  # a run of such a status need not be run again


@dataclass
class Resolved:
    """What the `auto`s and names of the config stood for."""

    weights: str | None = None  # none, IMAGENET1K_V2, checkpoint:<hash>; of a soup `soup of <n>`
    normalize: str | None = None
    precision: str | None = None
    memory_format: str | None = None
    device: str | None = None
    device_name: str | None = None
    lr: float | None = None  # what optimizer.lr=auto has found
    micro_batch: int | None = None  # images at once, where trainer.on_oom=accumulate made them fewer
    extra: Extra = field(default_factory=dict)


@dataclass
class Counts:
    """Images a split."""

    train: int | None = None
    val: int | None = None
    test: int | None = None
    extra: Extra = field(default_factory=dict)


@dataclass
class LeftOut:
    """What lies among the images and was not used, and why (bad images: DataSummary.skipped)."""

    system: dict[str, Any] | None = None  # name of the system's and programs' own files and folders: how many
    files: dict[str, Any] | None = None  # ending of files that are no images: how many
    folders: dict[str, Any] | None = None  # folder of the root: why
    loose: dict[str, Any] | None = None  # folder: images in it that are in no class folder
    extra: Extra = field(default_factory=dict)


@dataclass
class DataSummary:
    """What the run saw of its data."""

    fingerprint: str | None = None
    classes: list[Any] | None = None
    n: Counts = field(default_factory=Counts)
    skipped: list[Any] | None = None
    shared: Counts = field(default_factory=Counts)  # images that are in another split, too
    value_range: dict[str, Any] | None = None  # of deep images, by kind (integer, float): what became 0 and 255
    read_as: list[Any] | None = None  # the same in words, and from what it follows
    single_valued: dict[str, Any] | None = None  # images that come out in one colour: n, blank_on_white, names
    giants: int | None = None  # images that were reduced when decoded
    drawn: list[Any] | None = None  # splits that were drawn; the others came with the data
    split_folders: dict[str, Any] | None = None  # train, val, test: their folders, relative to the root
    left_out: LeftOut = field(default_factory=LeftOut)
    two_labels: Counts = field(default_factory=Counts)  # files that have another label in train or in the same split
    two_labels_first: list[Any] | None = None  # some of them: "a/1.png (a), b/1.png (b)"
    repeated: int | None = None  # images of train that are there before, under the same label
    extra: Extra = field(default_factory=dict)


@dataclass
class Versions:
    """Of the software that the run was made with."""

    python: str | None = None
    torch: str | None = None
    torchvision: str | None = None
    extra: Extra = field(default_factory=dict)


@dataclass
class Failure:
    """Why a run failed or diverged. `log`: the last lines of its log, where its process died."""

    kind: str | None = None
    message: str | None = None
    log: list[Any] | None = None
    extra: Extra = field(default_factory=dict)


@dataclass
class Scores:
    """Of a split at the selected epoch: per cent, but for the loss and the number of images, n."""

    acc: float | None = None
    loss: float | None = None
    balanced_acc: float | None = None
    macro_f1: float | None = None
    per_class_acc: dict[str, Any] | None = None
    n: int | None = None
    extra: Extra = field(default_factory=dict)  # metrics of a user's own among them

    def figure(self, name: str) -> float | None:
        """One of them by its name, such as macro_f1; None where there is no such number."""
        return as_number(getattr(self, name, self.extra.get(name)))


@dataclass
class Percentiles:
    """Of a time in ms an image."""

    median: float | None = None
    p95: float | None = None
    extra: Extra = field(default_factory=dict)


@dataclass
class Latency:
    """By the number of images at once (training/engine/latency.py)."""

    batch_1: Percentiles = field(default_factory=Percentiles)
    batch_32: Percentiles = field(default_factory=Percentiles)
    extra: Extra = field(default_factory=dict)


@dataclass
class SoupSummary:
    """How a soup was made (training/soup.py)."""

    size: int | None = None  # runs whose weights were averaged
    candidates: int | None = None
    members: list[Any] | None = None
    weights: str | None = None  # what its runs began with, as resolved.weights
    tried: list[Any] | None = None
    best_single: dict[str, Any] | None = None
    against_best_single: dict[str, Any] | None = None
    extra: Extra = field(default_factory=dict)


@dataclass
class Times:
    """`minutes`: of all processes that worked on the run; the rest: of training alone, without validation."""

    started: str | None = None  # ISO 8601, UTC
    finished: str | None = None
    minutes: float | None = None
    images_per_s: float | None = None
    epoch_seconds: list[Any] | None = None
    host: str | None = None
    process: int | None = None
    extra: Extra = field(default_factory=dict)


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
    params: int | None = None
    threads: int | None = None
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
    """The record in `folder`, or None where the run has not ended (or its record can't be read)."""
    content = read_json(folder / RECORD)
    return Record.from_json(content) if content else None


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
