"""The cells of the comparison table as people read them; what the formats share."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis.model.table import CHANCES, COMPARED, COMPARED_NUMBERS, MEANS, PLACE, SETTINGS
from analysis.model.wording import level_texts, signed
from analysis.read.distinguish import group_columns, hidden_columns, short_identities
from analysis.statistics.metric_names import ACCURACY, CALIBRATION, METRICS
from training.console.table import visible

# columns of metrics other than accuracy, with their metric
JUDGED = {f"{split}_{one.column}": one for one in METRICS.values() if one is not ACCURACY for split in ("val", "test")}
MEASURED = (*MEANS, *COMPARED_NUMBERS, *JUDGED, *CALIBRATION)
KEPT = ("model", "val_acc", "test_acc", "status")  # columns that are there though all their cells are empty
COSTS = ("images_per_s", "minutes", "latency_ms")  # that nobody needs to three digits


def readable(rows: pd.DataFrame) -> pd.DataFrame:
    """The columns of a comparison as people read them: settings first, then 98.5 ± 0.7 (standard deviation of the
    seeds), an interval beside the test accuracy, and the difference from the reference with its interval; keys that
    follow from a choice (augment=standard) are left out, and `id` is what --reference takes. Others are left as they
    are."""
    if COMPARED[0] not in rows:
        return rows
    hidden = {*COMPARED, *PLACE, *CHANCES, *hidden_columns(rows)}
    shown: dict[str, Any] = {name: rows[name] for name in rows.columns if name not in hidden}
    for split in ("val", "test"):
        shown[f"{split}_acc"] = accuracy_cells(rows, split)
    low, high = (rows[name].tolist() for name in ("test_low", "test_high"))
    form = f".{decimals(rows)}f"
    shown["test_95"] = [None if pd.isna(b) else f"{b:{form}} to {c:{form}}" for b, c in zip(low, high, strict=True)]
    shown["diff"] = difference_cells(rows)
    shown["mark"] = rows["mark"]
    if "identity" in rows:
        shown["id"] = short_identities(rows["identity"])
    judged = [name for name in shown if name in JUDGED]  # by another metric than accuracy
    order = ["seeds", "val_acc", "test_acc", *judged, "test_95", "diff", "mark", "collapsed", "pareto"]
    asked = [name for name in shown if name in SETTINGS or "." in name or name in group_columns(rows)]
    asked += [name for name in ("precision", "memory_format", "data_fingerprint") if name in shown]
    asked = [name for name in dict.fromkeys(asked) if name not in order]
    order = [name for name in order if name in shown]
    after = [name for name in shown if name not in (*order, *asked, "id")]
    last = ["id"] if "id" in shown else []
    return pd.DataFrame(shown, index=rows.index)[[*asked, *order, *after, *last]]


def accuracy_cells(rows: pd.DataFrame, split: str) -> list[str | None]:
    """Accuracies of `split` with the digits that they deserve, and the standard deviation of the seeds where there are
    several."""
    digits = accuracy_digits(rows)
    means, deviations = rows[f"{split}_acc"].tolist(), rows[f"{split}_sd"].tolist()
    return [
        _number("" if pd.isna(mean) else f"{mean:.{digits}f}", f" ± {sd:.{digits}f}", sd)
        for mean, sd in zip(means, deviations, strict=True)
    ]


def accuracy_digits(rows: pd.DataFrame) -> int:
    """Decimals of accuracies in per cent: two where the intervals of the table are narrower than a point each way
    (thousands of images), else one."""
    if any(name in JUDGED for name in rows):  # whose intervals these are
        return 1
    half = ((rows["test_high"] - rows["test_low"]) / 2).dropna()
    return 2 if len(half) and float(half.median()) < 1 else 1


def difference_cells(rows: pd.DataFrame) -> list[str | None]:
    """A difference in points and its interval, from three columns: +1.4 [-1.8, 4.7]."""
    diff, low, high = (rows[name].tolist() for name in ("diff", "diff_low", "diff_high"))
    form = f".{decimals(rows)}f"
    return [
        _number("" if pd.isna(a) else signed(a, f"+{form}"), f" [{b:{form}}, {c:{form}}]", b)
        for a, b, c in zip(diff, low, high, strict=True)
    ]


def decimals(rows: pd.DataFrame) -> int:
    """Of the intervals and differences of a comparison: what its metric deserves."""
    return max([metric.decimals for name, metric in JUDGED.items() if name in rows], default=1)


def shared_columns(columns: dict[str, list[str]], eyes: pd.DataFrame) -> list[str]:
    """The columns that say the same in all rows and so can be said once. Results stay, and any status but done. `eyes`:
    what `columns` are the texts of."""
    one, groups = len(columns["model"]) == 1, group_columns(eyes)
    settings = [name for name in columns if name in SETTINGS[1:] or "." in name or name in groups]
    candidates = [*settings, *(["seeds", "status"] if one else ["seeds", "params", "status"])]
    candidates = [name for name in candidates if name in columns]
    same = [name for name in candidates if len(set(columns[name])) == 1]
    return [name for name in same if name != "status" or columns[name][0] == "done"]


def common_line(common: dict[str, str]) -> str:
    """What all rows share, on one line: lr=0.001, epochs=6. Weights as resolved only where that is not their name."""
    resolved = common.get("weights_resolved")
    same = resolved is not None and resolved.lower() == common.get("weights", "").lower()
    shown = {name: value for name, value in common.items() if not (same and name == "weights_resolved")}
    return ", ".join(f"{visible(name)}={value}" for name, value in shown.items())


def columns_and_constants(rows: pd.DataFrame) -> tuple[dict[str, list[str]], set[str], dict[str, str]]:
    """What a table to paste shows: columns of text, but for those without any value; which of them are numbers; and
    what all rows share."""
    eyes = readable(rows)
    if len(rows):
        eyes = eyes.drop(columns=[name for name in eyes.columns if name not in KEPT and eyes[name].isna().all()])
    columns = texts(eyes)
    common = {name: columns.pop(name)[0] for name in shared_columns(columns, eyes)} if len(rows) else {}
    return columns, number_columns(eyes), common


def texts(rows: pd.DataFrame, missing: str = "") -> dict[str, list[str]]:
    """The cells of each column as text: numbers with the digits that they deserve."""
    return {str(name): column_texts(str(name), column.tolist(), missing) for name, column in rows.items()}


def column_texts(name: str, values: Sequence[Any], missing: str) -> list[str]:
    """Of one column: what was measured with as many digits as it is known to, settings with as many as tell them
    apart."""
    if name == "params":
        return [missing if pd.isna(value) else short_count(int(value)) for value in values]
    settings = iter(level_texts([value for value in values if isinstance(value, float) and not pd.isna(value)]))

    def text(value: Any) -> str:
        if not isinstance(value, float):
            return missing if value is None or value is pd.NA else visible(" ".join(str(value).split()))
        if pd.isna(value):
            return missing
        setting = next(settings)
        if name in COSTS:
            return three_digits(value)
        if name in ("best_epoch", "collapsed"):
            return f"{value:.1f}"
        if name in CALIBRATION or (name in JUDGED and JUDGED[name].decimals > 1):
            return f"{value:.3f}"
        return f"{value:.2f}" if name in (*MEANS, *JUDGED, "published", "own") else setting

    return [text(value) for value in values]


def three_digits(value: float) -> str:
    """8080, 180, 1.25, 0.0182."""
    return f"{float(f'{value:.3g}'):.0f}" if value >= 100 else f"{value:.3g}"


def short_count(count: int) -> str:
    """570, 11.2k, 11.18M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.2f}{letter}"
    return str(count)


def number_columns(rows: pd.DataFrame) -> set[str]:
    """The columns that hold numbers."""
    numeric = {str(name) for name, column in rows.items() if pd.api.types.is_numeric_dtype(column.dtype)}
    return numeric | {*JUDGED, *CALIBRATION, "lr", "val_acc", "test_acc", "test_95", "diff"}


def _number(value: str, addition: str, known: float) -> str | None:
    """`value`, and `addition` to it where that is `known`."""
    return f"{value}{'' if math.isnan(known) else addition}" or None
