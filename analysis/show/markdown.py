"""The comparison table in Markdown, to paste somewhere."""

import re
from collections.abc import Sequence

import pandas as pd

from analysis.show.cells import number_columns, readable, texts
from training.console.table import visible


def markdown_text(rows: pd.DataFrame) -> str:
    """A table in GitHub's Markdown."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(re.sub(r"([|<*`\\]|\](?=[(\[:]))", r"\\\1", cell) for cell in cells) + " |\n"

    rows = readable(rows)
    columns = texts(rows)
    rule = ["---:" if name in number_columns(rows) else "---" for name in columns]
    return line(list(map(visible, columns))) + line(rule) + "".join(map(line, zip(*columns.values(), strict=True)))
