"""Image files listed in a CSV as a source: data=folder data.csv=FILE, columns path,label[,split].

Paths are relative to data.root, else to the CSV's folder; a file below it has its relative path as its name, however it
is written. Splits may be called what split folders may be called.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from training.console.csv_table import CsvRow, read_csv_table
from training.data.files.image_listing import ImageFile, class_name
from training.data.files.split_names import split_names
from training.errors import ConfigError

LONGEST_NAME = 255  # bytes of one part of a path, on all usual file systems


def from_csv(file: Path, folder: Path) -> list[ImageFile]:
    """The rows of a CSV whose paths are relative to `folder`. Raises ConfigError with the line number."""
    named = f"data.csv={file}"
    _, table = read_csv_table(file, named, ("path", "label"), "[,split]")
    splits = _splits(table, named)
    rows = []
    for line, cells in table:
        if not cells["path"] or not cells["label"]:
            raise ConfigError(f"{named} line {line}: the {'label' if cells['path'] else 'path'} is empty")
        name = _name(cells["path"], folder)
        label = class_name(cells["label"])
        split = splits.get(cells.get("split", ""), "")
        rows.append(ImageFile(name, folder / name, label, split, "" if label == cells["label"] else cells["label"]))
    lines = [row.line for row in table]
    _check_each_once(rows, lines, named)
    _check_existing(rows, lines, named, folder)
    for line, row in zip(lines, rows, strict=True):
        if not row.split and any(other.split for other in rows):
            raise ConfigError(f"{named} line {line}: the split is empty, but other rows have one")
    return rows


def column_of(file: Path, folder: Path, column: str) -> dict[str, str]:
    """What a column of the CSV says of each image, by its name. Raises ConfigError where there is no such column."""
    named = f"data.csv={file}"
    columns, table = read_csv_table(file, named, ("path", "label"), "[,split]")
    if column.lower() not in columns:
        raise ConfigError(f"data.group_by={column}: {named} has no such column, but {', '.join(columns)}")
    return {_name(cells["path"], folder): cells.get(column.lower(), "") for _, cells in table}


def _splits(table: Sequence[CsvRow], named: str) -> dict[str, str]:
    """What each word in the column split stands for: train, val or test."""
    first: dict[str, int] = {}
    for line, cells in table:
        first.setdefault(cells.get("split", ""), line)
    first.pop("", None)
    found = split_names(first)
    for word, line in first.items():
        if word not in found:
            raise ConfigError(f"{named} line {line}: split {word}, expected train, val or test")
    return found


def _name(written: str, folder: Path) -> str:
    """The image's name: relative to `folder` where it lies below it, with /."""
    if not os.path.isfile(folder / written):  # noqa: PTH113 (Path's raises for a name too long)
        written = written.replace("\\", "/")  # Windows'
    whole = os.path.normpath(folder / written)
    inside = os.path.relpath(whole, folder)
    return os.path.normpath(written) if inside.startswith("..") else inside


def _check_each_once(rows: Sequence[ImageFile], lines: Sequence[int], named: str) -> None:
    """Raise ConfigError for a file that is listed twice, and for one that is listed under two labels by two links (hard
    ones too)."""
    first: dict[str, int] = {}
    files: dict[tuple[int, int], int] = {}
    for index, (row, line) in enumerate(zip(rows, lines, strict=True)):
        before = first.setdefault(row.name, index)
        if before != index:
            other = rows[before].label
            labels = f", as {other}" if other != row.label else ""
            raise ConfigError(f"{named} line {line}: {row.name} is on line {lines[before]} already{labels}")
        try:
            found = row.path.stat()
        except (OSError, ValueError):  # told below
            continue
        before = files.setdefault((found.st_dev, found.st_ino), index)
        if rows[before].label != row.label:
            same = f"the same file as {rows[before].name} on line {lines[before]}"
            raise ConfigError(f"{named} line {line}: {row.name} is {same}, which is {rows[before].label} there")


def _check_existing(rows: Sequence[ImageFile], lines: Sequence[int], named: str, folder: Path) -> None:
    """Raise ConfigError for the first path that is no file, with the number of the others."""
    missing = [(line, row) for line, row in zip(lines, rows, strict=True) if not os.path.isfile(row.path)]  # noqa: PTH113
    if not missing:
        return
    line, row = missing[0]
    if any(len(os.fsencode(part)) > LONGEST_NAME for part in row.path.parts):
        longest = max(row.path.parts, key=len)
        raise ConfigError(f"{named} line {line}: the path is too long for a file: {longest[:40]}... ({len(longest)})")
    more = f", and {len(missing) - 1} more of its paths" if len(missing) > 1 else ""
    raise ConfigError(f"{named} line {line}: no such file: {row.path}{more} (paths are relative to {folder})")
