"""From runs to what a judgement needs: the accuracies of each identity's seeds, which test images they got right."""

from typing import Any

import numpy as np
import pandas as pd

from analysis.model.table import distinct, keys
from analysis.statistics.judge import Row

LOOKS = ("_images", "_correct")
SPLIT = ["data.val_fraction", "data.test_fraction", "data.split_seed"]  # with the fingerprint: which images are tested


def evidence(runs: pd.DataFrame) -> dict[str, Row]:
    """A Row for each identity that has done runs with a test accuracy."""
    done = distinct(runs)
    done = done[(done["status"] == "done") & done["test_acc"].notna() & done["val_acc"].notna()]
    done = done[done["n_test"].fillna(0) > 0]
    split = [name for name in SPLIT if name in done]
    wanted = ["val_acc", "test_acc", "n_test", *(name for name in LOOKS if name in done), "data_fingerprint", *split]
    groups: dict[str, list[Any]] = {}  # pandas' own groups would take ten times as long over thousands of rows
    for key, *values in zip(keys(done), *(done[name].tolist() for name in wanted), strict=True):
        groups.setdefault(str(key), []).append(values)
    return {key: row_of(seeds, looked=set(LOOKS) <= set(wanted)) for key, seeds in groups.items()}


def row_of(seeds: list[list[Any]], looked: bool) -> Row:
    """The Row of an identity from the values of its seeds, in the order that evidence() has them."""
    val, test = (np.array([one[place] for one in seeds], dtype=float) for place in (0, 1))
    n_test = int(seeds[0][2])
    images = "/".join(map(str, seeds[0][5 if looked else 3 :]))
    correct = None
    if looked and len({one[3] for one in seeds}) == 1 and all(isinstance(one[4], str) for one in seeds):
        correct = np.stack([bits(one[4], n_test) for one in seeds])
        images = seeds[0][3]
    return Row(val, test, n_test, correct, images)


def bits(text: str, count: int) -> np.ndarray:
    """The first `count` bits of a text in hex, as bool."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), dtype=np.uint8))[:count].astype(bool)
