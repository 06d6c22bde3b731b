"""From runs to what statistics needs: the accuracies of each identity's seeds, which test images they got right."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.model.image_sets import test_sets, val_caution
from analysis.model.splits import SPLIT, in_parts, of_parts
from analysis.model.table import distinct, row_keys
from analysis.statistics.comparisons import Comparisons
from analysis.statistics.results import RowResults

PREDICTIONS = ("_images", "_correct")  # columns of read.records.load_all()
NEEDED = ("val_acc", "test_acc", "n_test")
OTHERS = ("n_val", "n_train", "fold", "folds", SPLIT)


def results_of_rows(runs: pd.DataFrame) -> dict[str, RowResults]:
    """The results of each identity that has done runs with a test accuracy; without those that unused_predictions()
    names."""
    done = judged_runs(runs)
    has_predictions = set(PREDICTIONS) <= set(done.columns)
    wanted = [*NEEDED, *(name for name in OTHERS if name in done), *(PREDICTIONS if has_predictions else ())]
    columns = [*(done[name].tolist() for name in wanted), test_sets(runs).loc[done.index].tolist()]
    groups: dict[str, list[dict[str, Any]]] = {}  # pandas' own groups take ten times as long over thousands of rows
    for key, *values in zip(row_keys(done), *columns, strict=True):
        groups.setdefault(str(key), []).append(dict(zip([*wanted, "test_set"], values, strict=True)))
    diverged = Counter(row_keys(single := distinct(runs))[single["status"] == "diverged"].astype("str"))
    return {key: replace(_results(seeds), diverged=diverged[key]) for key, seeds in groups.items()}


def judged_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Of `runs`, each once, those that are done, have both accuracies, and whose predictions can be used if their row
    has any."""
    done = _tested(runs)
    return done[_reasons(done).isna()]


def _tested(runs: pd.DataFrame) -> pd.DataFrame:
    done = distinct(runs)
    done = done[(done["status"] == "done") & done["test_acc"].notna() & done["val_acc"].notna()]
    return done[done["n_test"].fillna(0) > 0]


def _reasons(done: pd.DataFrame) -> "pd.Series[Any]":
    """Why each of these runs can't be compared image by image with the others, though they can; None where it can."""
    reasons = pd.Series(None, done.index, dtype="str")
    if not {*PREDICTIONS, "_misfit"} <= set(done.columns):
        return reasons
    known = done["_images"].notna()
    some = known.groupby(row_keys(done)).transform("any")
    reasons[~known & some] = "no predictions_test.npz, which other seeds of its row have"
    return done["_misfit"].astype("str").where(done["_misfit"].notna(), reasons)


def _results(seeds: list[dict[str, Any]]) -> RowResults:
    """Of one identity, from the values of its seeds, as far as they are on the same test images as the first."""
    seeds = in_parts([seed for seed in seeds if seed["test_set"] == seeds[0]["test_set"]])
    val, test = (np.array([seed[name] for seed in seeds], dtype=float) for name in ("val_acc", "test_acc"))
    n_test = int(seeds[0]["n_test"])
    n_val = 0 if pd.isna(seeds[0].get("n_val")) else int(seeds[0]["n_val"])
    known = [bits for seed in seeds if isinstance(bits := seed.get("_correct"), str)]
    matrix = np.stack([_unpack(bits, n_test) for bits in known]) if len(known) == len(seeds) else None
    row = RowResults(val, test, n_test, matrix, str(seeds[0]["test_set"]), n_val)
    return of_parts(row, seeds)


def _unpack(hex_bits: str, count: int) -> np.ndarray:
    """The first `count` bits of a text in hex, as bool."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(hex_bits), dtype=np.uint8))[:count].astype(bool)


def image_cautions(runs: pd.DataFrame, comparisons: Comparisons) -> list[str]:
    """What is to be said of the files behind comparisons: val sets that differ, predictions and histories that can't
    be used."""
    about_val = val_caution(runs, comparisons.by_row, comparisons.reference)
    return [*about_val, *unused_predictions(runs), *unused_histories(runs)]


def unused_predictions(runs: pd.DataFrame) -> list[str]:
    """A line for each run that is left out of the comparisons since its predictions can't be used."""
    done = _tested(runs)
    if "_misfit" in runs:  # those of runs without a result too
        others = distinct(runs)
        done = pd.concat([done, others[others["_misfit"].notna() & ~others.index.isin(done.index)]]).sort_index()
    reasons = _reasons(done).dropna()
    pairs = zip(done["folder"].loc[reasons.index], reasons, strict=True)
    judged = set(row_keys(judged_runs(runs)))
    means = {
        folder: ", and of the means" * (key in judged)
        for folder, key in zip(done["folder"], row_keys(done), strict=True)
    }
    return [f"{folder}: {reason}; left out of the comparisons of images{means[folder]}" for folder, reason in pairs]


def unused_histories(runs: pd.DataFrame) -> list[str]:
    """A line for each run whose history.csv is there, doesn't fit its record, and is left out."""
    found = distinct(runs)
    damaged = found[found["_history"].notna()] if "_history" in found else found[:0]
    pairs = zip(damaged["folder"], damaged.get("_history", ()), strict=True)
    return [f"{folder}: {reason}; left out of the curves" for folder, reason in pairs]
