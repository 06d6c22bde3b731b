"""Runs that came to nothing, and seeds that stand apart: what a mean over seeds does not show."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis.model.table import distinct, row_keys
from analysis.model.wording import plural
from analysis.statistics.comparisons import Comparisons
from analysis.statistics.spread import outlying

COLLAPSED = ("diverged", "failed")


def counts(runs: pd.DataFrame) -> pd.DataFrame:
    """How many runs of each row are done, diverged and failed."""
    single = distinct(runs)
    table = pd.crosstab(row_keys(single), single["status"])
    return table.reindex(columns=["done", *COLLAPSED], fill_value=0)


def add_collapsed(rows: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """`rows` with a column `collapsed` where there are any: the share of a row's runs that diverged or failed, in per
    cent."""
    table = counts(runs).reindex(rows.index, fill_value=0)
    if not table[list(COLLAPSED)].to_numpy().any():
        return rows
    share = 100 * table[list(COLLAPSED)].sum(axis=1) / table.sum(axis=1).clip(lower=1)
    return rows.assign(collapsed=share.round(1).astype("float64"))


def collapse_texts(runs: pd.DataFrame) -> dict[str, str]:
    """`2 of 4 runs diverged` for each row with a mean that some of its runs are missing from."""
    texts = {}
    for key, done, *others in counts(runs).itertuples():
        words = [f"{count} {word}" for count, word in zip(others, COLLAPSED, strict=True) if count]
        if words and done:
            lost = sum(others)
            which = words[0].split()[1] if len(words) == 1 else f"came to nothing ({', '.join(words)})"
            texts[str(key)] = f"{lost} of {done + lost} runs {which}"
    return texts


def collapse_lines(runs: pd.DataFrame, comparisons: Comparisons, labels: Mapping[str, str]) -> list[str]:
    """A caution for each such row, and for one that val would have picked."""
    done = counts(runs)["done"]
    texts = collapse_texts(runs)
    lines = [
        f"{labels[key]}: {text}, its mean is of the other {done[key]}" for key, text in texts.items() if key in labels
    ]
    passed = comparisons.passed_over
    if passed is not None and passed in labels:
        lines.append(
            f"{labels[passed]} has the best val accuracy, but half of its runs or more diverged: it was not picked as "
            "the reference"
        )
    return lines


def outlying_lines(runs: pd.DataFrame, labels: Mapping[str, str]) -> list[str]:
    """A caution for each run that stands further from the others of its row than seeds do in this table."""
    done = distinct(runs)
    done = done[(done["status"] == "done") & done["test_acc"].notna()]
    groups = {str(key): some for key, some in done.groupby(row_keys(done), sort=False)}
    found = outlying([some["test_acc"].to_numpy(dtype=float) for some in groups.values()])
    lines = []
    for (key, some), numbers in zip(groups.items(), found, strict=True):
        for number in numbers:
            run = some.iloc[number]
            others = np.delete(some["test_acc"].to_numpy(dtype=float), number)
            value, mean = float(run["test_acc"]), float(others.mean())
            away = f"{abs(value - mean):.1f} points {'below' if value < mean else 'above'}"
            lines.append(
                f"seed {run['seed']} of {labels.get(key, key)} has {value:.1f} % test accuracy, {away} the mean of its "
                f"{len(others)} other seed{plural(len(others))} ({run['folder']})"
            )
    return lines
