"""A table of which only the numbers exist: a row a run, as it was printed somewhere.

The CSV needs model, weights, val_acc and test_acc (per cent), and may have optimizer, lr, scheduler, weight_decay,
batch_size and epochs. Names of weights are resolved as conf/model/ has it, so rows that are the same configuration
become replicates.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from omegaconf import OmegaConf

from analysis.read.records import FIELDS, ReportError
from analysis.statistics.inference import t_quantile
from analysis.statistics.judge import Judgement as Judged
from analysis.statistics.judge import Row, interval

Side = tuple[Mapping[str, Row], Judged]
MODELS = Path(__file__).parents[2] / "conf" / "model"
NEEDED = ("model", "weights", "val_acc", "test_acc")
MATCHED = ("model", "weights_resolved", "optimizer", "lr", "scheduler", "weight_decay", "batch_size", "epochs")


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
    for name in table.columns.intersection([*MATCHED, *NEEDED]):
        runs[name] = table[name].astype(runs[name].dtype)
    given = [default(model) for model in runs["model"]]
    runs["weights_resolved"] = [
        (own if name.lower() == "default" and own else name).upper() if name.lower() != "none" else "none"
        for name, own in zip(runs["weights"], given, strict=True)
    ]
    runs["weights"] = runs["weights"].str.lower()
    runs["model.weights"] = [json.dumps([own]) if own else None for own in given]
    settings = runs[[name for name in MATCHED if name in table or name == "weights_resolved"]].astype(str)
    runs["identity"] = [hashlib.sha256(repr(row).encode()).hexdigest()[:10] for row in settings.itertuples(index=False)]
    runs["seed"] = runs.groupby("identity").cumcount().astype("Int64")
    for name, value in {"status": "done", "sweep": file.stem, "data_fingerprint": file.stem}.items():
        runs[name] = pd.Series([value] * len(runs), dtype="str")
    runs["n_val"], runs["n_test"] = (pd.Series([n] * len(runs), dtype="Int64") for n in (n_val, n_test))
    runs["folder"] = [f"{file}:{number}" for number in range(2, len(runs) + 2)]
    return runs


def default(model: str) -> str | None:
    """What `default` weights of this model are, by conf/model/; None for a model that isn't there."""
    file = MODELS / f"{model}.yaml"
    if not file.is_file():
        return None
    names = OmegaConf.select(OmegaConf.load(file), "weights") or []
    return str(names[-1]) if names else None


def remarks(runs: pd.DataFrame) -> list[str]:
    """Rows that are one configuration under two names, and accuracies that are no whole number of images."""
    lines = []
    groups = [group for _, group in runs.groupby("identity", sort=False) if len(group) > 1]
    if groups:
        widest = max(float(group["test_acc"].max() - group["test_acc"].min()) for group in groups)
        names = sum(group["weights"].nunique() > 1 for group in groups)
        lines.append(
            f"{len(groups)} configurations stand here more than once ({names} under two names of the same weights); "
            f"their runs differ by up to {widest:.1f} points of test accuracy."
        )
        lines += name_effect(groups)
    for split in ("val", "test"):
        n = int(runs[f"n_{split}"].iloc[0])
        counts = runs[f"{split}_acc"] * n / 100
        odd = int(((counts - counts.round()).abs() > max(0.01, 0.0006 * n)).sum())
        if odd:
            lines.append(f"{odd} of the {split} accuracies are no whole number of {n} images: is --n-{split} right?")
    return lines


def name_effect(groups: Sequence[pd.DataFrame]) -> list[str]:
    """What asking for `default` by that name seems to do, where it names the same weights: noise by construction."""
    gaps = []
    for group in groups:
        named = group["weights"] == "default"
        if named.any() and not named.all():
            gaps.append(float(group.loc[named, "test_acc"].mean() - group.loc[~named, "test_acc"].mean()))
    if len(gaps) < 2:
        return []
    half = t_quantile(len(gaps) - 1) * float(np.std(gaps, ddof=1)) / math.sqrt(len(gaps))
    mean = float(np.mean(gaps))
    return [
        f"weights: default against the name it stands for {mean:+.1f} [{mean - half:.1f}, {mean + half:.1f}] points "
        f"({len(gaps)} matched pairs): the same weights, so all of it is noise."
    ]


def side_by_side(published: pd.DataFrame, own: pd.DataFrame, theirs: Side, ours: Side) -> pd.DataFrame:
    """Published rows beside ours with the same settings: both test accuracies, and ours - published in points with an
    interval (Zou and Donner 2008, Stat. Med. 27, from the intervals of both). `published`, `own`: rows by identity."""
    shared = [name for name in MATCHED if published[name].notna().any()]
    lines = []
    for key, row in published.iterrows():
        same = [str(other) for other, run in own.iterrows() if all(alike(row[one], run[one]) for one in shared)]
        first = theirs[0][str(key)]
        line = {name: row[name] for name in ("model", "weights", *shared[2:])}
        line |= {"published": 100 * first.mean, "runs": first.seeds}
        for other in [one for one in same if one in ours[0]][:1]:
            second = ours[0][other]
            low, high = interval(first, theirs[1])
            low_own, high_own = interval(second, ours[1])
            diff = 100 * (second.mean - first.mean)
            line |= {"own": 100 * second.mean, "seeds": second.seeds, "diff": diff}
            line["diff_low"] = diff - math.hypot(100 * second.mean - low_own, high - 100 * first.mean)
            line["diff_high"] = diff + math.hypot(high_own - 100 * second.mean, 100 * first.mean - low)
        lines.append(line)
    columns = ["published", "runs", "own", "seeds", "diff", "diff_low", "diff_high"]
    return pd.DataFrame(lines, columns=["model", "weights", *shared[2:], *columns])


def alike(one: object, other: object) -> bool:
    """Whether two settings are the same, whatever the case and the last digits."""
    if isinstance(one, str) and isinstance(other, str):
        return one.lower() == other.lower()
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(float(one), float(other), rel_tol=1e-9)
    return False
