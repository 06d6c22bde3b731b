"""The comparison table as JSON, for programs."""

import json

import pandas as pd

from analysis.show.cells import MEASURED
from training.console.table import visible


def json_text(rows: pd.DataFrame) -> str:
    """A list with an object a row; null where there is no value."""
    plain = rows.round(dict.fromkeys(MEASURED, 4)).astype(object)
    text = json.dumps(plain.where(plain.notna(), None).to_dict("records"), indent=2, ensure_ascii=False)
    return visible(text) + "\n"  # in strings alone, where it stands for the same character
