"""The comparison table as CSV, for programs."""

import pandas as pd

from analysis.show.cells import MEASURED


def csv_text(rows: pd.DataFrame) -> str:
    """Comma-separated; what was measured with 4 decimals, what was asked for (lr, ...) in full."""
    return str(rows.round(dict.fromkeys(MEASURED, 4)).to_csv(index=False))
