"""Find run folders and read them: records -> one DataFrame, a row a run.

A run folder is one with a record.json (the run is over) or a config.json (it has started). A column of the frame is a
line in FIELDS; every key of the config is there too, under its dotted name (`augment.flip`).
"""

import contextlib
import csv
import difflib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from training.record import ASKED, CONFIG, HISTORY, RECORD, SCHEMA, read_json

ROOT = "outputs"
STATUSES = ("done", "pruned", "diverged", "failed", "unfinished", "unreadable")  # the last two are never in a record

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
    "status": ("status", "str"),
    "failure": ("failure.kind", "str"),
    "message": ("failure.message", "str"),
    "epochs_run": ("epochs_run", "Int64"),
    "val_loss": ("val.loss", "float64"),
    "val_balanced_acc": ("val.balanced_acc", "float64"),
    "val_macro_f1": ("val.macro_f1", "float64"),
    "test_loss": ("test.loss", "float64"),
    "test_balanced_acc": ("test.balanced_acc", "float64"),
    "test_macro_f1": ("test.macro_f1", "float64"),
    "precision": ("resolved.precision", "str"),
    "device": ("resolved.device", "str"),
    "memory_format": ("resolved.memory_format", "str"),
    "threads": ("threads", "Int64"),
    "data_fingerprint": ("data.fingerprint", "str"),
    "n_train": ("data.n.train", "Int64"),
    "n_val": ("data.n.val", "Int64"),
    "n_test": ("data.n.test", "Int64"),
    "code_version": ("code_version", "str"),
    "started": ("time.started", "str"),
    "finished": ("time.finished", "str"),
    "folder": ("folder", "str"),
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
    found: dict[Path, Path] = {}
    for folder in [Path(name) for name in folders] or [newest_sweep()]:
        check(folder)
        here = list(run_folders(folder))
        if not here:
            raise ReportError(f"no runs in {folder} (looked for {RECORD} and {CONFIG} in it and below)")
        for run in here:
            found.setdefault(run.resolve(), run)
    records = [read(run) for run in found.values()]
    names = {sweep: read_json(sweep / ASKED).get("asked") for sweep in {run.parent.parent for run in found}}
    columns = {
        name: pd.Series([typed(dig(record, where), dtype) for record in records], dtype=dtype)
        for name, (where, dtype) in FIELDS.items()
    }
    frame = pd.DataFrame(columns)
    frame["weights"] = [
        joined(name, names[run.parent.parent], f"{run.parent.name}/{run.name}")
        for name, run in zip(frame["weights"], found, strict=True)
    ]
    for name in ("optimizer", "scheduler"):  # classes, told by the last part of their path
        frame[name] = frame[name].str.replace(r".*\.", "", regex=True)
    frame["optimizer"] = frame["optimizer"].str.lower()
    constant = frame["scheduler"].isna() & frame["model"].notna()  # of a broken run it isn't known that it had none
    frame["scheduler"] = frame["scheduler"].replace(SCHEDULERS).mask(constant, "none")
    config = pd.DataFrame([dict(flat(record.get("config"))) for record in records])
    return pd.concat([frame, config[[name for name in config.columns if "." in name]]], axis=1)


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
    for here, below, files in os.walk(folder):
        if RECORD in files or CONFIG in files:
            yield Path(here)
            below.clear()
        below[:] = sorted(name for name in below if not name.startswith("."))


def read(folder: Path) -> dict[str, Any]:
    """What `folder` says about its run, in the form of a record; it never raises for what a file contains."""
    record = named(folder)
    over = (folder / RECORD).exists()
    broken = []
    for name in [RECORD, CONFIG] if over else [CONFIG]:
        try:
            record |= parse(folder / name)
            break
        except (OSError, ValueError) as error:
            broken.append(f"{name}: {error}")
    record["folder"] = str(folder)
    if broken:
        record["status"] = "unreadable"
        record["failure"] = {"kind": "unreadable", "message": broken[0]}
        return record
    if not over:
        record["status"] = "unfinished"
    if "epochs_run" not in record:  # failed runs have no times of their own
        epochs, times = progress(folder / HISTORY)
        given = record.get("time")
        record |= {"epochs_run": epochs, "time": times | (given if isinstance(given, dict) else {})}
    return record


def named(folder: Path) -> dict[str, Any]:
    """What the names of `folder` and of those around it say: <sweep>/<slug>-<identity>/seed=<n>."""
    sweep, slug, seed = ("", "", *folder.absolute().parts)[-3:]
    if not (seed.startswith("seed=") and seed[5:].isdigit()):
        return {}
    return {"sweep": sweep, "identity": slug.rpartition("-")[2], "seed": int(seed[5:])}


def parse(path: Path) -> dict[str, Any]:
    """The record or config in `path`. Raises ValueError with a reason where it is neither."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not valid JSON, perhaps cut off ({error})") from None
    keys = ("identity", "seed", "config", "status") if path.name == RECORD else ("identity", "seed", "config")
    missing = [key for key in keys if not isinstance(content, dict) or key not in content]
    if missing:
        raise ValueError(f"no {' and no '.join(missing)} in it")
    if path.name == RECORD and content.get("schema") != SCHEMA:
        raise ValueError(f"its schema is {content.get('schema')}, expected {SCHEMA}: made by another finegrid?")
    if path.name == RECORD and content["status"] not in STATUSES[:4]:
        raise ValueError(f"its status is {content['status']!r}, expected {', '.join(STATUSES[:4])}")
    return dict(content)


def progress(path: Path) -> tuple[int, dict[str, float]]:
    """Epochs, minutes and images/s of a run that has no result, by its history. The last line may be cut off."""
    seconds, images = [], []
    if path.exists():
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            for row in csv.DictReader(file):
                with contextlib.suppress(KeyError, TypeError, ValueError):
                    spent, speed = float(row["seconds"]), float(row["images_per_s"])
                    seconds.append(spent)
                    images.append(speed * spent)
    if not sum(seconds):
        return len(seconds), {}
    return len(seconds), {"minutes": sum(seconds) / 60, "images_per_s": sum(images) / sum(seconds)}


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
    """`value` if it is of `dtype`, else None, so that an odd value costs one cell and not the report."""
    if dtype == "str":
        return None if value is None else str(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if dtype == "float64" or (value == value // 1 and abs(value) < 2**63) else None


def flat(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a nested dict with its dotted name; lists as JSON text, so that they compare."""
    if not isinstance(config, dict):
        return
    for key, value in config.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(value) if isinstance(value, list) else value
