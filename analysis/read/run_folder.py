"""One run folder -> what it says about its run. Nothing in here raises for what a file contains."""

import math
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from analysis.read.image_sets import image_set, order_of
from training import record as records
from training.record import Record, parsed, read_predictions
from training.run_folder import CONFIG, HISTORY, RECORD, UNREADABLE_ARRAYS, predictions_file, read_history
from training.schema.record_parts import Failure

STATUSES = (*records.STATUSES, "unfinished", "unreadable")


def read(folder: Path) -> Record:
    """What `folder` says about its run; it never raises for what a file contains."""
    over = os.path.lexists(folder / RECORD)  # a link that leads nowhere too
    record, broken = None, ""
    for name in [RECORD, CONFIG] if over else [CONFIG]:
        try:
            record = parsed(folder / name)
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
        record.epochs_run, minutes, images_per_s = progress(folder)
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


def progress(folder: Path) -> tuple[int, float | None, float | None]:
    """Epochs, minutes and images/s of a run that has no result, by its history."""
    rows = [row for row in read_history(folder) if "seconds" in row and "images_per_s" in row]
    seconds = sum(row["seconds"] for row in rows)
    if not seconds:
        return len(rows), None, None
    return len(rows), seconds / 60, sum(row["images_per_s"] * row["seconds"] for row in rows) / seconds


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


def without_twins(folder: Path, record: Record, named: Collection[str] = ()) -> tuple[int | None, float | None]:
    """How many of a run's test images have a copy in train, exact or (where these were looked for) near, and the
    accuracy in per cent on the others; None where there is none, or it isn't known which they are. `named`: names of
    more such images."""
    data = record.data
    if not (data.shared.test or data.twins.test or named) or record.status != "done":
        return None, None
    try:
        names, labels, logits = read_test_predictions(folder, record)
        with np.load(folder / predictions_file("test"), allow_pickle=False) as content:
            twin = content["twin"] if "twin" in content else np.zeros(len(names), dtype=bool)  # as in earlier versions
    except UNREADABLE_ARRAYS:  # ValueError among them
        return None, None
    if named and twin.shape == names.shape:
        twin = twin | np.isin(names, list(named))
    if twin.dtype != np.bool_ or twin.shape != labels.shape or not twin.any():
        return None, None
    others = ~twin
    right = logits.argmax(1) == labels
    return int(twin.sum()), float(100 * right[others].mean()) if others.any() else None


def class_counts(folder: Path, classes: Sequence[str]) -> dict[str, int]:
    """Test images of each of the `classes` (in the order of their labels), from a run's predictions; {} where these
    can't be had or have other labels."""
    try:
        _, labels, _ = read_predictions(folder, read(folder), "test")
    except ValueError:
        return {}
    found = np.bincount(labels, minlength=len(classes)).tolist()
    return dict(zip(classes, found, strict=True)) if len(found) == len(classes) else {}


def epoch_gain(folder: Path, selected: int) -> float | None:
    """Val accuracy of the selected epoch (1 is the first) less what a parabola through the four epochs nearest to it
    says of it (least squares): luck, and not that the top of a smooth curve is above its neighbours. None at the ends,
    where there is but one side, and of fewer than five epochs."""
    val = [row.get("val_acc", math.nan) for row in read_history(folder)]
    if not 1 < selected < len(val) or len(val) < 5 or not all(map(math.isfinite, val)):
        return None
    first = min(max(selected - 3, 0), len(val) - 5)
    epochs = np.array([epoch for epoch in range(first, first + 5) if epoch != selected - 1])
    fitted = np.polynomial.Polynomial.fit(epochs - (selected - 1.0), np.array(val)[epochs], 2)
    return val[selected - 1] - float(fitted(0.0))


def damaged_history(folder: Path, record: Record) -> str | None:
    """What is wrong with the history of a run, in the light of its record; None where nothing is."""
    if record.status not in ("done", "pruned") or record.epochs_run is None or not (folder / HISTORY).exists():
        return None
    there = len(read_history(folder))
    return None if there == record.epochs_run else f"{HISTORY}: {there} of {record.epochs_run} epochs can be read"
