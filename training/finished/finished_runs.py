"""The done runs of a sweep, for something made of several: an ensemble or a soup. Without torch.

Whoever chooses among them reads val here, and test once, when the choice is made.
"""

import dataclasses
import hashlib
import json
import sys
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from training import record as records
from training.config import RunConfig
from training.errors import ConfigError
from training.record import Record, read_record, unreadable
from training.run_folder import RECORD
from training.schema.checks import need

# Of config.data: with the fingerprint, which images are in which split
SPLIT = ("val_fraction", "test_fraction", "split_seed", "group_by", "folds", "fold")


@dataclass(frozen=True)
class FinishedRun:
    """A done run: its folder, its name in the sweep, its record, and what that surely has."""

    folder: Path
    name: str  # <slug>-<identity>/seed=<n>
    record: Record
    identity: str
    seed: int
    val_acc: float  # per cent
    val_loss: float

    @property
    def standing(self) -> tuple[float, float, str]:
        """Sorts runs from the best by val: accuracy, then loss, then the name, so that the order is always one."""
        return -self.val_acc, self.val_loss, self.name

    @cached_property
    def config(self) -> RunConfig:
        """What was run. Raises ConfigError for a config of another version."""
        return config_of(self.record, self.folder)

    @property
    def same_data(self) -> tuple[Hashable, ...]:
        """What agrees between runs on the same images in the same splits, without a look at any test result."""
        data, config = self.record.data, (self.record.config or {}).get("data") or {}
        return data.fingerprint, tuple(data.classes or ()), *(config.get(name) for name in SPLIT)


@dataclass(frozen=True)
class StoredPredictions:
    """Predictions of one split: names and labels of its N images, and logits float [N, classes]."""

    names: np.ndarray
    labels: np.ndarray
    logits: np.ndarray

    @property
    def image_hash(self) -> str:
        """A hash of the images' names and their labels."""
        return hashlib.sha256(
            "\n".join(self.names.tolist()).encode("utf-8", "surrogatepass") + self.labels.tobytes()
        ).hexdigest()

    @property
    def correct(self) -> np.ndarray:
        """Whether each image was put in its class: bool [N]."""
        right: np.ndarray = self.logits.argmax(1) == self.labels
        return right


def done_runs(folder: Path) -> list[FinishedRun]:
    """The done runs in and below `folder`, the best by val first; one that lies there twice counts once. Soups are
    none: they are made of such runs. Raises ConfigError where there is none."""
    need(folder.is_dir(), f"{folder}: no such folder; expected a sweep's, such as outputs/grid")
    found: dict[tuple[str, int, int | None], FinishedRun] = {}
    for file in sorted(folder.rglob(RECORD)):
        if why := unreadable(file.parent):
            warn(f"left out: {file.parent}: {why}")
            continue
        run = finished_run(file.parent)
        if run is not None and not run.record.is_soup:
            found.setdefault((run.identity, run.seed, run.record.fold), run)
    need(bool(found), f"{folder}: no finished runs in it or below")
    return sorted(found.values(), key=lambda run: run.standing)


def finished_run(folder: Path) -> FinishedRun | None:
    """The done run or soup in `folder`; None where there is none, or a record that lacks what is needed."""
    record = read_record(folder)
    if record is None or record.status != "done" or not record.identity or record.seed is None:
        return None
    if record.val.acc is None or record.val.loss is None:
        return None
    name = f"{folder.parent.name}/{folder.name}"
    return FinishedRun(folder, name, record, record.identity, record.seed, record.val.acc, record.val.loss)


def largest_group(runs: Sequence[FinishedRun], key: Callable[[FinishedRun], Hashable]) -> list[FinishedRun]:
    """The largest group that agrees in `key`; of two as large, that of the best run by val. Keeps the order."""
    groups: dict[Hashable, list[FinishedRun]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return max(groups.values(), key=len)  # the first of the largest: runs are sorted


def read_predictions(folder: Path, split: str) -> StoredPredictions:
    """Val or test predictions of a run. Raises ConfigError."""
    try:
        names, labels, logits = records.read_predictions(folder, read_record(folder) or Record(), split)
    except ValueError as error:
        raise ConfigError(f"{folder}: {error}") from None
    return StoredPredictions(names, labels.astype(np.int64), logits)


def config_of(record: Record, folder: Path) -> RunConfig:
    """What was run, by its record. Raises ConfigError for a config of another version."""
    try:
        found = _typed(RunConfig, record.config or {})
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ConfigError(f"{folder}: written by another version of finegrid ({error})") from error
    assert isinstance(found, RunConfig)
    return found


def first_names(runs: Sequence[FinishedRun]) -> str:
    """Three of their names and how many more there are, for a message."""
    return ", ".join(run.name for run in runs[:3]) + (f" and {len(runs) - 3} more" * (len(runs) > 3))


def warn(line: str) -> None:
    """One line on stderr."""
    print(f"warning: {line}", file=sys.stderr)


def comparable(content: Any) -> str:
    """Nested dicts and lists as text, to compare by."""
    return json.dumps(content, sort_keys=True)


def _typed(schema: Any, content: dict[str, Any]) -> Any:
    """A dataclass from nested dicts."""
    types = {field.name: field.type for field in dataclasses.fields(schema)}
    inner = {name for name in content if dataclasses.is_dataclass(types[name])}
    return schema(**{name: _typed(types[name], one) if name in inner else one for name, one in content.items()})
