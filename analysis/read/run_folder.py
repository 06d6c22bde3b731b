"""One run folder -> what it says about its run. Nothing in here raises for what a file contains."""

import contextlib
import csv
import hashlib
import json
import math
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from training.record import SCHEMA, Failure, Record
from training.run_folder import CONFIG, HISTORY, RECORD, predictions_file

STATUSES = ("done", "pruned", "diverged", "failed", "unfinished", "unreadable")  # the last two are never in a record


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
    return Record.from_json(content)


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


def looked_up(folder: Path) -> tuple[str, str] | None:
    """The test predictions of a run: a hash of the images and their labels, and whether each was put in its class, as
    bits in hex; None where they can't be read."""
    try:
        with np.load(folder / predictions_file("test"), allow_pickle=False) as content:
            names, labels, logits = content["id"], content["label"], content["logits"]
            correct = logits.argmax(1) == labels
    except (OSError, ValueError, KeyError, IndexError, zipfile.BadZipFile, EOFError):
        return None
    digest = hashlib.sha256(names.tobytes() + labels.astype("int64").tobytes())
    return digest.hexdigest()[:16], np.packbits(correct).tobytes().hex()


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
