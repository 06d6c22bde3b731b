"""Runs -> the comparison table: choose, merge replicates, sort.

A column of the table is a line in COLUMNS; what it is made of must be a column of the runs (analysis/records.py).
"""

import re
from collections import Counter
from collections.abc import Iterable

import pandas as pd

from analysis.records import STATUSES, ReportError, nearest

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
    "status": "count",
}
SETTINGS = tuple(COLUMNS)[: tuple(COLUMNS).index("seeds")]  # what was asked for; the rest is what came out
MEANS = tuple(column for column, how in COLUMNS.items() if how in ("mean", "cost"))
ELSEWHERE = ("tracking.", "sweep.")  # config that changes no result


def where(runs: pd.DataFrame, query: str | None) -> pd.DataFrame:
    """The runs for which the pandas expression `query` over their columns is true."""
    if query is None:
        return runs
    try:
        answer = runs.eval(query, engine="python")
    except Exception as error:  # pandas and the user's expression may raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        name = re.search(r"name '(\w+)' is not defined", reason)
        hint = nearest(name[1], [str(column) for column in runs.columns]) if name else ""
        raise ReportError(f"--where {query!r}: {reason}{hint}") from None
    if not isinstance(answer, pd.Series) or not pd.api.types.is_bool_dtype(answer.dtype):
        raise ReportError(
            f"--where {query!r} is neither true nor false for a run; expected e.g. \"model == 'resnet18'\""
        )
    return runs[answer.fillna(False).astype(bool)]


def distinct(runs: pd.DataFrame) -> pd.DataFrame:
    """Every run once: one that lies in two sweeps is no second replicate. Done ones stay, then newer ones."""
    order = pd.DataFrame({"done": runs["status"] == "done", "finished": runs["finished"], "key": keys(runs)})
    order["seed"] = runs["seed"].astype("str").where(runs["seed"].notna(), runs["folder"])
    order = order.sort_values(["done", "finished"], ascending=False, kind="stable", na_position="last")
    return runs.loc[order.drop_duplicates(["key", "seed"]).index.sort_values()]


def merge(runs: pd.DataFrame, extra: Iterable[str] = ()) -> pd.DataFrame:
    """One row for one identity: the columns of COLUMNS (accuracies in per cent), then those of `extra`.

    `seeds` counts the seeds that are done, as means are taken over them; a row without any has no accuracy.
    """
    single = distinct(runs)
    key = keys(single)
    done = single["status"] == "done"
    groups = single.groupby(key, sort=False)
    same = [column for column, how in COLUMNS.items() if how == "same"]
    rows = groups[[*same, *extra]].first()
    rows["weights"] = names(runs).reindex(rows.index)
    rows["seeds"] = done.groupby(key, sort=False).sum().astype("Int64")
    known = single[done].groupby(key[done], sort=False)
    for column in MEANS:
        mean = known[column].mean().astype("float64").reindex(rows.index)
        rows[column] = mean.fillna(groups[column].mean()) if COLUMNS[column] == "cost" else mean
    if (rows["best_epoch"].dropna() % 1 == 0).all():
        rows["best_epoch"] = rows["best_epoch"].astype("Int64")
    rows["status"] = counted(key, single["status"]).reindex(rows.index)
    return rows[[*COLUMNS, *extra]].reset_index(drop=True)


def sort(rows: pd.DataFrame, column: str = "val_acc") -> pd.DataFrame:
    """Numbers from the highest, text from a to z; rows without a value last; ties by val accuracy."""
    if column not in COLUMNS:
        raise ReportError(f"--sort {column}: no such column{nearest(column, COLUMNS)}; there are {', '.join(COLUMNS)}")
    for by in ("val_acc", column):
        up = not pd.api.types.is_numeric_dtype(rows[by].dtype)
        rows = rows.sort_values(by, ascending=up, kind="stable", na_position="last")
    return rows.reset_index(drop=True)


def telling(runs: pd.DataFrame) -> list[str]:
    """The columns of `runs` that tell rows apart which are alike in all of SETTINGS (augment.flip, data.size, ...)."""
    asked = [column for column in runs.columns if "." in column and not column.startswith(ELSEWHERE)]
    resolved = ["precision", "memory_format", "data_fingerprint"]
    firsts = runs.groupby(keys(runs), sort=False).first()
    alike = firsts.groupby([column for column in SETTINGS if column != "weights"], dropna=False, sort=False)
    # a key that one of them doesn't have (kwargs) is a difference, a fact that is not known yet is none
    varies = pd.concat([alike[resolved].nunique(), alike[asked].nunique(dropna=False)], axis=1).gt(1).any()
    return [str(column) for column in varies.index[varies]]


def keys(runs: pd.DataFrame) -> "pd.Series[str]":
    """What makes runs replicates of each other: the identity, or for a broken run that lost it, nothing."""
    return runs["identity"].fillna(runs["folder"]).rename("key")


def names(runs: pd.DataFrame) -> "pd.Series[str]":
    """The weights as asked for each identity; one that was asked for under several names has them all."""
    asked: dict[str, set[str]] = {}
    for key, name in zip(keys(runs), runs["weights"], strict=True):
        asked.setdefault(key, set()).update(name.split("+") if isinstance(name, str) else [])
    return pd.Series({key: "+".join(sorted(some)) or None for key, some in asked.items()}, dtype="str")


def counted(key: "pd.Series[str]", status: "pd.Series[str]") -> "pd.Series[str]":
    """`done` where all are (the seeds say how many), `failed` for one run, else `2 done, 1 failed`."""
    counts: dict[str, Counter[str]] = {}
    for one, word in zip(key, status, strict=True):
        counts.setdefault(one, Counter())[word] += 1
    texts = {}
    for one, count in counts.items():
        plain = len(count) == 1 and ("done" in count or count.total() == 1)
        texts[one] = next(iter(count)) if plain else ", ".join(f"{count[s]} {s}" for s in STATUSES if count[s])
    return pd.Series(texts, dtype="str")
