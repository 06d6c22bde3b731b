"""What a run left behind, without what may differ between two that are the same: times, and where they lie."""

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

from conftest import run_folders

TINY = "model._target_=own_parts.tiny"  # a network of our own, that trains in no time
FILES = ("best.safetensors", "predictions_val.npz", "predictions_test.npz")


def record_of(folder: Path) -> dict[str, Any]:
    """record.json."""
    record: dict[str, Any] = json.loads((folder / "record.json").read_text())
    return record


def history_of(folder: Path) -> list[dict[str, float]]:
    """The rows of history.csv."""
    with (folder / "history.csv").open(newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def outcome(folder: Path) -> dict[str, Any]:
    """Equal for two runs exactly if they came to the same, bit for bit."""
    record = record_of(folder)
    del record["time"], record["sweep"], record["config"]["sweep"]
    history = history_of(folder)
    for row in history:
        del row["seconds"], row["images_per_s"]
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}
    return {"record": record, "history": history, **digests}


def only_run(root: Path) -> Path:
    """The one run folder below `root`."""
    (folder,) = run_folders(root)
    return folder
