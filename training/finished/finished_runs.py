"""The done runs of a sweep as members of something made of them: an ensemble or a soup. Without torch.

Whoever chooses among them reads val here, and test once, when the choice is made.
"""

import dataclasses
import hashlib
import json
import sys
import zipfile
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from training.config import RunConfig, need
from training.errors import ConfigError
from training.record import RECORD, predictions_file, read_record

# Of config.data: with the fingerprint, which images are where
SPLIT = ("val_fraction", "test_fraction", "split_seed", "folds", "fold")


@dataclass(frozen=True)
class Member:
    """A done run: its folder, its name in the sweep, and its record."""

    folder: Path
    name: str  # <slug>-<identity>/seed=<n>
    record: dict[str, Any]

    @property
    def identity(self) -> str:
        """Of its configuration."""
        return str(self.record["identity"])

    @property
    def seed(self) -> int:
        """Of the run."""
        return int(self.record["seed"])

    @property
    def standing(self) -> tuple[float, float, str]:
        """Sorts members from the best by val: accuracy, then loss, then the name, so that the order is always one."""
        return -float(self.record["val"]["acc"]), float(self.record["val"]["loss"]), self.name

    @cached_property
    def config(self) -> RunConfig:
        """What was run. Raises ConfigError for a config of another version."""
        try:
            found = _typed(RunConfig, self.record["config"])
        except (KeyError, TypeError) as error:
            raise ConfigError(f"{self.folder}: written by another version of finegrid ({error})") from error
        assert isinstance(found, RunConfig)
        return found

    @property
    def images(self) -> tuple[Hashable, ...]:
        """What has to agree between runs on the same images in the same splits, without a look at any test result."""
        data = self.record["data"]
        split = (self.record["config"]["data"].get(name) for name in SPLIT)
        return data["fingerprint"], tuple(data["classes"]), *split


@dataclass(frozen=True)
class Stored:
    """Predictions of one split: names and labels of its N images, and logits float [N, classes]."""

    names: np.ndarray
    labels: np.ndarray
    logits: np.ndarray

    @property
    def images(self) -> str:
        """A hash of the images and their labels."""
        return hashlib.sha256("\n".join(self.names.tolist()).encode() + self.labels.tobytes()).hexdigest()

    @property
    def correct(self) -> np.ndarray:
        """Whether each image was put in its class: bool [N]."""
        right: np.ndarray = self.logits.argmax(1) == self.labels
        return right


def done_runs(folder: Path) -> list[Member]:
    """The done runs in and below `folder`, the best by val first; one that lies there twice counts once. Soups are
    none: they are made of such runs. Raises ConfigError where there is none."""
    need(folder.is_dir(), f"{folder}: no such folder; expected a sweep's, such as outputs/grid")
    found: dict[tuple[str, int, int | None], Member] = {}
    for file in sorted(folder.rglob(RECORD)):
        record = read_record(file.parent) or {}
        if record.get("status") == "done" and "soup" not in record and _complete(record):
            member = Member(file.parent, f"{file.parent.parent.name}/{file.parent.name}", record)
            found.setdefault((member.identity, member.seed, record.get("fold")), member)
    need(bool(found), f"{folder}: no finished runs in it or below")
    return sorted(found.values(), key=lambda member: member.standing)


def largest(members: Sequence[Member], key: Callable[[Member], Hashable]) -> list[Member]:
    """The largest group that agrees in `key`; of two as large, that of the best run by val. Keeps the order."""
    groups: dict[Hashable, list[Member]] = {}
    for member in members:
        groups.setdefault(key(member), []).append(member)
    return max(groups.values(), key=len)  # the first of the largest: members are sorted


def read_predictions(folder: Path, split: str) -> Stored:
    """Val or test predictions of a run. Raises ConfigError."""
    file = folder / predictions_file(split)
    try:
        with np.load(file, allow_pickle=False) as content:
            stored = Stored(content["id"], content["label"].astype(np.int64), content["logits"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise ConfigError(f"{file}: no readable predictions ({' '.join(str(error).split())})") from error
    shape = stored.logits.shape
    ok = len(shape) == 2 and len(stored.names) == len(stored.labels) == shape[0] > 0
    need(ok, f"{file}: {len(stored.names)} names, {len(stored.labels)} labels and logits of shape {list(shape)}")
    return stored


def some(members: Sequence[Member]) -> str:
    """Their names, for a message."""
    return ", ".join(member.name for member in members[:3]) + (f" and {len(members) - 3} more" * (len(members) > 3))


def warn(line: str) -> None:
    """One line on stderr."""
    print(f"warning: {line}", file=sys.stderr)


def key_of(content: Any) -> str:
    """Nested dicts and lists as something to compare by."""
    return json.dumps(content, sort_keys=True)


def _complete(record: dict[str, Any]) -> bool:
    try:
        return bool(record["identity"]) and record["val"]["acc"] + record["val"]["loss"] + record["seed"] is not None
    except (KeyError, TypeError):
        return False


def _typed(schema: Any, content: dict[str, Any]) -> Any:
    """A dataclass from nested dicts."""
    types = {field.name: field.type for field in dataclasses.fields(schema)}
    inner = {name for name in content if dataclasses.is_dataclass(types[name])}
    return schema(**{name: _typed(types[name], one) if name in inner else one for name, one in content.items()})
