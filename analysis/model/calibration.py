"""Calibration of each row, from the predictions of its runs (--columns calibration)."""

from dataclasses import astuple
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.model.judging import scores_of
from analysis.model.row_results import judged_runs
from analysis.model.table import row_keys
from analysis.statistics.calibration import calibration
from analysis.statistics.metric_names import CALIBRATION


def add_calibration(rows: pd.DataFrame, runs: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """`rows` with the columns CALIBRATION, means over the runs of each; and a line for each run without."""
    done = judged_runs(runs)
    found: dict[str, list[tuple[float, ...]]] = {}
    lines = []
    for key, folder in zip(row_keys(done), done["folder"], strict=True):
        try:
            val, test, _ = scores_of(Path(folder))
        except ValueError as error:
            lines.append(f"{folder}: {error}; no calibration")
            continue
        one = calibration(test.labels, test.logits, val.labels, val.logits)
        found.setdefault(str(key), []).append(astuple(one))
    missing = np.full(len(CALIBRATION), np.nan)
    means = [np.mean(found[key], axis=0) if key in found else missing for key in map(str, rows.index)]
    columns = pd.DataFrame(np.array(means).reshape(len(rows), len(CALIBRATION)), rows.index, CALIBRATION)
    return pd.concat([rows, columns], axis=1), lines
