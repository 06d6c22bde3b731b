"""Runs -> the comparison table: choose, merge replicates, sort.

A column of the table is a line in COLUMNS; what it is made of must be a column of the runs (analysis/read/records.py).
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from analysis.statistics.comparisons import Comparisons
    from analysis.statistics.results import RowResults
from analysis.read.distinguish import extra_columns
from analysis.read.query import QueryError, matching
from analysis.read.records import ReportError, nearest
from analysis.read.run_folder import STATUSES

# column: how replicates are merged into it. `same`: they agree by definition. `mean`: over the seeds that are done.
# `cost`: likewise, but what was spent is known of others too. Later columns are added, none is renamed.
COLUMNS = {
    "model": "same",
    "weights": "names",
    "weights_resolved": "same",
    "optimizer": "same",
    "lr": "same",
    "scheduler": "same",
    "weight_decay": "same",
    "batch_size": "same",
    "epochs": "same",
    "seeds": "count",
    "val_acc": "mean",
    "test_acc": "mean",
    "best_epoch": "mean",
    "params": "same",
    "images_per_s": "cost",
    "minutes": "cost",
    "latency_ms": "mean",
    "test_without_twins": "mean",
    "status": "count",
}
COMPARED_NUMBERS = ("val_sd", "test_sd", "test_low", "test_high", "diff", "diff_low", "diff_high", "p")
COMPARED_TEXT = ("mark", "claim", "spread")
COMPARED = (*COMPARED_NUMBERS, *COMPARED_TEXT)
CHANCES = ("p_best", "p_near", "regret", "iqm", "p_improvement")  # analysis/model/chances.py; for csv and json
SETTINGS = tuple(COLUMNS)[: tuple(COLUMNS).index("seeds")]  # what was asked for; the rest is what came out
MEANS = tuple(column for column, how in COLUMNS.items() if how in ("mean", "cost"))
OPTIONAL = ("latency_ms", "test_without_twins")  # columns that are shown only where some run has a value
MISSING = {
    "latency_ms": "tracking.latency=true measures it",
    "test_without_twins": "it is for test images with copies in train (data.group_by=duplicates finds near ones)",
}
PLACE = ("identity", "folder")  # which row it is, and where its runs lie


def filter_runs(runs: pd.DataFrame, query: str | None) -> pd.DataFrame:
    """The runs for which `query` (analysis/read/query.py) is true. Raises ReportError."""
    if query is None:
        return runs
    try:
        return runs[matching(runs, query)]
    except QueryError as error:
        raise ReportError(f"--where {query!r}: {error}") from None


def distinct(runs: pd.DataFrame) -> pd.DataFrame:
    """Every run once: one that lies in two sweeps is no second replicate. Done ones stay, then newer ones."""
    order = pd.DataFrame({"done": runs["status"] == "done", "finished": runs["finished"], "key": row_keys(runs)})
    order["seed"] = runs["seed"].astype("str").where(runs["seed"].notna(), runs["folder"])
    order["fold"] = runs["fold"]
    order["split"] = runs.get("_split")
    order = order.sort_values(["done", "finished"], ascending=False, kind="stable", na_position="last")
    return runs.loc[order.drop_duplicates(["key", "seed", "fold", "split"]).index.sort_values()]


def merge_replicates(
    runs: pd.DataFrame, extra: Iterable[str] = (), judged: "pd.Index[int] | None" = None
) -> pd.DataFrame:
    """One row for one identity (the index): the columns of COLUMNS (accuracies in per cent), PLACE, those of `extra`.

    `identity` and `folder` (of the configuration: its runs lie in it) come after the columns. `seeds` counts the runs
    that are done (seeds, and folds if there are any), as means are taken over them; a row without any has no accuracy.
    `judged`: the runs that are compared; the others of a row that has such are in no mean either.
    """
    single = distinct(runs)
    key = row_keys(single)
    done = single["status"] == "done"
    if judged is not None:
        compared = pd.Series(single.index.isin(judged), single.index)
        done &= compared | ~compared.groupby(key).transform("any")
    groups = single.groupby(key, sort=False)
    same = [column for column, how in COLUMNS.items() if how == "same"]
    rows = groups[[*same, *extra]].first()
    rows["weights"] = weight_names(runs).reindex(rows.index)
    if "optimizer.lr" in single and (auto := groups["optimizer.lr"].first() == "auto").any():
        rows["lr"] = rows["lr"].astype(object).mask(auto, "auto")  # the runs have the numbers, in lr_resolved
    rows["seeds"] = done.groupby(key, sort=False).sum().astype("Int64")
    known = single[done].groupby(key[done], sort=False)
    for column in MEANS:
        mean = known[column].mean().astype("float64").reindex(rows.index)
        rows[column] = mean.fillna(groups[column].mean()) if COLUMNS[column] == "cost" else mean
    if (rows["best_epoch"].dropna() % 1 == 0).all():
        rows["best_epoch"] = rows["best_epoch"].astype("Int64")
    rows["status"] = status_counts(key, single["status"]).reindex(rows.index)
    for column in PLACE:
        rows[column] = groups[column].first()
    rows["folder"] = [of_configuration(folder) for folder in rows["folder"]]
    shown = [column for column in COLUMNS if column not in OPTIONAL or rows[column].notna().any()]
    return rows[[*shown, *PLACE, *extra]]


def add_devices(rows: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """`rows` with a column `device`: what their runs were made on, with the number of runs where that differs."""
    single = distinct(runs)
    names = single["device_name"].fillna(single["device"])
    counts = {key: Counter(of.dropna()) for key, of in names.groupby(row_keys(single), sort=False)}
    cells = [
        ", ".join(f"{name} ({number})" if len(found) > 1 else str(name) for name, number in found.most_common()) or None
        for found in (counts.get(key, Counter()) for key in rows.index)
    ]
    return rows.assign(device=pd.Series(cells, rows.index, dtype="str"))


def mark_pareto(rows: pd.DataFrame, runs: pd.DataFrame, objectives: dict[str, str]) -> pd.DataFrame:
    """`rows` with a column `pareto`, `front` where no other row is better in one objective (a column of `runs`, mean
    over the done seeds) and as good in the others; `objectives`: with maximize or minimize."""
    done = runs[runs["status"] == "done"]
    means = done.groupby(row_keys(done))[list(objectives)].mean().astype("float64").dropna()
    worth = means * [1 if way == "maximize" else -1 for way in objectives.values()]
    beaten = {key for key, one in worth.iterrows() if ((worth >= one).all(axis=1) & (worth > one).any(axis=1)).any()}
    front = ["front" if key in worth.index and key not in beaten else None for key in rows.index]
    return rows.assign(pareto=pd.Series(front, rows.index, dtype="str"))


def add_comparisons(
    rows: pd.DataFrame, comparisons: "Comparisons", results: "Mapping[str, RowResults]"
) -> pd.DataFrame:
    """`rows` with the columns COMPARED. Standard deviations are those between the seeds, of accuracy in points;
    intervals are 95 %; `diff`: from the reference, in points of test accuracy or as the metric of `comparisons` is
    shown; `p` of it, corrected over all rows, looks and hidden rows (of configurations by drawn tables, of trained
    models by Holm); `claim`: configuration or model (this trained one), `spread` between seeds: own or borrowed."""
    columns: dict[str, list[Any]] = {name: [] for name in COMPARED}
    for key in map(str, rows.index):
        row, comparison = results.get(key), comparisons.by_row.get(key)
        columns["val_sd"].append(_deviation(row.val_percent) if row else math.nan)
        columns["test_sd"].append(_deviation(row.test_percent) if row else math.nan)
        for name in COMPARED_NUMBERS[2:]:
            columns[name].append(getattr(comparison, name, math.nan))
        columns["mark"].append(comparison.mark or None if comparison else None)
        columns["claim"].append(comparisons.claim if comparison else None)
        columns["spread"].append(comparison.spread or None if comparison else None)
    dtypes = {name: "str" if name in COMPARED_TEXT else "float64" for name in COMPARED}
    rows = rows.assign(**{name: pd.Series(columns[name], rows.index, dtype=dtypes[name]) for name in COMPARED})
    first = [name for name in rows.columns if name in COLUMNS or name in COMPARED]  # the rest came later
    return rows[[*first, *(name for name in rows.columns if name not in first)]]


def _deviation(percent: np.ndarray) -> float:
    """Standard deviation between seeds in points; nan for one."""
    return float(percent.std(ddof=1)) if len(percent) > 1 else math.nan


def sort_rows(rows: pd.DataFrame, column: str = "val_acc") -> pd.DataFrame:
    """Numbers from the highest, text from a to z; rows without a value last; ties by val accuracy."""
    if column in OPTIONAL and column not in rows:
        raise ReportError(f"--sort {column}: none of these runs has one; {MISSING[column]}")
    if column not in COLUMNS:
        raise ReportError(f"--sort {column}: no such column{nearest(column, COLUMNS)}; there are {', '.join(COLUMNS)}")
    for by in ("val_acc", column):
        values = pd.to_numeric(rows[by], errors="coerce") if by == "lr" else rows[by]  # auto comes last
        up = not pd.api.types.is_numeric_dtype(values.dtype)
        rows = rows.loc[values.sort_values(ascending=up, kind="stable", na_position="last").index]
    return rows


def distinguishing_columns(runs: pd.DataFrame) -> list[str]:
    """The columns of `runs` that tell rows apart beside SETTINGS (augment, trainer.label_smoothing, ...)."""
    return extra_columns(runs, row_keys(runs), SETTINGS)


def of_configuration(folder: str) -> str:
    """The folder in which a run's folder (seed=0) lies beside those of its other seeds."""
    path = Path(folder)
    return str(path.parent) if path.name.startswith("seed=") else folder


def row_keys(runs: pd.DataFrame) -> "pd.Series[str]":
    """What makes runs replicates of each other: the identity, or for a broken run that lost it, nothing."""
    return runs["identity"].fillna(runs["folder"]).rename("key")


def weight_names(runs: pd.DataFrame) -> "pd.Series[str]":
    """The weights as asked for each identity; one that was asked for under several names has them all."""
    found: dict[str, set[str]] = {}
    for key, name in zip(row_keys(runs), runs["weights"], strict=True):
        found.setdefault(key, set()).update(name.split("+") if isinstance(name, str) else [])
    return pd.Series({key: "+".join(sorted(some)) or None for key, some in found.items()}, dtype="str")


def status_counts(key: "pd.Series[str]", status: "pd.Series[str]") -> "pd.Series[str]":
    """`done` where all are (the seeds say how many), `failed` for one run, else `2 done, 1 failed`."""
    counts: dict[str, Counter[str]] = {}
    for one, word in zip(key, status, strict=True):
        counts.setdefault(one, Counter())[word] += 1
    texts = {}
    for one, count in counts.items():
        plain = len(count) == 1 and ("done" in count or count.total() == 1)
        texts[one] = next(iter(count)) if plain else ", ".join(f"{count[s]} {s}" for s in STATUSES if count[s])
    return pd.Series(texts, dtype="str")
