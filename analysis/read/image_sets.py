"""Which images runs were tested and validated on, so that only those on the same images are compared.

Test images are known by their names and classes, as the predictions have them, in whatever order of images or classes;
where there are no predictions, and for val, by the data set and how it was split.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from training.record import Record

DRAW = ("val_fraction", "test_fraction", "split_seed")  # what a drawn split depends on
FOLDS = ("folds", "fold")


def split_key(record: Record, split: str) -> str:
    """Equal for runs with the same images in `split` (val or test), as far as their records tell."""
    data = (record.config or {}).get("data")
    config: dict[str, Any] = data if isinstance(data, dict) else {}
    drawn = record.data.drawn is None or split in record.data.drawn
    folded = split == "val" and config.get("folds") is not None
    names = [*(DRAW if drawn or folded else ()), *(FOLDS if folded else ())]
    chosen = {name: config.get(name) for name in names}
    if (drawn or folded) and config.get("group_by") is not None:
        chosen["group_by"] = config["group_by"]
    if folded:
        chosen["fold"] = record.fold if record.fold is not None else config.get("fold")
    return json.dumps([record.data.fingerprint, chosen], default=str)


def order_of(names: np.ndarray) -> np.ndarray:
    """The order in which images are compared, by their names [N]: indices [N]."""
    found: np.ndarray = np.argsort(names, kind="stable")
    return found


def image_set(names: np.ndarray, labels: np.ndarray, classes: Sequence[Any] | None) -> str:
    """A hash of the images `names` [N] with their `labels` [N], in any order, and of all classes that there are to
    choose from, in any order; of the labels' numbers where the `classes` are not known."""
    order = order_of(names)
    words = labels[order].astype("int64") if classes is None else np.array(list(map(str, classes)))[labels[order]]
    digest = hashlib.sha256("\0".join(names[order].tolist()).encode("utf-8", "surrogatepass"))
    digest.update(words.tobytes())
    digest.update(json.dumps(sorted(map(str, classes or []))).encode())
    return digest.hexdigest()[:16]
