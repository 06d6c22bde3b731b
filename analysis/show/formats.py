"""The comparison table in every format but the one for the terminal: name -> function of the rows."""

from collections.abc import Callable

import pandas as pd

from analysis.model.table import COLUMNS, COMPARED, OPTIONAL, PLACE
from analysis.show.csv import csv_text
from analysis.show.json import json_text
from analysis.show.latex import latex_text
from analysis.show.markdown import markdown_text

FORMATS: dict[str, Callable[[pd.DataFrame], str]] = {
    "markdown": markdown_text,
    "csv": csv_text,
    "json": json_text,
    "latex": latex_text,
}


def empty_rows() -> pd.DataFrame:
    """A table without rows."""
    return pd.DataFrame(columns=[*(name for name in COLUMNS if name not in OPTIONAL), *COMPARED, *PLACE])
