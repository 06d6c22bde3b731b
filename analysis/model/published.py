"""A published table beside our own runs, and what is odd about it by itself."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.read.published import IDENTIFYING
from analysis.statistics.differences import independent_difference
from analysis.statistics.inference import t_quantile
from analysis.statistics.noise import Noise
from analysis.statistics.results import RowResults


def remarks(runs: pd.DataFrame) -> list[str]:
    """Rows that are one configuration under two names, and accuracies that are no whole number of images."""
    lines = []
    groups = [group for _, group in runs.groupby("identity", sort=False) if len(group) > 1]
    if groups:
        widest = max(float(group["test_acc"].max() - group["test_acc"].min()) for group in groups)
        names = sum(group["weights"].nunique() > 1 for group in groups)
        what = "configurations stand" if len(groups) > 1 else "configuration stands"
        lines.append(
            f"{len(groups)} {what} here more than once ({names} under two names of the same weights); "
            f"their runs differ by up to {widest:.1f} points of test accuracy."
        )
        lines += passed_over(groups)
        lines += name_effect(groups)
    for split in ("val", "test"):
        n = int(runs[f"n_{split}"].iloc[0])
        if odd := int(runs[f"_odd_{split}_acc"].sum()):
            lines.append(f"{odd} of the {split} accuracies are no whole number of {n} images: is --n-{split} right?")
    return lines


def passed_over(groups: Sequence[pd.DataFrame]) -> list[str]:
    """A line where rows that are taken for one configuration differ in columns that mean nothing here."""
    some = [group for group in groups if group["_passed_over"].iloc[0]]
    if not some:
        return []
    columns = ", ".join(dict.fromkeys(name for group in some for name in group["_passed_over"].iloc[0].split(", ")))
    lines = ", ".join(folder.rpartition(":")[2] for folder in some[0]["folder"])
    return [
        f"Columns that are passed over here: {columns}. Rows that differ in them alone count as runs of one "
        f"configuration, such as lines {lines}: if they are not, judge them in tables of their own."
    ]


def name_effect(groups: Sequence[pd.DataFrame]) -> list[str]:
    """What asking for `default` by that name seems to do, where it names the same weights: noise by construction."""
    gaps = []
    for group in groups:
        named = group["weights"] == "default"
        if named.any() and not named.all():
            gaps.append(float(group.loc[named, "test_acc"].mean() - group.loc[~named, "test_acc"].mean()))
    if len(gaps) < 2:
        return []
    half = t_quantile(len(gaps) - 1) * float(np.std(gaps, ddof=1)) / math.sqrt(len(gaps))
    mean = float(np.mean(gaps))
    return [
        f"weights: default against the name it stands for {mean:+.1f} [{mean - half:.1f}, {mean + half:.1f}] points "
        f"({len(gaps)} matched pairs): the same weights, so all of it is noise."
    ]


def side_by_side(
    published: pd.DataFrame,
    published_results: Mapping[str, RowResults],
    published_noise: Noise,
    own: pd.DataFrame,
    own_results: Mapping[str, RowResults],
    own_noise: Noise,
) -> pd.DataFrame:
    """Published rows beside our own with the same settings: both test accuracies in per cent, and own - published in
    points with a 95 % interval. `published`, `own`: rows by identity."""
    shared = [name for name in IDENTIFYING if published[name].notna().any()]
    lines = []
    for key, row in published.iterrows():
        results = published_results[str(key)]
        line = {name: row[name] for name in ("model", "weights", *shared[2:])}
        line |= {"published": 100 * results.test_proportion, "runs": results.seeds}
        same = _same(row, own, shared, own_results)
        for other in same if len(same) == 1 else ():
            matching = own_results[other]
            found = independent_difference(matching, own_noise, results, published_noise)
            line |= {"own": 100 * matching.test_proportion, "seeds": matching.seeds}
            line |= {"diff": found.points, "diff_low": found.low, "diff_high": found.high}
        lines.append(line)
    columns = ["published", "runs", "own", "seeds", "diff", "diff_low", "diff_high"]
    return pd.DataFrame(lines, columns=["model", "weights", *shared[2:], *columns])


def several_alike(published: pd.DataFrame, own: pd.DataFrame, own_results: Mapping[str, RowResults]) -> list[str]:
    """A line where published rows have the settings of several of our own, and so are beside none of them."""
    shared = [name for name in IDENTIFYING if published[name].notna().any()]
    found = [_same(row, own, shared, own_results) for _, row in published.iterrows()]
    several = [same for same in found if len(same) > 1]
    if not several:
        return []
    rows = own.loc[several[0]]
    names = [name for name in rows.columns if name in IDENTIFYING or "." in name]
    differing = ", ".join(name for name in names if rows[name].astype("str").nunique() > 1)
    how = f", which differ in {differing}" if differing else ""
    count = f"{len(several)} published row{'s' if len(several) > 1 else ''}"
    return [
        f"{count} beside none: the settings in the table are those of several own rows ({len(several[0])} of the first"
        f"{how}). A column for them in the table would tell which."
    ]


def _same(
    row: "pd.Series[Any]", own: pd.DataFrame, shared: Sequence[str], own_results: Mapping[str, RowResults]
) -> list[str]:
    """The rows of our own, with a result, that have the settings `shared` of a published one."""
    found = [str(key) for key, one in own.iterrows() if all(alike(row[name], one[name]) for name in shared)]
    return [key for key in found if key in own_results]


def alike(one: object, other: object) -> bool:
    """Whether two settings are the same, whatever the case and the last digits."""
    if isinstance(one, str) and isinstance(other, str):
        return one.lower() == other.lower()
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(float(one), float(other), rel_tol=1e-9)
    return False
