"""Runs by the images that they were tested and validated on: each test set is judged by itself, and val accuracies of
other images choose no reference."""

from collections.abc import Iterable

import pandas as pd

from analysis.model.soups import without_soups
from analysis.model.table import distinct, row_keys


def by_test_set(runs: pd.DataFrame) -> list[pd.DataFrame]:
    """The runs of each test set, in the order in which these come among trained runs. Runs without a test result stay
    with the others of their row, else of their data set, else with the first."""
    if runs.empty:
        return [runs]
    sets = test_sets(runs)
    names = dict.fromkeys([*sets.loc[without_soups(runs).index], *sets])  # a soup that is added renumbers nothing
    return [runs[sets == name] for name in names]


def test_sets(runs: pd.DataFrame) -> "pd.Series[str]":
    """What the test images of each run are known by: the same for runs on the same images."""
    tested = (runs["status"] == "done") & runs["test_acc"].notna()
    split = runs["_test_split"] if "_test_split" in runs else runs["data_fingerprint"]
    split = split.fillna("").astype(object)
    images = (runs["_images"] if "_images" in runs else pd.Series(None, runs.index)).astype(object)
    images = images.where(tested & images.notna(), None)
    by_split = _agreed(split, images)  # those without predictions are where others with the same split are
    found = images.where(images.notna(), split.map(by_split)).where(tested, None)
    found = found.where(found.notna() | ~tested, split)
    for alike in (row_keys(runs), split, runs["data_fingerprint"].astype(object), pd.Series("", runs.index)):
        first = found[found.notna()].groupby(alike[found.notna()], sort=False).first()
        found = found.where(found.notna(), alike.map(first))
    return found.fillna("").astype("str").rename("test_set")


def _agreed(split: "pd.Series[str]", images: "pd.Series[str]") -> dict[str, str]:
    """For each split the images, where all runs that tell them agree."""
    groups = images[images.notna()].groupby(split[images.notna()], sort=False)
    return {str(name): str(some.iloc[0]) for name, some in groups if some.nunique() == 1}


def describe(runs: pd.DataFrame) -> str:
    """A few words about the test set of these runs: `269 test images of demo`."""
    counts = runs["n_test"].dropna()
    sweeps = ", ".join(dict.fromkeys(runs["sweep"].dropna().astype("str")))
    return f"{int(counts.iloc[0]) if len(counts) else 'unknown'} test images of {sweeps or 'no known sweep'}"


def one_val_set(runs: pd.DataFrame, judged: Iterable[str]) -> bool:
    """Whether the val accuracies of the rows `judged` are of the same images (and folds, where there are any)."""
    if "_val_split" not in runs:
        return True
    done = distinct(runs)
    done = done[done["status"] == "done"]
    keys = row_keys(done)
    done = done[keys.isin(list(judged))]
    sets: dict[str, set[str]] = {}
    for key, split in zip(keys[done.index], done["_val_split"], strict=True):
        sets.setdefault(key, set()).add(str(split))
    return len({frozenset(some) for some in sets.values()}) <= 1


def val_caution(runs: pd.DataFrame, judged: Iterable[str], reference: str | None) -> list[str]:
    """A line where val accuracies can't be compared."""
    if one_val_set(runs, judged):
        return []
    line = "the rows were validated on different images (split or folds), so their val accuracies can't be compared"
    return [line + ("" if reference else ": no row was picked as the reference; name one with --reference")]
