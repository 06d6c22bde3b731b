"""What choosing a row costs, as columns of the table and as its headline."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis.model.table import CHANCES
from analysis.model.wording import plural
from analysis.statistics.best import Chance, chances, interquartile_mean, probability_of_improvement, still_best
from analysis.statistics.comparisons import Comparisons
from analysis.statistics.results import RowResults

MOST_NAMES = 5


def add_chances(
    rows: pd.DataFrame, found: Mapping[str, Chance], results: Mapping[str, RowResults], reference: str | None
) -> pd.DataFrame:
    """`rows` with those of the columns CHANCES that are known for some: probability of being the best, of being within
    --matters of the best, expected points lost by choosing this row; interquartile mean of its seeds in per cent, and
    probability that a run of it is better than one of the reference."""
    base = results.get(reference or "")
    columns: dict[str, list[float]] = {name: [] for name in CHANCES}
    for key in map(str, rows.index):
        chance, row = found.get(key), results.get(key)
        columns["p_best"].append(chance.best if chance else np.nan)
        columns["p_near"].append(chance.near if chance else np.nan)
        columns["regret"].append(chance.regret_points if chance else np.nan)
        columns["iqm"].append(interquartile_mean(row.test_percent) if row else np.nan)
        compared = row is not None and base is not None and row is not base
        columns["p_improvement"].append(
            probability_of_improvement(row.test_percent, base.test_percent) if compared and row and base else np.nan
        )
    series = {name: pd.Series(values, rows.index, dtype="float64").round(4) for name, values in columns.items()}
    return rows.assign(**{name: column for name, column in series.items() if column.notna().any()})


def headline(found: Mapping[str, Chance], labels: Mapping[str, str], matters: float | None) -> str:
    """Which rows can still be the best, and what choosing the likeliest costs."""
    if not found:
        return ""
    kept = still_best(found)
    names = [f"{labels[key]} ({_per_cent(found[key].best)})" for key in kept[:MOST_NAMES]]
    more = f" and {len(kept) - MOST_NAMES} more" if len(kept) > MOST_NAMES else ""
    first = found[kept[0]]
    if len(kept) == 1:
        text = f"1 of {len(found)} rows is the best with a probability of {_per_cent(first.best)}: {labels[kept[0]]}"
    else:
        text = f"{len(kept)} of {len(found)} rows can still be the best: {', '.join(names)}{more}"
    text += f". Choosing {labels[kept[0]]} is expected to cost {first.regret_points:.1f} points of test accuracy"
    if matters is not None:
        near = sum(one.near >= 0.95 for one in found.values())
        verb = "is" if near == 1 else "are"
        text += f"; {near} row{plural(near)} {verb} within {matters:g} points of the best with 95 %"
    return f"{text}."


def _per_cent(probability: float) -> str:
    """72 %; what is no certainty is not shown as one."""
    return f"{100 * probability:.0f} %" if probability < 0.995 else "over 99 %"


def row_chances(comparisons: Comparisons, results: Mapping[str, RowResults]) -> Mapping[str, Chance]:
    """Of the rows that were compared; none where nothing was run twice."""
    if comparisons.simulated is None:
        return {}
    return chances(results, comparisons.simulated, comparisons.criteria.matters)
