"""The comparison table in Markdown, to paste somewhere; what all rows share below it."""

import re
from collections.abc import Sequence

import pandas as pd

from analysis.show.cells import columns_and_constants, common_line
from training.console.table import visible


def markdown_text(rows: pd.DataFrame) -> str:
    """A table in GitHub's Markdown."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(map(escaped, cells)) + " |\n"

    columns, right, common = columns_and_constants(rows)
    rule = ["---:" if name in right else "---" for name in columns]
    text = line(list(map(visible, columns))) + line(rule) + "".join(map(line, zip(*columns.values(), strict=True)))
    return text + (f"\nAll rows: {escaped(common_line(common))}\n" if common else "")


def escaped(text: str) -> str:
    """`text` without anything that Markdown acts on."""
    return re.sub(r"([|<*`\\]|\](?=[(\[:]))", r"\\\1", text)
