"""Tables and sentences in a terminal. (The report has formats of its own, analysis/show.)"""

import logging
import re
from collections.abc import Collection, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

# Control characters but for tab and line feed; marks that turn the direction of text; separators of lines; surrogates,
# which stand for the bytes of a file name that is not UTF-8 and can't be written
UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
Rows = Sequence[Sequence[str]]


def print_table(
    console: Console, headings: Sequence[str], *sections: Rows, words: Collection[str] = (), title: str | None = None
) -> None:
    """Print rows under `headings`, in sections with a line between them. Columns are numbers, to the right and never
    cut, but for those named in `words`: text, which is folded where the terminal is narrow. Nothing is markup."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in headings:
        if heading in words:
            table.add_column(Text(heading), overflow="fold")
        else:
            table.add_column(Text(heading), justify="right", no_wrap=True)
    for rows in sections:
        for row in rows:
            table.add_row(*map(Text, row))
        table.add_section()
    console.print(table)


def printable(text: str) -> str:
    """`text` on one line, without control characters: it may come from anywhere. Bytes that are not UTF-8 are written
    as `visible` writes them, so that a file's name can be told from others."""
    writable = text.encode("utf-8", "backslashreplace").decode()
    return " ".join("".join(one if one.isprintable() else " " for one in writable).split())


def visible(text: str) -> str:
    """`text` with what acts on a terminal or turns the order of characters written as it is in JSON: \\u202e."""
    return UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class VisibleRecord(logging.LogRecord):
    """A line of a log that is `visible`: names of files and classes in it come from anywhere."""

    def getMessage(self) -> str:
        """What is logged."""
        return visible(super().getMessage())


def print_lines(console: Console, lines: Sequence[str]) -> None:
    """Sentences as they are, a line each, broken by the terminal alone."""
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
