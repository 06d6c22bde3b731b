"""Run folders and published tables for tests of the report, and the report on them."""

import contextlib
import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from conftest import ROOT

from analysis.report import main

HEAD = (
    "model,weights,weights_resolved,optimizer,lr,scheduler,weight_decay,batch_size,epochs,seeds,val_acc,test_acc,"
    "best_epoch,params,images_per_s,minutes,status,"
    "val_sd,test_sd,test_low,test_high,diff,diff_low,diff_high,p,mark,claim,spread,identity,folder"
)
COLUMNS = HEAD.split(",")
PUBLISHED = ROOT / "tests" / "data" / "published_lab2.csv"
LAB = ["--published", PUBLISHED, "--n-val", "165", "--n-test", "350"]


def near(value: float, digits: float = 1e-4) -> Any:
    return pytest.approx(value, abs=digits)


def write_run(sweep: Path, identity: str, seed: int = 0, **changes: Any) -> Path:
    """A run folder with a record as training writes it; `changes` are top-level keys, or short cuts. `choices`: of
    config groups, as Hydra leaves them beside it."""
    val, test = changes.pop("val", 98.0), changes.pop("test", 97.0)
    model, resolved = changes.pop("model", "resnet18"), changes.pop("resolved", "none")
    choices, smoothing = changes.pop("choices", None), changes.pop("smoothing", 0.0)
    config: dict[str, Any] = {
        "seed": seed,
        "model": {"_target_": "training.models.torchvision_model", "name": model, "drop_path": None},
        "weights": {"source": changes.pop("weights", "none"), "path": None},
        "data": {"_target_": "training.sources.digits", "size": 32},
        "augment": {"flip": changes.pop("flip", 0.0), "crop_scale": None, "crop_ratio": [0.75, 1.3333]},
        "optimizer": {
            "_target_": changes.pop("optimizer", "torch.optim.AdamW"),
            "lr": changes.pop("lr", 1e-3),
            "weight_decay": changes.pop("weight_decay", 0.05),
            "kwargs": {},
        },
        "scheduler": {"_target_": changes.pop("scheduler", None), "interval": "epoch"},
        "trainer": {"epochs": changes.pop("epochs", 6), "batch_size": changes.pop("batch_size", 64)}
        | {"label_smoothing": smoothing},
        "tracking": {"tensorboard": True},
        "sweep": {"name": sweep.name},
    }
    record: dict[str, Any] = {
        "schema": 1,
        "status": "done",
        "failure": None,
        "identity": identity,
        "seed": seed,
        "sweep": sweep.name,
        "config": config,
        "resolved": {
            "weights": resolved,
            "precision": "fp32",
            "device": "cpu",
            "memory_format": "channels_last",
        },
        "data": {"fingerprint": "f00d", "n": {"train": 1257, "val": 270, "test": 270}},
        "params": 11181642,
        "epochs_run": 6,
        "best_epoch": 5,
        "threads": 2,
        "val": {"acc": val, "loss": 0.05, "balanced_acc": 97.5, "macro_f1": 97.25, "n": 270},
        "test": None if test is None else {"acc": test, "loss": 0.06, "balanced_acc": 96.5, "macro_f1": 96.25},
        "code_version": "c0de",
        "time": {"started": "2026-01-01T10:00:00+00:00", "finished": "2026-01-01T10:01:00+00:00", "minutes": 1.25}
        | {"images_per_s": 180.5},
    }
    record |= changes
    folder = sweep / f"{model}-{identity}" / f"seed={seed}"
    folder.mkdir(parents=True)
    about = {key: record[key] for key in ("schema", "identity", "seed", "sweep", "config", "resolved", "data")}
    (folder / "config.json").write_text(json.dumps(about))
    (folder / "record.json").write_text(json.dumps(record))
    if choices:
        lines = [f"      {group}: {choice}" for group, choice in {**choices, "hydra/sweeper": "grid"}.items()]
        (folder / ".hydra").mkdir()
        (folder / ".hydra" / "hydra.yaml").write_text("\n".join(["hydra:", "  runtime:", "    choices:", *lines, ""]))
    return folder


def write_failed(sweep: Path, identity: str, seed: int = 0, **changes: Any) -> Path:
    """The same of a run that failed: nothing is known but why."""
    failure = {"kind": "out_of_memory", "message": "CUDA out of memory.\nTried 2 GiB [/red]"}
    folder = write_run(sweep, identity, seed, **{"status": "failed", "failure": failure} | changes)
    record = json.loads((folder / "record.json").read_text())
    for key in ("params", "epochs_run", "best_epoch", "threads", "val", "test"):
        del record[key]
    record["time"] = {"finished": "2026-01-01T10:01:00+00:00"}
    (folder / "record.json").write_text(json.dumps(record))
    return folder


def write_demo(tmp_path: Path) -> Path:
    """resnet18 with two seeds done and one failed, resnet50 diverged, swin_t done without a test result."""
    sweep = tmp_path / "outputs" / "demo"
    write_run(sweep, "aaaaaaaaaa", 0, val=98.0, test=96.12344)
    write_run(sweep, "aaaaaaaaaa", 1, val=99.0, test=97.0, best_epoch=6, time={"minutes": 2.25, "images_per_s": 100.0})
    write_failed(sweep, "aaaaaaaaaa", 2)
    diverged = {"kind": "diverged", "message": "the loss is no longer finite in epoch 2"}
    exponential = "torch.optim.lr_scheduler.ExponentialLR"
    write_failed(
        sweep, "bbbbbbbbbb", model="resnet50", scheduler=exponential, lr=3e-5, status="diverged", failure=diverged
    )
    write_run(sweep, "cccccccccc", model="swin_t", test=None, val=98.75, lr=1e-2, optimizer="torch.optim.SGD", epochs=7)
    return sweep


def predict(folder: Path, right: np.ndarray, split: str = "test") -> None:
    """Leave predictions of two classes, right where `right` [N] is."""
    labels = np.arange(len(right)) % 2
    logits = np.eye(2, dtype=np.float32)[np.where(right, labels, 1 - labels)]
    names = np.array([f"{number}.png" for number in range(len(right))])
    np.savez(folder / f"predictions_{split}.npz", id=names, label=labels, logits=logits)


def run_with(sweep: Path, identity: str, seed: int, val: float, right: np.ndarray, **changes: Any) -> Path:
    data = {"fingerprint": "f00d", "n": {"train": 900, "val": 200, "test": len(right)}}
    folder = write_run(sweep, identity, seed, val=val, test=100 * float(right.mean()), data=data, **changes)
    predict(folder, right)
    return folder


def report(*arguments: str | Path, cwd: Path, width: int = 120) -> subprocess.CompletedProcess[str]:
    """`python -m analysis.report` in a pipe."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": str(width), "PYTHONWARNINGS": "error"}
    command = [sys.executable, "-m", "analysis.report", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=60)


def report_here(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The same without the half second that a process takes; in the current folder, in 120 columns."""
    out, err = io.StringIO(), io.StringIO()
    with mock.patch.dict(os.environ, COLUMNS="120"), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return subprocess.CompletedProcess([], code, out.getvalue(), err.getvalue())


def rows_of(result: subprocess.CompletedProcess[str]) -> list[dict[str, str]]:
    """The rows of a CSV report."""
    assert result.returncode == 0, result.stderr
    return list(csv.DictReader(io.StringIO(result.stdout)))
