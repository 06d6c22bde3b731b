"""Run folders -> one DataFrame, by `from analysis import load` and the report: whole, broken, unfinished, twice."""

import json
import os
from pathlib import Path

import pandas as pd
import pytest
from report_runs import COLUMNS, report, rows_of, write_demo, write_run

from analysis import load


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    return write_demo(tmp_path)


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
    assert rows["swin_t"]["seeds"] == "1" and rows["swin_t"]["status"] == "1 done, 1 unreadable"
    warnings = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 5
    assert [one for one in warnings if str(odd) in one and "its val_acc is 'high', expected 0 to 100" in one]
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
    text = " ".join(report(demo, other, cwd=tmp_path).stdout.split())
    assert "9 runs (2 with the configuration and seed of another: counted once), accuracy in per cent" in text


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
