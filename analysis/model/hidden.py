"""What --where hides. Whole rows were there to choose the shown ones from, and marks allow for them; for single runs of
a row that were chosen by how they came out nothing can, and a line says so."""

from collections.abc import Sequence

import pandas as pd

from analysis.model.image_sets import test_sets
from analysis.model.row_results import judged_runs
from analysis.model.soups import without_soups
from analysis.model.splits import over_splits
from analysis.model.table import distinct, row_keys

ENDED = ("done", "diverged", "failed")


def hidden_rows(everything: pd.DataFrame, parts: Sequence[pd.DataFrame], over_split: bool) -> list[int]:
    """For each of `parts`, the shown runs of one test set (a part of `everything`, by index): how many further rows
    would be compared on its test set if nothing was hidden. A row counts if it has a test accuracy and none of its runs
    on that test set is shown, whatever row it is: also the one that would have been the reference. Soups don't count:
    they are never compared. `over_split`: whether rows that differ by the split of the data alone are one."""
    if sum(map(len, parts)) == len(everything):
        return [0] * len(parts)
    rows = without_soups(over_splits(everything) if over_split else everything)
    sets, keys = test_sets(rows), row_keys(rows)
    judged = judged_runs(rows).index
    found = []
    for part in parts:
        here = rows.index.intersection(part.index)
        tested = here.intersection(judged)
        same = judged[sets.loc[judged].isin(sets.loc[tested if len(tested) else here])]
        found.append(len({*keys.loc[same]} - {*keys.loc[here]}))
    return found


def partly_hidden(everything: pd.DataFrame, shown: pd.DataFrame, over_split: bool) -> list[str]:
    """A line where runs that came to an end, however, are hidden while others of their row are shown."""
    if len(shown) == len(everything):
        return []
    rows = distinct(over_splits(everything) if over_split else everything)
    ended = rows[rows["status"].isin(ENDED)]
    keys = row_keys(ended) + test_sets(ended).astype("str")  # on another test set a row is another table's
    out = keys[~ended.index.isin(shown.index) & keys.isin({*keys[ended.index.isin(shown.index)]})]
    if out.empty:
        return []
    runs, count = f"{len(out)} run{'s' * (len(out) > 1)}", row_keys(ended.loc[out.index]).nunique()
    rows_shown = f"{count} rows that are shown" if count > 1 else "a row that is shown"
    why = (
        "if by how they came out (an accuracy, a status), means, intervals and marks are biased, and nothing allows for"
    )
    return [f"--where hides {runs} of {rows_shown}: {why} it"]
