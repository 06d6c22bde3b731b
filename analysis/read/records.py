"""Find run folders and read them: records -> one DataFrame, a row a run.

A run folder is one with a record.json (the run is over) or a config.json (it has started). A column of the frame is a
line in FIELDS; every key of the config is there too, under its dotted name (`augment.flip`).
"""

import contextlib
import difflib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.read.index import through_index
from analysis.read.run_folder import epoch_gain, looked_up, read
from training.metrics import METRICS, RESERVED
from training.record import ASKED, CONFIG, HISTORY, RECORD, read_json

ROOT = "outputs"

# column: (where it is in the record, dtype). Accuracies in per cent, F1 times 100, times as the names say.
FIELDS = {
    "sweep": ("sweep", "str"),
    "identity": ("identity", "str"),
    "seed": ("seed", "Int64"),
    "model": ("config.model.name", "str"),
    "weights": ("config.weights.source", "str"),
    "weights_resolved": ("resolved.weights", "str"),
    "optimizer": ("config.optimizer._target_", "str"),
    "lr": ("config.optimizer.lr", "float64"),
    "scheduler": ("config.scheduler._target_", "str"),
    "weight_decay": ("config.optimizer.weight_decay", "float64"),
    "batch_size": ("config.trainer.batch_size", "Int64"),
    "epochs": ("config.trainer.epochs", "Int64"),
    "val_acc": ("val.acc", "float64"),
    "test_acc": ("test.acc", "float64"),
    "best_epoch": ("best_epoch", "Int64"),
    "params": ("params", "Int64"),
    "images_per_s": ("time.images_per_s", "float64"),
    "minutes": ("time.minutes", "float64"),
    "latency_ms": ("latency_ms.batch_1.median", "float64"),
    "status": ("status", "str"),
    "failure": ("failure.kind", "str"),
    "message": ("failure.message", "str"),
    "epochs_run": ("epochs_run", "Int64"),
    **{f"val_{name}": (f"val.{name}", "float64") for name in METRICS if name != "acc"},
    **{f"test_{name}": (f"test.{name}", "float64") for name in METRICS if name != "acc"},
    "lr_resolved": ("resolved.lr", "float64"),  # what lr=auto has found; else as asked
    "precision": ("resolved.precision", "str"),
    "device": ("resolved.device", "str"),
    "memory_format": ("resolved.memory_format", "str"),
    "threads": ("threads", "Int64"),
    "data_fingerprint": ("data.fingerprint", "str"),
    "n_train": ("data.n.train", "Int64"),
    "n_val": ("data.n.val", "Int64"),
    "n_test": ("data.n.test", "Int64"),
    "shared_val": ("data.shared.val", "Int64"),
    "shared_test": ("data.shared.test", "Int64"),
    "test_per_class": ("test.per_class_acc", "json"),
    "torch": ("versions.torch", "str"),
    "code_version": ("code_version", "str"),
    "soup": ("soup.size", "Int64"),  # how many runs' weights were averaged (training/soup.py); none for a run
    "started": ("time.started", "str"),
    "finished": ("time.finished", "str"),
    "folder": ("folder", "str"),
    "folds": ("config.data.folds", "Int64"),
    "fold": ("fold", "Int64"),
}
SCHEDULERS = {
    "ExponentialLR": "exponential",
    "StepLR": "step",
    "CosineAnnealingLR": "cosine",
    "OneCycleLR": "onecycle",
}


class ReportError(Exception):
    """A user's mistake in what to report: one line that says what is wrong and what would be right."""


def load(*folders: str | Path) -> pd.DataFrame:
    """All runs in `folders`, a row a run, in the order in which they were found; the columns are those of FIELDS.

    A folder may be a run, a sweep, or one that holds several sweeps; without any, the newest sweep under outputs/ is
    taken. A run that lies in two of them is read once. Interrupted or still running ones have the status
    `unfinished`, broken ones `unreadable`, with the reason in `message`. Raises ReportError when there is no run.
    """
    runs = load_all(*folders)
    return runs[[name for name in runs.columns if not name.startswith("_")]]


def load_all(*folders: str | Path) -> pd.DataFrame:
    """The same with what only the report needs: `_images` (what the test images are known by), `_correct` (which of
    them were put in their class, as bits in hex) and `_epoch_gain` (see epoch_gain)."""
    parts = []
    found: set[Path] = set()
    for folder in [Path(name) for name in folders] or [newest_sweep()]:
        check(folder)
        here = list(run_folders(folder))
        if not here:
            raise ReportError(f"no runs in {folder} (looked for {RECORD} and {CONFIG} in it and below)")
        part = through_index(folder, here, frame)
        if len(folders) > 1:
            real = [run.resolve() for run in here]
            part = part[[run not in found for run in real]]
            found.update(real)
        parts.append(part)
    runs = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
    names = {str(sweep): read_json(sweep / ASKED).get("asked") for sweep in sweeps_of(runs["folder"])}
    if any(names.values()):
        places = map(Path, runs["folder"])
        asked = [
            joined(name, names[str(run.parent.parent)], f"{run.parent.name}/{run.name}")
            for name, run in zip(runs["weights"], places, strict=True)
        ]
        runs["weights"] = pd.Series(asked, dtype="str")
    return runs


def frame(folders: Sequence[Path]) -> pd.DataFrame:
    """What these run folders say, a row each."""
    records = [read(run) for run in folders]
    columns = {
        name: pd.Series([typed(dig(record, where), dtype) for record in records], dtype=plain(dtype))
        for name, (where, dtype) in FIELDS.items()
    }
    looks = [looked_up(run) or (None, None) for run in folders]
    columns["_images"] = pd.Series([images for images, _ in looks], dtype="str")
    columns["_correct"] = pd.Series([correct for _, correct in looks], dtype="str")
    selected: list[Any] = columns["best_epoch"].tolist()
    gains = [
        None if pd.isna(epoch) else epoch_gain(run / HISTORY, int(epoch))
        for run, epoch in zip(folders, selected, strict=True)
    ]
    columns["_epoch_gain"] = pd.Series(gains, dtype="float64")
    table = pd.DataFrame(columns)
    table["lr_resolved"] = table["lr_resolved"].fillna(table["lr"])
    for name in ("optimizer", "scheduler"):  # classes, told by the last part of their path
        table[name] = table[name].str.replace(r".*\.", "", regex=True)
    table["optimizer"] = table["optimizer"].str.lower()
    constant = table["scheduler"].isna() & table["model"].notna()  # of a broken run it isn't known that it had none
    table["scheduler"] = table["scheduler"].replace(SCHEDULERS).mask(constant, "none")
    for split, name in own_metrics(records):
        table[f"{split}_{name}"] = pd.Series([typed(dig(record, f"{split}.{name}"), "float64") for record in records])
    config = pd.DataFrame([dict(flat(record.get("config"))) for record in records])
    return pd.concat([table, config[[name for name in config.columns if "." in name]]], axis=1)


def own_metrics(records: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """(split, name) of the metrics of the users' own in these records (trainer.metrics in docs/own-parts.md)."""
    parts = [(split, record.get(split)) for record in records for split in ("val", "test")]
    found = {(split, str(name)): None for split, part in parts if isinstance(part, dict) for name in part}
    return [(split, name) for split, name in found if name not in RESERVED and f"{split}_{name}" not in FIELDS]


def sweeps_of(folders: Iterable[str]) -> list[Path]:
    """The sweep folders of these run folders, each once."""
    return list(map(Path, dict.fromkeys(os.path.dirname(os.path.dirname(folder)) for folder in folders)))  # noqa: PTH120


def objectives(runs: pd.DataFrame) -> dict[str, str]:
    """What the search that made all of `runs` had as objectives, with maximize or minimize; {} where it's not one."""
    found = [read_json(sweep / ASKED).get("objectives") for sweep in sweeps_of(runs["folder"])]
    first = found[0] if found else None
    if not isinstance(first, dict) or any(one != first for one in found):
        return {}
    return {name: way for name, way in first.items() if name in runs.columns}


def newest_sweep(root: str | Path = ROOT) -> Path:
    """The sweep under `root` in which a run wrote last."""

    def last(sweep: Path) -> float:
        files = (run / name for run in run_folders(sweep) for name in (RECORD, HISTORY, CONFIG))
        return max((file.stat().st_mtime for file in files if file.exists()), default=0.0)

    sweeps = {sweep: last(sweep) for sweep in sorted(Path(root).glob("*/"))}
    if not any(sweeps.values()):
        raise ReportError(f"no runs under {root}/ yet: start one (python train.py), or name a folder of runs")
    return max(sweeps, key=sweeps.__getitem__)


def check(folder: Path) -> None:
    """Raise ReportError unless `folder` is one."""
    if folder.is_dir():
        return
    if folder.exists():
        raise ReportError(f"{folder} is not a folder: name a run folder, a sweep, or a folder of sweeps")
    names = [path.name for path in folder.parent.glob("*/")]
    raise ReportError(f"no such folder: {folder}{nearest(folder.name, names)}")


def nearest(word: str, choices: Iterable[str]) -> str:
    """` (did you mean ...?)` with the choice that is most like `word`, or nothing where none is."""
    close = difflib.get_close_matches(word, list(choices), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def run_folders(folder: Path) -> Iterator[Path]:
    """Every run folder in and below `folder`, in the order of the names; hidden folders and links are passed over."""
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    if any(entry.name in (RECORD, CONFIG) for entry in found):
        yield folder
        return
    for entry in found:
        if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
            with contextlib.suppress(PermissionError, FileNotFoundError):
                yield from run_folders(folder / entry.name)


def joined(name: Any, asked: Any, run: str) -> str | None:
    """The name that a run's weights have in its record, and those under which its sweep was asked for them."""
    others = asked.get(run) if isinstance(asked, dict) else None
    names = {name, *(others if isinstance(others, list) else [])}
    return "+".join(sorted(one for one in names if isinstance(one, str))) or None


def dig(record: Any, where: str) -> Any:
    """The value under the dotted name `where`, None where there is no such thing."""
    for key in where.split("."):
        record = record.get(key) if isinstance(record, dict) else None
    return record


def typed(value: Any, dtype: str) -> Any:
    """`value` if it is of `dtype`, else None, so that an odd value costs one cell and not the report. `json`: a dict,
    as text."""
    if dtype == "json":
        return json.dumps(value) if isinstance(value, dict) else None
    if dtype == "str":
        return None if value is None else str(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if dtype == "float64" or (value == value // 1 and abs(value) < 2**63) else None


def plain(dtype: str) -> str:
    """The dtype of a column of FIELDS in pandas."""
    return "str" if dtype == "json" else dtype


def flat(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a nested dict with its dotted name; lists as JSON text, so that they compare."""
    if not isinstance(config, dict):
        return
    for key, value in config.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(value) if isinstance(value, list) else value
