"""Find run folders and read them: records -> one DataFrame, a row a run.

A run folder is one with a record.json (the run is over) or a config.json (it has started). A column of the frame is a
line in FIELDS; the choices of config groups are there too (`augment`: standard), and every key of the config under its
dotted name (`augment.flip`).
"""

import contextlib
import difflib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, fields, is_dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.read.choices import choices_of, groups_of
from analysis.read.image_sets import split_key
from analysis.read.index import through_index
from analysis.read.run_folder import damaged_history, epoch_gain, looked_up, read, without_twins
from training.config import RunConfig
from training.console.program import called
from training.errors import ConfigError
from training.metrics import METRICS
from training.record import Record
from training.run_folder import ASKED, CONFIG, HISTORY, OUTPUTS, RECORD, read_json

# column: (what it is of a run's record, dtype). Accuracies in per cent, F1 times 100, times as the names say.
FIELDS: dict[str, tuple[Callable[[Record], Any], str]] = {
    "sweep": (lambda run: run.sweep, "str"),
    "identity": (lambda run: run.identity, "str"),
    "seed": (lambda run: run.seed, "Int64"),
    "model": (lambda run: run.settings.model, "str"),
    "weights": (lambda run: run.settings.weights, "str"),
    "weights_resolved": (lambda run: run.resolved.weights, "str"),
    "optimizer": (lambda run: run.settings.optimizer, "str"),
    "lr": (lambda run: run.settings.lr, "float64"),
    "scheduler": (lambda run: run.settings.scheduler, "str"),
    "weight_decay": (lambda run: run.settings.weight_decay, "float64"),
    "batch_size": (lambda run: run.settings.batch_size, "Int64"),
    "epochs": (lambda run: run.settings.epochs, "Int64"),
    "val_acc": (lambda run: run.val.acc, "float64"),
    "test_acc": (lambda run: run.test.acc, "float64"),
    "best_epoch": (lambda run: run.best_epoch, "Int64"),
    "params": (lambda run: run.params, "Int64"),
    "images_per_s": (lambda run: run.time.images_per_s, "float64"),
    "minutes": (lambda run: run.time.minutes, "float64"),
    "latency_ms": (lambda run: run.latency_ms.batch_1.median, "float64"),
    "status": (lambda run: run.status, "str"),
    "failure": (lambda run: run.failure.kind, "str"),
    "message": (lambda run: run.failure.message, "str"),
    "epochs_run": (lambda run: run.epochs_run, "Int64"),
    **{f"val_{name}": (partial(Record.figure, name=f"val_{name}"), "float64") for name in METRICS if name != "acc"},
    **{f"test_{name}": (partial(Record.figure, name=f"test_{name}"), "float64") for name in METRICS if name != "acc"},
    "lr_resolved": (lambda run: run.resolved.lr, "float64"),  # what lr=auto has found; else as asked
    "precision": (lambda run: run.resolved.precision, "str"),
    "device": (lambda run: run.resolved.device, "str"),
    "memory_format": (lambda run: run.resolved.memory_format, "str"),
    "threads": (lambda run: run.threads, "Int64"),
    "data_fingerprint": (lambda run: run.data.fingerprint, "str"),
    "n_train": (lambda run: run.data.n.train, "Int64"),
    "n_val": (lambda run: run.data.n.val, "Int64"),
    "n_test": (lambda run: run.data.n.test, "Int64"),
    "shared_val": (lambda run: run.data.shared.val, "Int64"),
    "shared_test": (lambda run: run.data.shared.test, "Int64"),
    "test_per_class": (lambda run: None if (found := run.test.per_class_acc) is None else json.dumps(found), "str"),
    "torch": (lambda run: run.versions.torch, "str"),
    "code_version": (lambda run: run.code_version, "str"),
    "soup": (lambda run: run.soup.size, "Int64"),  # runs whose weights were averaged (training/soup.py)
    "started": (lambda run: run.time.started, "str"),
    "finished": (lambda run: run.time.finished, "str"),
    "folder": (lambda run: None, "str"),  # where it was read
    "folds": (lambda run: run.settings.folds, "Int64"),
    "fold": (lambda run: run.fold, "Int64"),
    "single_valued": (lambda run: (run.data.single_valued or {}).get("n"), "Int64"),  # images of one colour
    "blank_on_white": (lambda run: (run.data.single_valued or {}).get("blank_on_white"), "Int64"),  # of these
    "two_labels_train": (lambda run: run.data.two_labels.train, "Int64"),  # files that are there under two labels
    "two_labels_val": (lambda run: run.data.two_labels.val, "Int64"),
    "two_labels_test": (lambda run: run.data.two_labels.test, "Int64"),
    "test_twins": (lambda run: None, "Int64"),  # test images with a copy in train; see run_folder.without_twins
    "test_without_twins": (lambda run: None, "float64"),
    "two_labels_first": (lambda run: next(iter(run.data.two_labels_first or []), None), "str"),
    "device_name": (lambda run: run.resolved.device_name, "str"),  # NVIDIA A100-SXM4-80GB, or a CPU's
    "host": (lambda run: run.time.host, "str"),
}


class ReportError(ConfigError):
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
    them were put in their class, as bits in hex), `_misfit` (why the predictions are not used), `_history` (what is
    wrong with it), `_val_split` and `_test_split` (image_sets.split_key) and `_epoch_gain` (see epoch_gain)."""
    parts = []
    found: set[Path] = set()
    if "" in folders:
        raise ReportError("the name of a folder is empty")
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
    aliases = {str(sweep): read_json(sweep / ASKED).get("asked") for sweep in sweeps_of(runs["folder"])}
    if any(aliases.values()):
        names = [
            joined(name, aliases[str(run.parent.parent)], f"{run.parent.name}/{run.name}")
            for name, run in zip(runs["weights"], map(Path, runs["folder"]), strict=True)
        ]
        runs["weights"] = pd.Series(names, dtype="str")
    return runs


def frame(folders: Sequence[Path]) -> pd.DataFrame:
    """What these run folders say, a row each."""
    records = [read(run) for run in folders]
    columns = {
        name: pd.Series([value_of(record) for record in records], dtype=dtype)
        for name, (value_of, dtype) in FIELDS.items()
    }
    for name in own_metrics(records):
        columns[name] = pd.Series([record.figure(name) for record in records], dtype="float64")
    columns["folder"] = pd.Series(list(map(str, folders)), dtype="str")
    looks = [looked_up(run, record) for run, record in zip(folders, records, strict=True)]
    for number, name in enumerate(("_images", "_correct", "_misfit")):
        columns[name] = pd.Series([look[number] for look in looks], dtype="str")
    parted = [without_twins(run, record) for run, record in zip(folders, records, strict=True)]
    for number, (name, dtype) in enumerate((("test_twins", "Int64"), ("test_without_twins", "float64"))):
        columns[name] = pd.Series([one[number] for one in parted], dtype=dtype)
    for split in ("val", "test"):
        columns[f"_{split}_split"] = pd.Series([split_key(record, split) for record in records], dtype="str")
    selected: list[Any] = columns["best_epoch"].tolist()
    gains = [
        None if pd.isna(epoch) else epoch_gain(run, int(epoch)) for run, epoch in zip(folders, selected, strict=True)
    ]
    columns["_epoch_gain"] = pd.Series(gains, dtype="float64")
    damaged = [damaged_history(run, record) for run, record in zip(folders, records, strict=True)]
    columns["_history"] = pd.Series(damaged, dtype="str")
    table = pd.DataFrame(columns)
    table["lr_resolved"] = table["lr_resolved"].fillna(table["lr"])
    choices = [choices_of(run) for run in folders]
    for group in groups_of(choices):
        if group not in table:
            table[group] = pd.Series([one.get(group) for one in choices], dtype="str")
    config = pd.DataFrame([config_of(record) for record in records])
    return pd.concat([table, config[[name for name in config.columns if "." in name]]], axis=1)


@cache
def default_config() -> dict[str, Any]:
    """Every key of a config at its default. A key that an older record lacks had that value (training/identity.py)."""
    return dict(flat(asdict(RunConfig())))


@cache
def as_default() -> dict[str, tuple[Any, ...]]:
    """The values that come to the same as the default, by the dotted key of each setting that has such."""
    config = RunConfig()
    parts = {"": config} | {f"{name}.": part for name, part in vars(config).items() if is_dataclass(part)}
    return {
        prefix + entry.name: entry.metadata["as_default"]
        for prefix, part in parts.items()
        for entry in fields(part)
        if "as_default" in entry.metadata
    }


def config_of(record: Record) -> dict[str, Any]:
    """The dotted keys of a run's config; those of groups that it has are complete, whichever version wrote it."""
    found, defaults = dict(flat(record.config)), default_config()
    found |= {name: defaults[name] for name, values in as_default().items() if found.get(name) in values}
    groups = {name.partition(".")[0] for name in found}
    known = {*groups, "loss"} if groups else groups  # the group that came later
    return {name: value for name, value in defaults.items() if name.partition(".")[0] in known} | found


def own_metrics(records: Iterable[Record]) -> list[str]:
    """The columns of metrics that FIELDS doesn't have."""
    found = {f"{split}_{name}" for run in records for split in ("val", "test") for name in getattr(run, split).extra}
    return sorted(found - FIELDS.keys())


def sweeps_of(folders: Iterable[str]) -> list[Path]:
    """The sweep folders of these run folders, each once."""
    return list(map(Path, dict.fromkeys(os.path.dirname(os.path.dirname(folder)) for folder in folders)))  # noqa: PTH120


def objectives(runs: pd.DataFrame) -> dict[str, str]:
    """What the search that made all of `runs` had as objectives, with maximize or minimize; {} where it's not one."""
    found = [read_json(sweep / ASKED).get("objectives") for sweep in sweeps_of(runs["folder"])]
    first = found[0] if found else None
    if not isinstance(first, dict) or any(one != first for one in found):
        return {}
    return {name: way for name, way in first.items() if name in runs.columns and way in ("maximize", "minimize")}


def newest_sweep(root: str | Path = OUTPUTS) -> Path:
    """The sweep under `root` in which a run wrote last."""

    def last(sweep: Path) -> float:
        files = (run / name for run in run_folders(sweep) for name in (RECORD, HISTORY, CONFIG))
        return max((file.stat().st_mtime for file in files if file.exists()), default=0.0)

    sweeps = {sweep: last(sweep) for sweep in sorted(Path(root).glob("*/"))}
    if not any(sweeps.values()):
        raise ReportError(f"no runs under {root}/ yet: start one ({called('train')}), or name a folder of runs")
    return max(sweeps, key=sweeps.__getitem__)


def check(folder: Path) -> None:
    """Raise ReportError unless `folder` is one."""
    if os.path.isdir(folder):  # noqa: PTH112 (Path's own raises for a name too long)
        return
    if os.path.exists(folder):  # noqa: PTH110
        raise ReportError(f"{folder} is not a folder: name a run folder, a sweep, or a folder of sweeps")
    names = [path.name for path in folder.parent.glob("*/")] if os.path.isdir(folder.parent) else []  # noqa: PTH112
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


def joined(name: Any, aliases: Any, run: str) -> str | None:
    """The name that a run's weights have in its record, and the aliases under which its sweep was to use them."""
    others = aliases.get(run) if isinstance(aliases, dict) else None
    names = {name, *(others if isinstance(others, list) else [])}
    return "+".join(sorted(one for one in names if isinstance(one, str))) or None


def flat(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a nested dict with its dotted name; lists as JSON text, so that they compare."""
    if not isinstance(config, dict):
        return
    for key, value in config.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(value) if isinstance(value, list) else value
