"""A table that a person wrote: CSV files with a header. Nothing is cut to fit; every complaint has the line number."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from training.errors import ConfigError

DELIMITERS = ",;\t"
OTHERS = {  # how files begin that are taken for CSVs
    b"PK\x03\x04": "a zip archive, such as a spreadsheet (.xlsx, .ods): save the table as CSV",
    b"\xd0\xcf\x11\xe0": "an Excel workbook (.xls): save the table as CSV",
    b"PAR1": "a Parquet file: save the table as CSV",
    b"%PDF": "a PDF: copy the table into a CSV",
    b"\x1f\x8b": "compressed with gzip: unpack it",
}


class CsvRow(NamedTuple):
    """`line`: where the row begins in the file; `cells`: by column name, stripped of blanks."""

    line: int
    cells: dict[str, str]


def read_csv_table(file: Path, named: str, needed: Sequence[str], more: str = "") -> tuple[list[str], list[CsvRow]]:
    """Column names, in lower case, and the rows of a CSV with , ; or tab between cells, in UTF-8, with a BOM or not.

    `named`: what to call it in messages, such as data.csv=FILE; `needed`: columns that have to be there; `more`:
    what messages add to these. Blank lines are passed over. Raises ConfigError for anything that could only be read by
    guessing: cells too many or too few, a column given twice, a quote that isn't closed, another encoding.
    """
    text = _text(file, named)
    header = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=header.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    found: list[tuple[int, list[str]]] = []
    before = 0
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                found.append((before + 1, [cell.strip() for cell in cells]))
            before = reader.line_num
    except csv.Error as error:
        reason = "a quote is opened and not closed" if "end of data" in str(error) else str(error)
        raise ConfigError(f"{named} line {before + 1}: {reason}") from error
    columns = _columns(found[0][1] if found else [], named, needed, more)
    if len(found) < 2:
        raise ConfigError(f"{named} has no rows below its header")
    return [name for name in columns if name], [_row(line, cells, columns, named) for line, cells in found[1:]]


def _text(file: Path, named: str) -> str:
    try:
        if file.exists() and not file.is_file():  # a pipe would be waited for
            raise ConfigError(f"{named}: {'a folder' if file.is_dir() else 'no file'}, expected a file")
        data = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{named}: {(error.strerror or 'not readable').lower()}") from error
    if what := next((what for start, what in OTHERS.items() if data.startswith(start)), ""):
        raise ConfigError(f"{named} is not a CSV but {what}")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ConfigError(f"{named} is not UTF-8 text but UTF-16: save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"{named} line {line}: not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise ConfigError(f"{named} line {line}: a zero byte, which no text has; is it a CSV?")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _columns(cells: list[str], named: str, needed: Sequence[str], more: str) -> list[str]:
    """Names of the columns; empty for those at the end that have none."""
    columns = [cell.lower() for cell in cells]
    expected = f"expected the columns {','.join(needed)}{more}"
    if missing := [name for name in needed if name not in columns]:
        found = ",".join(cells) or "nothing"
        raise ConfigError(f"{named}: its first line has {found}, no column {', '.join(missing)}; {expected}")
    for place, name in enumerate(columns):
        if name and name in columns[:place]:
            raise ConfigError(f"{named}: its first line has the column {name} twice; {expected}, each once")
    return columns


def _row(line: int, cells: list[str], columns: list[str], named: str) -> CsvRow:
    """A row by column. Raises ConfigError where cells and columns don't fit."""
    header = ",".join(columns)
    if any(cells[len(columns) :]):
        raise ConfigError(
            f"{named} line {line} has {len(cells)} cells, but the header {len(columns)} ({header}): a text with the "
            f'delimiter in it takes quotes, "{cells[len(columns) - 1]}, {cells[len(columns)]}" say'
        )
    if len(cells) < len(columns):
        missing = ", ".join(name or "without a name" for name in columns[len(cells) :])
        raise ConfigError(f"{named} line {line} has {len(cells)} cell(s), but the header {len(columns)}: no {missing}")
    for name, cell in zip(columns, cells, strict=False):
        if cell and not name:
            raise ConfigError(f"{named} line {line}: {cell} stands in a column without a name")
    return CsvRow(line, {name: cell for name, cell in zip(columns, cells, strict=False) if name})
