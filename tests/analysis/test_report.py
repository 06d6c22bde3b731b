"""The report, through its two doors: `python -m analysis.report` and `from analysis import load`."""

import contextlib
import csv
import io
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import ROOT

from analysis import load
from analysis.report import main

HEAD = (
    "model,weights,weights_resolved,optimizer,lr,scheduler,weight_decay,batch_size,epochs,seeds,val_acc,test_acc,"
    "best_epoch,params,images_per_s,minutes,status,"
    "val_sd,test_sd,test_low,test_high,diff,diff_low,diff_high,p,mark,claim,spread"
)
COLUMNS = HEAD.split(",")
EYES = [*COLUMNS[:12], "test_95", "diff", "mark", *COLUMNS[12:17]]


def write_run(sweep: Path, identity: str, seed: int = 0, **changes: Any) -> Path:
    """A run folder with a record as training writes it; `changes` are top-level keys of it, or short cuts."""
    val, test = changes.pop("val", 98.0), changes.pop("test", 97.0)
    model, resolved = changes.pop("model", "resnet18"), changes.pop("resolved", "none")
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
        "trainer": {"epochs": changes.pop("epochs", 6), "batch_size": changes.pop("batch_size", 64)},
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


def report(*arguments: str | Path, cwd: Path, width: int = 120) -> subprocess.CompletedProcess[str]:
    """`python -m analysis.report` in a folder and in a terminal of this width; a warning is an error."""
    with contextlib.chdir(cwd), pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setenv("COLUMNS", str(width))
        warnings.simplefilter("error")
        return report_here(*arguments)


def report_here(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The same without the half second that a process takes; in the current folder."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return subprocess.CompletedProcess([], code, out.getvalue(), err.getvalue())


def rows_of(result: subprocess.CompletedProcess[str]) -> list[dict[str, str]]:
    """The rows of a CSV report."""
    assert result.returncode == 0, result.stderr
    return list(csv.DictReader(io.StringIO(result.stdout)))


@pytest.fixture
def demo(tmp_path: Path) -> Path:
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


def test_csv_and_json_hold_every_column_as_plain_numbers(demo: Path, tmp_path: Path) -> None:
    result = report(demo, "--format", "csv", cwd=tmp_path)
    rows = rows_of(result)
    assert result.stdout.splitlines()[0] == HEAD
    assert [row["model"] for row in rows] == ["swin_t", "resnet18", "resnet50"]  # by val_acc, the unknown one last
    expected = {
        "weights": "none",
        "weights_resolved": "none",
        "optimizer": "adamw",
        "lr": "0.001",
        "scheduler": "none",
        "weight_decay": "0.05",
        "batch_size": "64",
        "epochs": "6",
        "seeds": "2",
        "val_acc": "98.5",
        "test_acc": "96.5617",
        "best_epoch": "5.5",
        "params": "11181642",
        "images_per_s": "140.25",
        "minutes": "1.75",
        "status": "2 done, 1 failed",
        "val_sd": "0.7071",
        "test_sd": "0.6198",
        "claim": "configuration",
        "spread": "own",
    }
    assert rows[1].items() >= {"model": "resnet18", **expected}.items()
    assert float(rows[1]["test_low"]) < 96.5617 < float(rows[1]["test_high"])
    assert rows[2]["lr"] == "3e-05" and rows[2]["scheduler"] == "exponential" and rows[2]["status"] == "diverged"
    assert rows[2]["seeds"] == "0" and rows[2]["val_acc"] == rows[2]["params"] == ""
    assert rows[0]["optimizer"] == "sgd" and rows[0]["test_acc"] == "" and rows[0]["status"] == "done"
    assert "failed (out_of_memory): " in result.stderr and "finite in epoch 2" in result.stderr

    objects = json.loads(report(demo, "--format", "json", cwd=tmp_path).stdout)
    assert [list(one) for one in objects] == [COLUMNS] * 3
    assert objects[1]["test_acc"] == 96.5617 and objects[1]["seeds"] == 2 and objects[1]["params"] == 11181642
    assert objects[2]["val_acc"] is None and objects[2]["lr"] == 3e-5


def test_markdown_and_latex_are_ready_to_paste(demo: Path, tmp_path: Path) -> None:
    write_run(demo, "dddddddddd", model="a|b&c_d", val=99.5)
    lines = report(demo, "--format", "markdown", cwd=tmp_path).stdout.splitlines()
    assert lines[0] == f"| {' | '.join(EYES)} |"
    assert set(lines[1]) == set("| -:") and len(lines) == 2 + 4
    assert lines[2].startswith(r"| a\|b&c_d | none | none | adamw | 0.001 |")
    assert "| 2 | 98.50 ± 0.71 | 96.56 ± 0.62 | " in lines[4]
    assert "| 5.50 | 11181642 | 140.25 | 1.75 | 2 done, 1 failed |" in lines[4]

    text = report(demo, "--format", "latex", cwd=tmp_path).stdout
    lines = text.splitlines()
    for word in (r"\begin{tabular}", r"\toprule", r"\midrule", r"\bottomrule", r"\end{tabular}", r"val\_acc"):
        assert word in text
    assert r"a|b\&c\_d & none & none & adamw" in text
    table_rows = [line for line in lines if line.endswith(r"\\")]
    assert len(table_rows) == 5 and {line.replace(r"\&", "").count(" & ") for line in table_rows} == {19}


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_and_shows_every_number(demo: Path, tmp_path: Path, width: int) -> None:
    write_run(
        demo,
        "eeeeeeeeee",
        model="swin_v2_b",
        val=12.345,
        test=54.321,
        weights="imagenet1k_v1",
        resolved="IMAGENET1K_V1",
    )
    text = report(demo, cwd=tmp_path, width=width).stdout
    assert max(map(len, text.splitlines())) <= width and "…" not in text
    numbers = ["98.50", "96.56", "5.50", "98.75", "12.35", "54.32", "180.50", "140.25", "1.75", "11.18M", "3e-05"]
    words = ["resnet18", "swin_v2_b", "IMAGENET1K_V1", "exponential", "sgd", "2 done, 1 failed", "diverged"]
    flowing = " ".join(text.split())
    assert not [one for one in numbers + words if one not in flowing]
    assert "all rows: weight_decay=0.05, batch_size=64" in flowing  # and neither is a column
    assert text.count("weight_decay") == text.count("batch_size") == 1 and "scheduler=" not in text
    assert f"failed (out_of_memory): {demo}/resnet18-aaaaaaaaaa/seed=2".replace(" ", "") in flowing.replace(" ", "")
    assert "CUDA out of memory. Tried 2 GiB [/red]" in flowing
    assert "diverged: " in flowing and "the loss is no longer finite in epoch 2" in flowing


def test_the_demo_table_is_one_piece_in_120_columns(tmp_path: Path) -> None:
    for model, val in (("resnet18", 98.0), ("resnet50", 95.0)):
        write_run(tmp_path / "outputs" / "demo", f"{model[-2:]}aaaaaaaa", model=model, val=val)
    lines = report("outputs/demo", cwd=tmp_path, width=120).stdout.splitlines()
    assert lines[0].startswith("outputs/demo: 2 runs")
    head, *body = [line.split() for line in lines if line.startswith(("model", "resnet"))]
    assert head == ["model", "val_acc", "test_acc", "test_95", "diff", "mark", "best_epoch", "images_per_s", "minutes"]
    interval = ["94.2", "to", "98.5"]  # Wilson's, of 262 right in 270
    assert body[0] == ["resnet18", "98.00", "97.00", *interval, "-", "reference", "5", "180.50", "1.25"]
    assert body[1][:7] == ["resnet50", "95.00", "97.00", *interval, "0.0"]
    assert body[1][-4:] == ["tied", "5", "180.50", "1.25"]
    assert "params=11.18M, status=done" in " ".join(" ".join(lines).split())


def test_rows_that_would_look_alike_show_what_tells_them_apart(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    write_run(sweep, "aaaaaaaaaa", flip=0.0, val=91.0)
    write_run(sweep, "bbbbbbbbbb", flip=0.5, val=92.0)
    write_run(sweep, "cccccccccc", flip=0.25, val=93.0, data={"fingerprint": "f00d"})
    text = report(sweep, cwd=tmp_path, width=160).stdout
    head, *body = [line.split() for line in text.splitlines() if line.startswith(("model", "resnet"))]
    assert [cells[head.index("augment.flip") - len(head)] for cells in body] == ["0.25", "0.5", "0"]
    assert "crop_ratio" not in text and "tracking" not in text and "fingerprint" not in text
    assert rows_of(report(sweep, "--format", "csv", cwd=tmp_path))[0].keys() == set(COLUMNS)


def test_where_and_sort(demo: Path) -> None:
    def models(*arguments: str) -> list[str]:
        return [row["model"] for row in rows_of(report_here(demo, "--format", "csv", *arguments))]

    assert models("--sort", "model") == ["resnet18", "resnet50", "swin_t"]
    assert models("--sort", "lr") == ["swin_t", "resnet18", "resnet50"]
    assert models("--sort", "test_acc") == ["resnet18", "swin_t", "resnet50"]  # two without: by val_acc
    query = "model.str.startswith('resnet') and `augment.flip` == 0 and lr < 1e-2"
    assert models("--where", query) == ["resnet18", "resnet50"]
    (row,) = rows_of(report_here(demo, "--format", "csv", "--where", "seed == 1 and val_macro_f1 > 97"))
    assert (row["seeds"], row["val_acc"], row["minutes"], row["status"]) == ("1", "99.0", "2.25", "done")
    nothing = report_here(demo, "--format", "csv", "--where", "best_epoch > 99")
    assert nothing.returncode == 0 and nothing.stdout.strip() == HEAD
    assert "none of the 5 runs" in nothing.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["outputs/dmeo"], ["outputs/dmeo", "did you mean demo?"]),
        (["outputs/demo/notes.txt"], ["notes.txt is not a folder"]),
        (["empty"], ["no runs in empty", "record.json"]),
        (["--sort", "valacc"], ["valacc", "did you mean val_acc?"]),
        (["--where", "modle == 'resnet18'"], ["modle", "did you mean model?"]),
        (["--where", "lr >"], ["lr >", "syntax"]),
        (["--where", "seed + 1"], ["neither true nor false"]),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (demo / "notes.txt").touch()
    result = report_here(*arguments)
    assert result.returncode == 2 and result.stdout == ""
    assert len(result.stderr.splitlines()) == 1 and not [word for word in words if word not in result.stderr]


def test_broken_records_are_rows_too(demo: Path, tmp_path: Path) -> None:
    cut = write_run(demo, "aaaaaaaaaa", 3) / "record.json"  # config.json still says what it was
    cut.write_text(cut.read_text()[:200])
    lost = write_run(demo, "dddddddddd", 4, model="swin_s")
    (lost / "record.json").write_bytes(b"\xff\xfe\x00")
    (lost / "config.json").write_text("[]")
    newer = write_run(demo, "bbbbbbbbbb", 5, model="resnet50", schema=2)
    odd = write_run(demo, "cccccccccc", 6, model="swin_t", val="high", time=[], params="many")
    bare = write_run(demo, "ffffffffff", 7, model="swin_b")
    (bare / "record.json").write_text('{"schema": 1, "status": "done"}')

    result = report(demo, "--format", "csv", cwd=tmp_path)
    rows = {row["model"]: row for row in rows_of(result)}
    assert rows["resnet18"]["status"] == "2 done, 1 failed, 1 unreadable" and rows["resnet18"]["val_acc"] == "98.5"
    assert rows["resnet50"]["status"] == "1 diverged, 1 unreadable"
    assert rows[""]["status"] == "unreadable" and rows["swin_b"]["status"] == "unreadable"
    assert rows["swin_t"]["seeds"] == "2" and rows["swin_t"]["val_acc"] == "98.75"
    warnings = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 4 and not [one for one in warnings if str(odd) in one]
    assert [one for one in warnings if str(cut.parent) in one and "record.json" in one and "JSON" in one]
    assert [one for one in warnings if str(newer) in one and "schema" in one]
    assert [one for one in warnings if str(bare) in one and "no identity" in one]

    row = load(demo).set_index("folder").loc[str(lost)]
    assert (row["identity"], row["seed"], row["sweep"]) == ("dddddddddd", 4, "demo")


def test_runs_without_a_record_are_unfinished(demo: Path, tmp_path: Path) -> None:
    folder = write_run(demo, "dddddddddd", model="swin_b")
    (folder / "record.json").unlink()
    head = "epoch,lr,train_loss,train_acc,val_loss,val_acc,grad_norm,seconds,images_per_s\n"
    (folder / "history.csv").write_text(head + "1,.1,2,50,2,60,1,30,100\n2,.1,2,50,2,70,1,90,200\n3,.1,2,5")
    (write_run(demo, "aaaaaaaaaa", 3) / "record.json").unlink()
    rows = {row["model"]: row for row in rows_of(report(demo, "--format", "csv", cwd=tmp_path))}
    assert rows["resnet18"]["status"] == "2 done, 1 failed, 1 unfinished" and rows["resnet18"]["seeds"] == "2"
    row = rows["swin_b"]
    assert (row["status"], row["seeds"], row["val_acc"], row["lr"]) == ("unfinished", "0", "", "0.001")
    assert (row["minutes"], row["images_per_s"]) == ("2.0", "175.0")
    assert load(folder)["epochs_run"].tolist() == [2]


def test_load_gives_a_row_a_run(demo: Path) -> None:
    runs = load(demo)
    assert len(runs) == 5 and set(COLUMNS[:17]) - {"seeds"} <= set(runs.columns) and runs.columns.is_unique
    one = runs.query("identity == 'aaaaaaaaaa' and seed == 1").iloc[0]
    assert (one["sweep"], one["val_acc"], one["test_acc"], one["status"]) == ("demo", 99.0, 97.0, "done")
    assert (one["precision"], one["device"], one["memory_format"]) == ("fp32", "cpu", "channels_last")
    assert (one["val_balanced_acc"], one["test_macro_f1"], one["data.size"]) == (97.5, 96.25, 32)
    assert one["folder"] == str(demo / "resnet18-aaaaaaaaaa" / "seed=1")
    assert all(pd.api.types.is_float_dtype(runs[name]) for name in ("lr", "val_acc", "test_acc", "minutes"))
    assert all(pd.api.types.is_integer_dtype(runs[name]) for name in ("seed", "params", "best_epoch", "epochs"))
    assert runs.loc[runs["status"] == "failed", ["failure", "test_acc"]].isna().to_numpy().tolist() == [[False, True]]


def test_several_folders_and_the_same_run_twice(demo: Path, tmp_path: Path) -> None:
    other = demo.parent / "other"
    again = {"finished": "2026-01-02T10:01:00+00:00", "minutes": 1.5}
    write_run(other, "aaaaaaaaaa", 0, val=98.0, test=96.12344, time=again)  # a run of demo: no second replicate
    write_run(other, "aaaaaaaaaa", 2, val=97.0, test=95.0)  # failed there, done here
    for sweep, name in ((demo, "imagenet1k_v1"), (other, "default")):
        seed = len(name)
        write_run(sweep, "dddddddddd", seed, model="resnet34", weights=name, resolved="IMAGENET1K_V1")
    single = demo / "swin_t-cccccccccc" / "seed=0"
    assert len(load(demo.parent)) == len(load(demo, other, os.path.relpath(single))) == 5 + 4
    assert len(load(single)) == 1
    rows = {row["model"]: row for row in rows_of(report(demo, other, "--format", "csv", cwd=tmp_path))}
    assert (rows["resnet18"]["seeds"], rows["resnet18"]["status"]) == ("3", "done")
    assert float(rows["resnet18"]["val_acc"]) == 98.0
    assert (rows["resnet34"]["weights"], rows["resnet34"]["seeds"]) == ("default+imagenet1k_v1", "2")


def test_a_run_that_was_asked_for_under_two_names_shows_both(demo: Path, tmp_path: Path) -> None:
    run = write_run(demo, "dddddddddd", model="resnet34", weights="default", resolved="IMAGENET1K_V1")
    asked = {f"{run.parent.name}/{run.name}": ["default", "imagenet1k_v1"], "another-eeeeeeeeee/seed=0": ["none"]}
    (demo / "sweep.json").write_text(json.dumps({"asked": asked}))
    rows = {row["model"]: row for row in rows_of(report(demo, "--format", "csv", cwd=tmp_path))}
    assert (rows["resnet34"]["weights"], rows["resnet18"]["weights"]) == ("default+imagenet1k_v1", "none")
    for broken in ("{", "[]", '{"asked": []}', json.dumps({"asked": dict.fromkeys(asked, 1)})):
        (demo / "sweep.json").write_text(broken)
        runs = load(demo)
        assert runs.loc[runs["model"] == "resnet34", "weights"].tolist() == ["default"]


def test_no_folder_means_the_newest_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = report(cwd=tmp_path)
    assert result.returncode == 2 and "no runs under outputs/" in result.stderr and len(result.stderr.splitlines()) == 1
    newer = write_run(tmp_path / "outputs" / "a", "aaaaaaaaaa", model="resnet50")
    older = write_run(tmp_path / "outputs" / "b", "bbbbbbbbbb", model="resnet18")
    for folder, when in ((newer, 2e9), (older, 1e9)):
        for file in folder.iterdir():
            os.utime(file, (when, when))
    assert report(cwd=tmp_path).stdout.startswith("outputs/a: 1 run,")
    (older / "history.csv").write_text("epoch\n")
    os.utime(older / "history.csv", (3e9, 3e9))
    monkeypatch.chdir(tmp_path)
    assert load()["model"].tolist() == ["resnet18"]


COUNTED = """
import cProfile, json, sys
def both():
    from analysis import load
    from analysis.report import main
    load("sweep")
    return main(["sweep"])
profile = cProfile.Profile()
assert not profile.runcall(both)
print(json.dumps([sorted(sys.modules), sum(entry.callcount for entry in profile.getstats())]), file=sys.stderr)
"""


def test_twenty_runs_in_no_time_and_without_torch(tmp_path: Path) -> None:
    """By what is imported and how many functions are called, which are the same on every machine."""
    for number in range(20):
        write_run(tmp_path / "sweep", f"{number:010x}", lr=1 / (number + 1))
    command, environment = [sys.executable, "-c", COUNTED], {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    modules, calls = json.loads(result.stderr)
    assert not {"torch", "torchvision", "hydra", "optuna", "sklearn"} & set(modules)
    assert len(modules) < 1900 and calls < 4_000_000  # three quarters of that, most of it pandas and statsmodels


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    for number in range(300):
        write_run(tmp_path / "sweep", f"{number:010x}", lr=1 / (number + 1))
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    for arguments in ([], ["--format", "csv"]):
        command = [sys.executable, "-m", "analysis.report", "sweep", *arguments]
        process = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b"" and process.wait() == 0
        process.stderr.close()
