"""The cells of the comparison table as people read them; what the formats share."""

import math
from typing import Any

import pandas as pd

from analysis.model.table import CHANCES, COMPARED, COMPARED_NUMBERS, MEANS, SETTINGS
from analysis.model.wording import signed
from analysis.statistics.metric_names import ACCURACY, CALIBRATION, METRICS
from training.console.table import visible

# columns of metrics other than accuracy, with their metric
JUDGED = {f"{split}_{one.column}": one for one in METRICS.values() if one is not ACCURACY for split in ("val", "test")}
MEASURED = (*MEANS, *COMPARED_NUMBERS, *JUDGED, *CALIBRATION)


def readable(rows: pd.DataFrame) -> pd.DataFrame:
    """The columns of a comparison as people read them: 98.50 ± 0.71 (standard deviation of the seeds), an interval
    beside the test accuracy, and the difference from the reference with its interval. Others are left as they are."""
    if COMPARED[0] not in rows:
        return rows
    shown: dict[str, Any] = {name: rows[name] for name in rows.columns if name not in (*COMPARED, *CHANCES)}
    for name, sd in (("val_acc", "val_sd"), ("test_acc", "test_sd")):
        if rows[sd].notna().any():
            shown[name] = [_number(f" ± {b:.2f}", a, b) for a, b in zip(rows[name], rows[sd], strict=True)]
    low, high = (rows[name].tolist() for name in ("test_low", "test_high"))
    form = f".{decimals(rows)}f"
    shown["test_95"] = [_number(f"{b:{form}} to {c:{form}}", math.nan, b) for b, c in zip(low, high, strict=True)]
    shown["diff"] = difference_cells(rows)
    shown["mark"] = rows["mark"]
    judged = [name for name in shown if name in JUDGED]  # by another metric than accuracy
    order = ["seeds", "val_acc", "test_acc", *judged, "test_95", "diff", "mark"]
    order += [name for name in shown if name == "collapsed"]
    before = [name for name in shown if name not in order and name in SETTINGS]
    after = [name for name in shown if name not in order and name not in SETTINGS]
    return pd.DataFrame(shown, index=rows.index)[[*before, *order, *after]]


def difference_cells(rows: pd.DataFrame) -> list[str | None]:
    """A difference in points and its interval, from three columns: +1.4 [-1.8, 4.7]."""
    diff, low, high = (rows[name].tolist() for name in ("diff", "diff_low", "diff_high"))
    form = f".{decimals(rows)}f"
    return [_number(f" [{b:{form}}, {c:{form}}]", a, b, f"+{form}") for a, b, c in zip(diff, low, high, strict=True)]


def decimals(rows: pd.DataFrame) -> int:
    """Of the intervals and differences of a comparison: what its metric deserves."""
    return max([metric.decimals for name, metric in JUDGED.items() if name in rows], default=1)


def shared_columns(columns: dict[str, list[str]]) -> list[str]:
    """The columns that say the same in all rows and so can be said once. Results stay, and any status but done."""
    one = len(columns["model"]) == 1
    candidates = [name for name in (*SETTINGS[1:], "seeds", "params", "status") if not (one and name == "params")]
    candidates = [name for name in candidates if name in columns]
    same = [name for name in candidates if len(set(columns[name])) == 1]
    return [name for name in same if name != "status" or columns[name][0] == "done"]


def texts(rows: pd.DataFrame, missing: str = "") -> dict[str, list[str]]:
    """The cells of each column as text; what was measured with 2 decimals."""

    def text(name: str, value: object) -> str:
        if not isinstance(value, float):
            return missing if value is None or value is pd.NA else visible(" ".join(str(value).split()))
        if pd.isna(value):
            return missing
        if name in CALIBRATION or (name in JUDGED and JUDGED[name].decimals > 1):
            return f"{value:.3f}"
        return f"{value:.2f}" if name in (*MEANS, *JUDGED, "published", "own") else f"{value:g}"

    return {str(name): [text(str(name), value) for value in column.tolist()] for name, column in rows.items()}


def number_columns(rows: pd.DataFrame) -> set[str]:
    """The columns that hold numbers."""
    numeric = {str(name) for name, column in rows.items() if pd.api.types.is_numeric_dtype(column.dtype)}
    return numeric | {*JUDGED, *CALIBRATION, "lr", "val_acc", "test_acc", "test_95", "diff"}


def _number(addition: str, value: float, known: float, form: str = ".2f") -> str | None:
    """`value` as text, and `addition` where that is `known`."""
    parts = ["" if pd.isna(value) else signed(value, form), "" if pd.isna(known) else addition]
    return "".join(parts) or None
