"""Reports on runs with several test sets: a model for each, which is judged by itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.model.image_sets import describe
from analysis.model.judging import Judging
from analysis.model.model import ReportModel, build, with_texts
from analysis.read.records import ReportError


@dataclass(frozen=True)
class OfOneTestSet:
    """The report on the runs of one test set. `number`: from 1; `notes`: which options did not apply to it."""

    number: int
    title: str
    model: ReportModel
    notes: list[str]

    @property
    def rows_with_number(self) -> pd.DataFrame:
        """Its rows with a column `test_set`."""
        return self.model.rows.assign(test_set=self.number)


def models_of(
    parts: Sequence[pd.DataFrame],
    sort_by: str,
    reference: str | None,
    interaction: Sequence[str] | None,
    judging: Sequence[Judging],
) -> list[OfOneTestSet]:
    """A report on the runs of each test set, with its texts; `judging`: by what its rows are compared. A reference or
    an interaction needs to be found in one of them; raises ReportError where it is in none."""
    found = []
    wrong: dict[str, list[ReportError]] = {"reference": [], "interaction": []}
    for number, (runs, by) in enumerate(zip(parts, judging, strict=True), 1):
        title = f"test set {number} of {len(parts)} ({describe(runs)}), judged by itself"
        notes = []
        try:
            plain = build(runs, sort_by, reference, by)
        except ReportError as error:
            if reference is None:
                raise
            wrong["reference"].append(error)
            plain = build(runs, sort_by, None, by)
            notes.append(f"{error}; here the reference was picked by val")
        try:
            model = with_texts(plain, interaction)
        except ReportError as error:
            wrong["interaction"].append(error)
            model = with_texts(plain)
            notes.append(str(error))
        found.append(OfOneTestSet(number, title, model, notes))
    for errors in wrong.values():
        if len(errors) == len(parts):
            raise errors[0]
    return found


def numbered(file: Path, number: int) -> Path:
    """The file of a page: as it was named for the first test set, page-2.html for the second."""
    return file if number == 1 else file.with_stem(f"{file.stem}-{number}")
