"""A table of which only the numbers exist: a row a run, as it was printed somewhere.

The CSV needs model, weights, val_acc and test_acc (per cent), and may have optimizer, lr, scheduler, weight_decay,
batch_size and epochs. Names of weights are resolved as conf/model/ has it, so rows that are the same configuration
become replicates.
"""

import hashlib
import json
from pathlib import Path

import pandas as pd
from omegaconf import OmegaConf

from analysis.read.records import FIELDS, ReportError

MODELS = Path(__file__).parents[2] / "finegrid" / "conf" / "model"  # installed there; in a checkout a link
NEEDED = ("model", "weights", "val_acc", "test_acc")
OPTIONAL = ("optimizer", "lr", "scheduler", "weight_decay", "batch_size", "epochs")
IDENTIFYING = ("model", "weights_resolved", *OPTIONAL)  # rows that agree in these are one configuration


def read_published(file: Path, n_val: int, n_test: int) -> pd.DataFrame:
    """The rows of `file` as runs, in the columns of analysis.load(). Raises ReportError."""
    try:
        table = pd.read_csv(file)
    except (OSError, ValueError) as error:
        raise ReportError(f"--published {file}: {' '.join(str(error).split())}") from None
    missing = [name for name in NEEDED if name not in table]
    if missing:
        raise ReportError(f"--published {file}: no column {', '.join(missing)}; it needs {', '.join(NEEDED)}")
    for name in ("val_acc", "test_acc"):
        if not pd.api.types.is_numeric_dtype(table[name]) or not table[name].between(0, 100).all():
            raise ReportError(f"--published {file}: {name} should be numbers from 0 to 100 in all rows")
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


def default_weights(model: str) -> str | None:
    """What `default` weights of this model are, by conf/model/; None for a model that isn't there."""
    file = MODELS / f"{model}.yaml"
    if not file.is_file():
        return None
    names = OmegaConf.select(OmegaConf.load(file), "weights") or []
    return str(names[-1]) if names else None
