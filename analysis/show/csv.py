"""The comparison table as CSV, for programs and spreadsheets."""

from typing import Any

import pandas as pd

from analysis.show.cells import MEASURED
from training.console.table import visible

ACTS = tuple("=+-@\t")  # what a cell begins with that a spreadsheet may take for a formula


def csv_text(rows: pd.DataFrame) -> str:
    """Comma-separated; what was measured with 4 decimals, what was asked for (lr, ...) in full. Text that a spreadsheet
    would take for a formula gets an apostrophe before it, control characters are written as in JSON."""
    shown = rows.round(dict.fromkeys(MEASURED, 4))
    words = [name for name in shown.columns if not pd.api.types.is_numeric_dtype(shown[name].dtype)]
    shown = shown.assign(**{name: shown[name].map(inert, na_action="ignore") for name in words})
    return str(shown.rename(columns=inert).to_csv(index=False))


def raw_csv_text(rows: pd.DataFrame) -> str:
    """The same with all text as it is, for programs that trust its source."""
    return str(rows.round(dict.fromkeys(MEASURED, 4)).to_csv(index=False))


def inert(value: Any) -> Any:
    """A cell that does nothing in a spreadsheet or a terminal; a number as it is, as text too."""
    if not isinstance(value, str):
        return value
    text = visible(value)
    return f"'{text}" if text.startswith(ACTS) and not is_number(text) else text


def is_number(text: str) -> bool:
    """Whether a spreadsheet takes `text` for a plain number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
