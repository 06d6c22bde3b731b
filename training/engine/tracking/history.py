"""A run's curves by epoch: the rows of history.csv, and the names under which trackers show them."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from training.run_folder import HISTORY, write_whole


def write_history(folder: Path, rows: Sequence[dict[str, float]]) -> None:
    """history.csv, whole or not at all: a row an epoch. Raises OSError."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(folder / HISTORY, text.getvalue().encode())


def scalars(row: dict[str, float]) -> dict[str, float]:
    """The curves' values at one epoch, by the names that trackers give them."""
    found = {f"{kind}/{split}": row[f"{split}_{kind}"] for split in ("train", "val") for kind in ("loss", "acc")}
    found |= {"speed/images_per_s": row["images_per_s"], "speed/epoch_seconds": row["seconds"]}
    others = [name.removeprefix("val_") for name in row if name.startswith("val_")]
    found |= {f"{name}/val": row[f"val_{name}"] for name in others}
    return found | {"gradient_norm": row["grad_norm"]}
