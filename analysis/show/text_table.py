"""The report as text for a terminal: the comparison table, as wide as the terminal, and under it what it means."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from analysis.model.wording import unit
from analysis.show.cells import KEPT, common_line, difference_cells, number_columns, readable, shared_columns, texts
from analysis.show.layout import COLUMN_GAP, layout
from training.console.table import visible

if TYPE_CHECKING:
    from analysis.model.model import ReportModel

MOST_ROWS = 100  # that anybody reads in a terminal


def report_text(model: "ReportModel", heading: str, notes: Sequence[str], failures: Sequence[str]) -> str:
    """The table for the eye, and under it all that is to be said."""
    lines = [*notes, *model.sentences]
    if effects := [*model.effects, *model.interaction]:
        what = unit(model.judging.metric)
        title = f"What matters ({what}; all other settings matched, p corrected over all effects):"
        lines += [title, *(f"  {line}" for line in effects)]
    lines += [f"caution: {line}" for line in model.cautions] + list(failures)
    if len(model.rows) > MOST_ROWS:
        lines.insert(0, f"({len(model.rows) - MOST_ROWS} more rows; --format csv has all, --where chooses)")
    return table_text(model.rows[:MOST_ROWS], heading, lines) + "".join(f"{visible(line)}\n" for line in model.commands)


def side_by_side_text(rows: pd.DataFrame, heading: str) -> str:
    """Published and own numbers, row by row."""
    shown = rows.drop(columns=["diff_low", "diff_high"])
    shown["diff"] = difference_cells(rows)
    return table_text(shown, heading, ["diff: own - published, in points of test accuracy, with a 95 % interval"])


def table_text(rows: pd.DataFrame, heading: str, notes: Sequence[str] = ()) -> str:
    """The table as wide as the terminal (80 columns in a pipe; COLUMNS=120 sets another), with `notes` below.

    Nothing is cut off: what all rows have in common moves to a line below, and a table that is still too wide is laid
    out in blocks with the same row numbers: settings beside the accuracies first.
    """
    from rich import box  # here, since the other formats do without rich
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, markup=False, emoji=False)
    eyes = readable(rows)
    unknown = [name for name in eyes.columns if name not in KEPT and eyes[name].isna().all()]
    eyes = eyes.drop(columns=unknown)  # of a published table
    columns = texts(eyes, missing="-")
    common = {name: columns.pop(name)[0] for name in shared_columns(columns, eyes)}
    blocks, heads = layout(columns, console.width)
    if len(blocks) > 1 and "status" in columns:
        columns["status"] = [status.replace(", ", ",\n") for status in columns["status"]]
        blocks, heads = layout(columns, console.width)
    columns["#"] = [str(number) for number in range(1, len(rows) + 1)]
    right = {"#", *number_columns(eyes)}
    with console.capture() as capture:
        console.print(Text(f"{visible(heading)}\n"))
        for block in blocks:
            grid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, COLUMN_GAP - 1, 0, 0))
            for name in block:
                grid.add_column(
                    Text(visible(heads[name])), justify="right" if name in right else "left", overflow="fold"
                )
            for cells in zip(*(columns[name] for name in block), strict=True):
                grid.add_row(*map(Text, cells))
            console.print(grid, Text())
        if common:
            console.print(Text(f"all rows: {common_line(common)}"))
        for note in notes:
            console.print(Text(visible(note)))
    return capture.get()
