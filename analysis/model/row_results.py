"""From runs to what statistics needs: the accuracies of each identity's seeds, which test images they got right."""

from typing import Any

import numpy as np
import pandas as pd

from analysis.model.table import distinct, row_keys
from analysis.statistics.results import RowResults

PREDICTIONS = ("_images", "_correct")  # columns of read.records.load_all()
SPLIT = ["data.val_fraction", "data.test_fraction", "data.split_seed"]  # with the fingerprint: which images are tested


def results_of_rows(runs: pd.DataFrame) -> dict[str, RowResults]:
    """The results of each identity that has done runs with a test accuracy."""
    done = distinct(runs)
    done = done[(done["status"] == "done") & done["test_acc"].notna() & done["val_acc"].notna()]
    done = done[done["n_test"].fillna(0) > 0]
    has_predictions = set(PREDICTIONS) <= set(done.columns)
    test_set = ["data_fingerprint", *(name for name in SPLIT if name in done)]
    wanted = [
        "val_acc",
        "test_acc",
        "n_test",
        *(["n_val"] if "n_val" in done else []),
        *(PREDICTIONS if has_predictions else ()),
        *test_set,
    ]
    groups: dict[str, list[dict[str, Any]]] = {}  # pandas' own groups take ten times as long over thousands of rows
    for key, *values in zip(row_keys(done), *(done[name].tolist() for name in wanted), strict=True):
        groups.setdefault(str(key), []).append(dict(zip(wanted, values, strict=True)))
    return {key: _results(seeds, test_set) for key, seeds in groups.items()}


def _results(seeds: list[dict[str, Any]], test_set: list[str]) -> RowResults:
    """Of one identity, from the values of its seeds. Where all have predictions of the same images, those are the test
    set's id; else the data set and how it was split."""
    val, test = (np.array([seed[name] for seed in seeds], dtype=float) for name in ("val_acc", "test_acc"))
    n_test = int(seeds[0]["n_test"])
    n_val = 0 if pd.isna(seeds[0].get("n_val")) else int(seeds[0]["n_val"])
    images, correct = ([seed.get(name) for seed in seeds] for name in PREDICTIONS)
    known = [bits for bits in correct if isinstance(bits, str)]
    if len(set(images)) == 1 and len(known) == len(seeds):
        matrix = np.stack([_unpack(bits, n_test) for bits in known])
        return RowResults(val, test, n_test, matrix, str(images[0]), n_val)
    return RowResults(val, test, n_test, None, "/".join(str(seeds[0][name]) for name in test_set), n_val)


def _unpack(hex_bits: str, count: int) -> np.ndarray:
    """The first `count` bits of a text in hex, as bool."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(hex_bits), dtype=np.uint8))[:count].astype(bool)


def unused_files(runs: pd.DataFrame) -> list[str]:
    """A line for each run whose predictions or history are there, don't fit its record, and are left out."""
    lines, found = [], distinct(runs)
    for column, where in (("_misfit", "the comparisons of images"), ("_history", "the curves")):
        damaged = found[found[column].notna()] if column in found else found[:0]
        for folder, reason in zip(damaged["folder"], damaged.get(column, ()), strict=True):
            lines.append(f"{folder}: {reason}; left out of {where}")
    return lines
