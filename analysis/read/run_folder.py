"""One run folder -> what it says about its run. Nothing in here raises for what a file contains."""

import contextlib
import csv
import json
import math
import re
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from analysis.read.image_sets import image_set, order_of
from training.record import SCHEMA, Failure, Record
from training.run_folder import CONFIG, HISTORY, RECORD, predictions_file

STATUSES = ("done", "pruned", "diverged", "failed", "unfinished", "unreadable")  # the last two are never in a record
ROUNDING_POINTS = 0.01  # of an accuracy in a record


def read(folder: Path) -> Record:
    """What `folder` says about its run; it never raises for what a file contains."""
    over = (folder / RECORD).exists()
    record, broken = None, ""
    for name in [RECORD, CONFIG] if over else [CONFIG]:
        try:
            record = parse(folder / name)
            break
        except (OSError, ValueError) as error:
            broken = broken or f"{name}: {error}"
    record = record or Record()
    for name, value in named(folder).items():
        if getattr(record, name) is None:
            setattr(record, name, value)
    if broken:
        return replace(record, status="unreadable", failure=Failure("unreadable", broken))
    if not over:
        record.status = "unfinished"
    if record.epochs_run is None:  # failed runs have no times of their own
        record.epochs_run, minutes, images_per_s = progress(folder / HISTORY)
        record.time.minutes = record.time.minutes or minutes
        record.time.images_per_s = record.time.images_per_s or images_per_s
    return record


def named(folder: Path) -> dict[str, Any]:
    """What the names of `folder` and of those around it say: <sweep>/<slug>-<identity>/seed=<n>[-fold=<k>]."""
    sweep, slug, replicate = ("", "", *folder.absolute().parts)[-3:]
    found = re.fullmatch(r"seed=(\d+)(?:-fold=(\d+))?", replicate)
    if found is None:
        return {}
    fold = None if found[2] is None else int(found[2])
    return {"sweep": sweep, "identity": slug.rpartition("-")[2], "seed": int(found[1]), "fold": fold}


def parse(path: Path) -> Record:
    """The record or config in `path`. Raises ValueError with a reason where it is neither."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not valid JSON, perhaps cut off ({error})") from None
    keys = ("identity", "seed", "config", "status") if path.name == RECORD else ("identity", "seed", "config")
    missing = [key for key in keys if not isinstance(content, dict) or key not in content]
    if missing:
        raise ValueError(f"no {' and no '.join(missing)} in it")
    if path.name == RECORD and content.get("schema") != SCHEMA:
        raise ValueError(f"its schema is {content.get('schema')}, expected {SCHEMA}: made by another finegrid?")
    if path.name == RECORD and content["status"] not in STATUSES[:4]:
        raise ValueError(f"its status is {content['status']!r}, expected {', '.join(STATUSES[:4])}")
    record = Record.from_json(content)
    for name in ("val_acc", "test_acc", "val_balanced_acc", "test_balanced_acc"):
        value = record.figure(name)
        if value is not None and not 0 <= value <= 100:
            raise ValueError(f"its {name} is {value:g}, expected 0 to 100 (per cent)")
    return record


def progress(path: Path) -> tuple[int, float | None, float | None]:
    """Epochs, minutes and images/s of a run that has no result, by its history. The last line may be cut off."""
    seconds, images = [], []
    if path.exists():
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            for row in csv.DictReader(file):
                with contextlib.suppress(KeyError, TypeError, ValueError):
                    spent, speed = float(row["seconds"]), float(row["images_per_s"])
                    seconds.append(spent)
                    images.append(speed * spent)
    if not sum(seconds):
        return len(seconds), None, None
    return len(seconds), sum(seconds) / 60, sum(images) / sum(seconds)


def looked_up(folder: Path, record: Record) -> tuple[str | None, str | None, str | None]:
    """The test predictions of a run: a hash of the images and their classes, and whether each was put in its class, in
    the order of their names, as bits in hex; and why they are not used, where they are there and don't fit the record.
    """
    if not (folder / predictions_file("test")).exists():
        return None, None, None
    try:
        names, labels, logits = read_test_predictions(folder, record)
    except ValueError as error:
        return None, None, str(error)
    correct = (logits.argmax(1) == labels)[order_of(names)]
    return image_set(names, labels, record.data.classes), np.packbits(correct).tobytes().hex(), None


def read_test_predictions(folder: Path, record: Record) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """read_predictions() of the test images."""
    return read_predictions(folder, record, "test")


def read_predictions(folder: Path, record: Record, split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Names [N] str, labels [N] int and logits [N, classes] float of the val or test images of a run. Raises ValueError
    with the reason where they can't be read, or don't fit the record."""
    file = folder / predictions_file(split)
    try:
        with np.load(file, allow_pickle=False) as content:
            names, labels, logits = content["id"], content["label"], content["logits"]
    except (OSError, ValueError, KeyError, IndexError, TypeError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{file.name} can't be read ({type(error).__name__})") from None
    if wrong := misfit(names, labels, logits, record, split):
        raise ValueError(f"{file.name} doesn't fit its record: {wrong}")
    return names, labels, logits


def class_counts(folder: Path, classes: Sequence[str]) -> dict[str, int]:
    """Test images of each of the `classes` (in the order of their labels), from a run's predictions; {} where these
    can't be had or have other labels."""
    try:
        _, labels, _ = read_predictions(folder, read(folder), "test")
    except ValueError:
        return {}
    found = np.bincount(labels, minlength=len(classes)).tolist()
    return dict(zip(classes, found, strict=True)) if len(found) == len(classes) else {}


def misfit(names: np.ndarray, labels: np.ndarray, logits: np.ndarray, record: Record, split: str) -> str:
    """What is wrong with predictions, in the light of the record of their run; nothing where they fit."""
    kinds = names.dtype.kind == "U", labels.dtype.kind in "iu", logits.dtype.kind == "f"
    if not all(kinds) or (names.ndim, labels.ndim, logits.ndim) != (1, 1, 2):
        return "expected names, whole numbers as labels, and a row of scores an image"
    count, classes = logits.shape
    if not len(names) == len(labels) == count:
        return f"{len(names)} names, {len(labels)} labels and {count} rows of scores"
    if (expected := getattr(record.data.n, split)) not in (None, count):
        return f"{count} images, expected {expected}"
    if not count or not classes or labels.min() < 0 or labels.max() >= classes:
        return f"labels outside of its {classes} classes" if count and classes else "it is empty"
    if record.data.classes is not None and len(record.data.classes) != classes:
        return f"{classes} classes, expected {len(record.data.classes)}"
    accuracy = 100 * float((logits.argmax(1) == labels).mean())
    recorded = (record.val if split == "val" else record.test).acc
    if recorded is not None and abs(accuracy - recorded) > ROUNDING_POINTS:
        return f"{accuracy:.2f} % of its images are right, expected {recorded:.2f} %"
    return ""


def epoch_gain(history: Path, selected: int) -> float | None:
    """Val accuracy of the selected epoch (1 is the first) less the mean of the epochs before and after it; None at the
    ends, where there is but one neighbour."""
    try:
        with history.open(newline="", encoding="utf-8", errors="replace") as file:
            val = [float(row["val_acc"]) for row in csv.DictReader(file)]
    except (OSError, KeyError, TypeError, ValueError):
        return None
    if not 1 < selected < len(val) or not all(map(math.isfinite, val)):
        return None
    before, there, after = val[selected - 2 : selected + 1]
    return there - (before + after) / 2
