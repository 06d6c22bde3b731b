"""Replicates that are not seeds: folds of a cross-validation, and with `--over split` other splits of the same data.

Their training images overlap, so that their mean is less sure than that of as many seeds, and two rows on the same fold
or split have its luck in common (statistics/results.py, noise.py).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from analysis.model.table import SETTINGS
from analysis.read.distinguish import FOLD, NO_SETTINGS
from analysis.read.records import ReportError
from analysis.statistics.results import RowResults

SPLIT = "_split"  # column: which split of the data a replicate has
SPLIT_SEED = "data.split_seed"
IMAGES = ("_images", "_correct")
DRAWN_ANEW = "drawn anew"  # begins the name of a test set of which each split has its own images


def over_splits(runs: pd.DataFrame) -> pd.DataFrame:
    """`runs` in which rows that differ in data.split_seed alone are replicates of one row. Raises ReportError where
    there is one split only. Where test images are drawn with each split, runs of one data set count as one test set,
    without predictions to compare image by image."""
    if SPLIT_SEED not in runs or runs[SPLIT_SEED].nunique() < 2:
        raise ReportError("--over split: these runs have one split of the data; data.split_seed=0,1,2 gives several")
    varies = (*NO_SETTINGS, SPLIT_SEED, FOLD)
    config = [name for name in runs if "." in str(name) and not str(name).startswith(varies)]
    keys = [*SETTINGS, *config, "precision", "data_fingerprint", "folds"]
    keys.remove("weights")
    alike = runs.groupby([runs[name].astype("str").fillna("") for name in keys], sort=False)
    common = alike["identity"].transform("first").where(runs["identity"].notna(), runs["identity"])
    merged = runs.assign(identity=common, **{SPLIT: runs[SPLIT_SEED], SPLIT_SEED: runs[SPLIT_SEED].iloc[0]})
    if "_test_split" in runs:
        data = runs["data_fingerprint"].astype("str").fillna("")
        anew = runs.groupby(data)["_test_split"].transform("nunique") > 1  # test images are drawn with each split
        merged["_test_split"] = runs["_test_split"].mask(anew, DRAWN_ANEW + " of " + data)
        for name in IMAGES:
            if name in runs:
                merged[name] = runs[name].mask(anew, None)
    return merged.assign(_val_split="each split's own") if "_val_split" in runs else merged


def in_parts(seeds: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The replicates of one row in the order of their folds or splits."""
    name = _part(seeds)
    return sorted(seeds, key=lambda seed: seed[name]) if name else list(seeds)


def of_parts(row: RowResults, seeds: Sequence[dict[str, Any]]) -> RowResults:
    """`row`, with what its replicates `seeds` are parts of."""
    name = _part(seeds)
    if name is None:
        return row
    parts = tuple(int(seed[name]) for seed in seeds)
    parts = parts if len(set(parts)) == len(parts) else ()
    if name == "fold":
        return replace(row, parts=parts, overlap=1 / (int(seeds[0]["folds"]) - 1))
    drawn = row.test_set_id.startswith(DRAWN_ANEW)
    tested = row.n_test if drawn else row.n_val
    n_train = seeds[0].get("n_train")
    overlap = 0.0 if n_train is None or pd.isna(n_train) else tested / max(int(n_train), 1)
    return replace(row, parts=parts, overlap=overlap, own_images=drawn)


def parts_of(runs: pd.DataFrame) -> list[int | None]:
    """Which split, else which fold of the data each run has."""
    names = [name for name in (SPLIT, "fold") if name in runs]
    found = runs[names].bfill(axis=1).iloc[:, 0].tolist() if names else [None] * len(runs)
    return [None if part is None or pd.isna(part) else int(part) for part in found]


def _part(seeds: Sequence[dict[str, Any]]) -> str | None:
    """What tells the replicates apart beside their seeds."""
    for name in (SPLIT, "fold"):
        if all(seed.get(name) is not None and not pd.isna(seed[name]) for seed in seeds):
            return name
    return None
