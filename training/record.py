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
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, cached_property, partial
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args, get_origin, get_type_hints

from training.identity import model_name, short_name
from training.run_folder import CONFIG, RECORD, read_json, read_text, write_json

if TYPE_CHECKING:
    import numpy as np

SCHEMA = 1
STATUSES = ("done", "pruned", "diverged", "failed")
ACCURACIES = ("val_acc", "test_acc", "val_balanced_acc", "test_balanced_acc")
ROUNDING_POINTS = 0.01  # of an accuracy in a record
DONE = ("done", "diverged")  # a run of such a status need not be run again
Part = TypeVar("Part")
Extra = dict[str, Any]


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
        return _number(getattr(self, name, self.extra.get(name)))


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


@dataclass(frozen=True)
class Settings:
    """What users see of a config, under the names that users see. None: not known."""

    model: str | None
    weights: str | None  # as asked for: none, default, imagenet1k_v1
    optimizer: str | None
    lr: float | None  # None for auto, too
    scheduler: str | None
    weight_decay: float | None
    batch_size: int | None
    epochs: int | None
    folds: int | None
    monitor: str


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
        return _number(getattr(self.time if name in ("minutes", "images_per_s") else self, name, None))

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


def settings_of(config: dict[str, Any]) -> Settings:
    """What users see of a config, which may be of another version or broken."""
    parts = {name: part if isinstance(part := config.get(name), dict) else {} for name in _GROUPS}
    model, optimizer, trainer = parts["model"], parts["optimizer"], parts["trainer"]
    target, schedule = _text(model.get("_target_")), _text(parts["scheduler"].get("_target_"))
    accepts = found if isinstance(found := model.get("accepts"), list) else []
    name, made_by = _text(model.get("name")), _text(optimizer.get("_target_"))
    return Settings(
        model=model_name(target, name or "", accepts) or None if target is not None else name,
        weights=_text(parts["weights"].get("source")),
        optimizer=None if made_by is None else short_name(made_by),
        lr=_number(optimizer.get("lr")),
        scheduler=short_name(schedule) if schedule is not None or parts["scheduler"] else None,
        weight_decay=_number(optimizer.get("weight_decay")),
        batch_size=_whole(trainer.get("batch_size")),
        epochs=_whole(trainer.get("epochs")),
        folds=_whole(parts["data"].get("folds")),
        monitor=_text(trainer.get("monitor")) or "val_acc",
    )


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
    for name in ("identity", "seed", "fold") if named and record.status is not None else ():
        if getattr(record, name) != named[name]:
            return f"its {name} is {getattr(record, name)}, and that of its folder {named[name]}: another run's?"
    return ""


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


def from_keys(kind: type[Part], content: Mapping[str, Any]) -> Part:
    """A record, or a part of one such as Scores, from what the file has. What is of another type than it should be goes
    to `extra`."""
    known: dict[str, Any] = {}
    taken = 0
    extra: Extra = {}
    table = _table(cast(Hashable, kind))
    for name, _, take in table:
        if name not in content:
            continue
        taken += 1
        value = content[name]
        found = take(value)
        if found is not None:
            known[name] = found
        elif value is not None:
            extra[name] = value
    if taken < len(content):
        names = {name for name, _, _ in table}
        extra |= {name: value for name, value in content.items() if name not in names}
    return kind(**known, extra=extra)  # type: ignore[call-arg]


def to_keys(part: Any) -> dict[str, Any]:
    """A record or a part of one as the file has it: without what is None or empty."""
    content = dict(part.extra)
    for name, is_part, _ in _table(cast(Hashable, type(part))):
        value = getattr(part, name)
        if is_part:
            value = to_keys(value) or None
        if value is not None:
            content[name] = value
    return content


def timestamp(when: datetime | None = None) -> str:
    """A time (none: now) as a record has it."""
    return (when or datetime.now(UTC)).isoformat(timespec="milliseconds")


_GROUPS = ("model", "weights", "optimizer", "scheduler", "trainer", "data")


@cache
def _table(kind: Any) -> list[tuple[str, bool, Callable[[Any], Any]]]:
    """Of each field: its name, whether it is a part, and what takes a value of its type."""
    hints = get_type_hints(kind)
    rows = []
    for entry in dataclasses.fields(kind):
        hint = hints[entry.name]
        wanted = get_args(hint)[0] if isinstance(hint, UnionType) else hint
        is_part = dataclasses.is_dataclass(wanted)
        take = partial(_part, wanted) if is_part else _TAKES[get_origin(wanted) or wanted]
        if entry.name != "extra":
            rows.append((entry.name, is_part, take))
    return rows


def _part(kind: Any, value: Any) -> Any:
    return from_keys(kind, value) if isinstance(value, dict) else None


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)


def _number(value: Any) -> float | None:
    """A number; none for a whole one that no float can hold."""
    ok = isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**1023)
    return value if ok else None


def _whole(value: Any) -> int | None:
    number = _number(value)
    ok = number is not None and number == number // 1 and abs(number) < 2**63
    return int(number) if ok and number is not None else None


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _table_of(value: Any) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None


def _list(value: Any) -> list[Any] | None:
    return value if isinstance(value, list) else None


_TAKES: dict[Any, Callable[[Any], Any]] = {
    str: _text,
    int: _whole,
    float: _number,
    bool: _flag,
    dict: _table_of,
    list: _list,
}
