"""A table of which only the numbers exist: a row a run, as it was printed somewhere.

The CSV needs model, weights, val_acc and test_acc (per cent), and may have optimizer, lr, scheduler, weight_decay,
batch_size and epochs; other columns are passed over. Names of weights are resolved as conf/model/ has it, so rows that
are the same configuration become replicates. What can't be read is told with its line.
"""

import csv
import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from analysis.read.records import FIELDS, ReportError

MODELS = Path(__file__).parents[2] / "conf" / "model"
NEEDED = ("model", "weights", "val_acc", "test_acc")
OPTIONAL = ("optimizer", "lr", "scheduler", "weight_decay", "batch_size", "epochs")
ACCURACIES = ("val_acc", "test_acc")
IDENTIFYING = ("model", "weights_resolved", *OPTIONAL)  # rows that agree in these are one configuration
MISSING = {"", "NA", "N/A", "n/a", "nan", "NaN", "null", "NULL", "None", "<NA>"}  # in an optional column


def read_published(file: Path, n_val: int, n_test: int) -> pd.DataFrame:
    """The rows of `file` as runs, in the columns of analysis.load(). Raises ReportError."""
    table = _table(file)
    runs = pd.DataFrame({name: pd.Series(index=table.index, dtype=dtype) for name, (_, dtype) in FIELDS.items()})
    for name in table.columns.intersection([*NEEDED, *OPTIONAL]):
        runs[name] = table[name].astype(runs[name].dtype)
    defaults = [default_weights(model) for model in runs["model"]]
    runs["weights_resolved"] = [
        (default if name.lower() == "default" and default else name).upper() if name.lower() != "none" else "none"
        for name, default in zip(runs["weights"], defaults, strict=True)
    ]
    runs["weights"] = runs["weights"].str.lower()
    runs["model.weights"] = [json.dumps([default]) if default else None for default in defaults]
    settings = runs[[name for name in IDENTIFYING if name in table or name == "weights_resolved"]].astype(str)
    runs["identity"] = [hashlib.sha256(repr(row).encode()).hexdigest()[:10] for row in settings.itertuples(index=False)]
    runs["seed"] = runs.groupby("identity").cumcount().astype("Int64")
    for name, value in {"status": "done", "sweep": file.stem, "data_fingerprint": file.stem}.items():
        runs[name] = pd.Series([value] * len(runs), dtype="str")
    runs["n_val"], runs["n_test"] = (pd.Series([n] * len(runs), dtype="Int64") for n in (n_val, n_test))
    runs["folder"] = [f"{file}:{number}" for number in range(2, len(runs) + 2)]
    return runs


def _table(file: Path) -> pd.DataFrame:
    """The columns NEEDED and OPTIONAL that `file` has, checked. Raises ReportError with the line."""
    columns, rows = _cells(file)
    names = [name for name in (*NEEDED, *OPTIONAL) if name in columns]
    values: dict[str, list[Any]] = {name: [] for name in names}
    for line, cells in rows:
        if len(cells) != len(columns):
            raise ReportError(
                f"--published {file} line {line}: {len(cells)} cells, but there are {len(columns)} columns"
            )
        for name, cell in zip(columns, cells, strict=True):
            if name in values:
                try:
                    values[name].append(_value(name, cell))
                except ValueError as error:
                    raise ReportError(f"--published {file} line {line}: {name} {cell!r}, expected {error}") from None
    return pd.DataFrame({name: pd.Series(some, dtype=FIELDS[name][1]) for name, some in values.items()})


def _cells(file: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The names of the columns, and line number and cells of every row. Understands , ; and tab, and a BOM."""
    try:
        if file.exists() and not file.is_file():  # a pipe would be waited for
            raise ReportError(f"--published {file}: {'a folder' if file.is_dir() else 'no file'}, expected a file")
        with file.open(encoding="utf-8-sig", newline="") as stream:
            delimiter = max(",;\t", key=stream.readline().count)
            stream.seek(0)
            reader = csv.reader(stream, delimiter=delimiter, strict=True)
            table = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    except OSError as error:
        raise ReportError(f"--published {file}: {(error.strerror or 'not readable').lower()}") from None
    except UnicodeDecodeError as error:
        raise ReportError(f"--published {file}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    except csv.Error as error:
        raise ReportError(f"--published {file} line {reader.line_num}: no CSV: {error}") from None
    columns = table[0][1] if table else []
    missing = [name for name in NEEDED if name not in columns]
    if missing:
        raise ReportError(f"--published {file}: no column {', '.join(missing)}; it needs {', '.join(NEEDED)}")
    twice = [name for name in (*NEEDED, *OPTIONAL) if columns.count(name) > 1]
    if twice:
        raise ReportError(f"--published {file}: the column {twice[0]} is there twice; which one counts?")
    if not table[1:]:
        raise ReportError(f"--published {file}: no rows below its header")
    return columns, table[1:]


def _value(name: str, cell: str) -> Any:
    """A cell as its column has it; None for what is missing. Raises ValueError with what would be right."""
    dtype = FIELDS[name][1]
    wanted = "0 to 100" if name in ACCURACIES else {"str": "a name", "Int64": "a whole number"}.get(dtype, "a number")
    if name not in NEEDED and cell in MISSING:
        return None
    if dtype == "str":
        if not cell or "\0" in cell:
            raise ValueError(wanted)
        return cell
    try:
        number = math.nan if "_" in cell else float(cell)
    except ValueError:
        number = math.nan
    ok = math.isfinite(number) and (name not in ACCURACIES or 0 <= number <= 100)
    if dtype == "Int64":
        ok = ok and number == int(number) and abs(number) < 2**53
    if not ok:
        raise ValueError(wanted)
    return int(number) if dtype == "Int64" else number


def default_weights(model: str) -> str | None:
    """What `default` weights of this model are, by conf/model/; None for a model that isn't there."""
    file = MODELS / f"{model}.yaml"
    if not file.is_file():
        return None
    names = OmegaConf.select(OmegaConf.load(file), "weights") or []
    return str(names[-1]) if names else None
