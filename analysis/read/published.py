"""A table of which only the numbers exist: a row a run, as it was printed somewhere.

The CSV needs model, weights, val_acc and test_acc (per cent), and may have optimizer, lr, scheduler, weight_decay,
batch_size and epochs; other columns are passed over, which is told where rows differ in these alone. Names of weights
are resolved as conf/model/ has it, so rows that are the same configuration become replicates. What can't be read is
told with its line.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from omegaconf import OmegaConf

from analysis.read.records import FIELDS, ReportError
from training.console.csv_table import CsvRow, read_csv_table

MODELS = Path(__file__).parents[2] / "finegrid" / "conf" / "model"  # installed there; in a checkout a link
NEEDED = ("model", "weights", "val_acc", "test_acc")
OPTIONAL = ("optimizer", "lr", "scheduler", "weight_decay", "batch_size", "epochs")
NUMBERS = {  # column: what it may be
    "val_acc": "a number from 0 to 100, such as 95.2",
    "test_acc": "a number from 0 to 100, such as 95.2",
    "lr": "a number above 0, such as 0.001 or 1e-3",
    "weight_decay": "a number from 0 on",
    "batch_size": "a whole number above 0",
    "epochs": "a whole number above 0",
}
IDENTIFYING = ("model", "weights_resolved", *OPTIONAL)  # rows that agree in these are one configuration
REPLICATES = ("seed", "fold", "run")  # columns by which runs of one configuration differ
MISSING = {"", "NA", "N/A", "n/a", "nan", "NaN", "null", "NULL", "None", "<NA>"}  # in an optional column


def read_published(file: Path, n_val: int, n_test: int) -> pd.DataFrame:
    """The rows of `file` as runs, in the columns of analysis.load(). Raises ReportError."""
    columns, table_rows = read_csv_table(file, f"--published {file}", NEEDED)
    rows = [CsvRow(line, {name: _known(name, cell) for name, cell in cells.items()}) for line, cells in table_rows]
    images = {"val_acc": n_val, "test_acc": n_test}
    for row in rows:
        _check(row, f"--published {file} line {row.line}")
    _refuse_proportions(rows, f"--published {file}")
    for row in rows:
        for name, n in images.items():
            _check_count(row.cells[name], n, f"--published {file} line {row.line}: {name}")
    table = pd.DataFrame([cells for _, cells in rows], columns=columns)
    numeric = [name for name in columns if name in NUMBERS]
    table[numeric] = table[numeric].apply(pd.to_numeric)  # an empty optional one is nan
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
    runs["folder"] = [f"{file}:{row.line}" for row in rows]
    for name, n in images.items():
        runs[f"_odd_{name}"] = [_is_odd(row.cells[name], n) for row in rows]
    more = [name for name in table.columns.difference([*NEEDED, *OPTIONAL, *REPLICATES]) if name]
    of_row = table[more].groupby(runs["identity"])
    differing = {str(key): [name for name in more if some[name].nunique(dropna=False) > 1] for key, some in of_row}
    runs["_passed_over"] = [", ".join(differing.get(key, ())) for key in runs["identity"]]
    return runs


def _known(name: str, cell: str) -> str:
    """A cell, empty where it is a word for a missing value in a column that may have one."""
    return "" if name in OPTIONAL and cell in MISSING else cell


def _check(row: CsvRow, where: str) -> None:
    """Raise ReportError for a cell that isn't what its column holds."""
    for name in ("model", "weights"):
        if not row.cells[name]:
            raise ReportError(
                f"{where}: {name} is empty; {'none, default or a name' if name == 'weights' else 'a name'}"
            )
    for name, wanted in NUMBERS.items():
        text = row.cells.get(name, "")
        if not text and name in OPTIONAL:
            continue
        try:
            value = math.nan if "_" in text else float(text)
        except ValueError:
            value = math.nan
        whole = name in ("batch_size", "epochs")
        low = 0 if name in ("val_acc", "test_acc", "weight_decay") else 5e-324
        high = 100 if name in ("val_acc", "test_acc") else 2.0**53 if whole else math.inf
        if not (low <= value <= high and math.isfinite(value)) or (whole and not value.is_integer()):
            raise ReportError(f"{where}: {name} is {text or 'empty'}, expected {wanted}")


def _check_count(text: str, n: int, where: str) -> None:
    """Raise ReportError for an accuracy that no number of right images out of `n` gives, give or take one unit of its
    last digit: then `n` is another."""
    nearest, off = _off(text, n)
    if off > _last_digit(text) + 1e-9:
        option = "--n-val" if "val_acc" in where else "--n-test"
        raise ReportError(
            f"{where} is {text}, which is no number of {n} images ({100 * nearest / n:.4g} is): {option}?"
        )


def _is_odd(text: str, n: int) -> bool:
    """Whether an accuracy is likely none of `n` images: rounded it would be further from any such than it can be."""
    return _off(text, n)[1] > max(1 / n, 0.06, 0.6 * _last_digit(text))


def _off(text: str, n: int) -> tuple[int, float]:
    """The number of right images out of `n` that is nearest to an accuracy, and how many points it is off."""
    nearest = round(float(text) / 100 * n)
    return nearest, abs(100 * nearest / n - float(text))


def _last_digit(text: str) -> float:
    """What one unit of the last digit of a number is."""
    digits = len(text.partition(".")[2]) if "e" not in text.lower() else 12
    return float(10.0**-digits)


def _refuse_proportions(rows: Sequence[CsvRow], where: str) -> None:
    for name in ("val_acc", "test_acc"):
        values = [float(row.cells[name]) for row in rows]
        if 0 < max(values) <= 1:
            example = rows[values.index(max(values))]
            text = example.cells[name]
            raise ReportError(
                f"{where} line {example.line}: {name} is {text}, expected per cent: {100 * float(text):g} say"
            )


def default_weights(model: str) -> str | None:
    """What `default` weights of this model are, by conf/model/; None for a model that isn't there."""
    file = MODELS / f"{model}.yaml"
    if not file.is_file():
        return None
    names = OmegaConf.select(OmegaConf.load(file), "weights") or []
    return str(names[-1]) if names else None
