"""Image files listed in a CSV as a source: data=folder data.csv=FILE, columns path,label[,split]."""

import csv
import os
from pathlib import Path

from training.data.files.image_listing import ImageFile, unreadable
from training.errors import ConfigError

SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def from_csv(file: Path, folder: Path) -> list[ImageFile]:
    """The rows of a CSV whose paths are relative to `folder`. Raises ConfigError with the line number."""
    columns, lines = _table(file)
    rows: list[ImageFile] = []
    first: dict[str, int] = {}
    missing: list[tuple[int, Path]] = []
    for line, cells in lines:
        cell = dict(zip(columns, cells + [""] * len(columns), strict=False))
        label, split = cell["label"], cell.get("split", "").lower()
        if not cell["path"] or not label:
            raise ConfigError(f"data.csv={file} line {line}: the {'label' if cell['path'] else 'path'} is empty")
        if split and split not in SPLIT_NAMES:
            raise ConfigError(f"data.csv={file} line {line}: split {cell['split']}, expected train, val or test")
        # os.path: Path's own raise for a name too long
        here = os.path.isfile(folder / cell["path"])  # noqa: PTH113
        written = cell["path"] if here else cell["path"].replace("\\", "/")  # Windows'
        name = os.path.normpath(written)
        if name in first:
            raise ConfigError(f"data.csv={file} line {line}: {name} is on line {first[name]} already")
        first[name] = line
        rows.append(ImageFile(name, folder / name, label, SPLIT_NAMES.get(split, "")))
        if not os.path.isfile(rows[-1].path):  # noqa: PTH113
            missing.append((line, rows[-1].path))
    if missing:
        line, path = missing[0]
        more = f", and {len(missing) - 1} more of its paths" if len(missing) > 1 else ""
        raise ConfigError(f"data.csv={file} line {line}: no such file: {path}{more} (paths are relative to {folder})")
    without = next((row for row in rows if not row.split), None)
    if without and any(row.split for row in rows):
        raise ConfigError(f"data.csv={file} line {first[without.name]}: the split is empty, but other rows have one")
    return rows


def _table(file: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Column names in lower case, and the line number and cells of every row. Understands , ; and tab, and a BOM."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            delimiter = max(",;\t", key=stream.readline().count)
            stream.seek(0)
            reader = csv.reader(stream, delimiter=delimiter)
            columns = [name.strip().lower() for name in next(reader, [])]
            lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
    except UnicodeDecodeError as error:
        raise ConfigError(f"data.csv={file} is not UTF-8 text ({error.reason} at byte {error.start})") from error
    except csv.Error as error:
        raise ConfigError(f"data.csv={file} is no CSV: {error}") from error
    except OSError as error:
        raise unreadable(error) from error
    if not {"path", "label"} <= set(columns):
        found = ",".join(columns) or "nothing"
        raise ConfigError(f"data.csv={file}: its first line has {found}, expected the columns path,label[,split]")
    for line, cells in lines:
        if any("\0" in cell for cell in cells):
            raise ConfigError(f"data.csv={file} line {line}: a null character; is this text?")
    if not lines:
        raise ConfigError(f"data.csv={file} has no rows below its header")
    return columns, lines
