"""Which test images have a copy in train, as training.audit --csv tells it, for runs that were made without looking."""

import csv
from pathlib import Path

import pandas as pd

from analysis.read.records import ReportError
from analysis.read.run_folder import read, without_twins

NEEDED = {"kind", "image", "split"}


def with_twins_of(runs: pd.DataFrame, file: Path) -> pd.DataFrame:
    """`runs` with test_twins and test_without_twins by the test images that `file` says are in train. Raises
    ReportError."""
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, ValueError, csv.Error) as error:
        raise ReportError(f"--twins {file}: {getattr(error, 'strerror', None) or error}") from None
    if rows and not set(rows[0]) >= NEEDED:
        raise ReportError(
            f"--twins {file}: expected the CSV of training.audit --csv (columns {', '.join(sorted(NEEDED))})"
        )
    named = {row["image"] for row in rows if row["kind"] == "leak" and row["split"] == "test"}
    found = [without_twins(folder, read(folder), named) for folder in map(Path, runs["folder"])]
    counts = pd.Series([one[0] for one in found], runs.index, dtype="Int64")
    return runs.assign(
        test_twins=counts, test_without_twins=pd.Series([one[1] for one in found], runs.index, dtype="float64")
    )
