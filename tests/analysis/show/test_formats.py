"""The table as CSV, JSON, Markdown and LaTeX."""

import json
from pathlib import Path

import numpy as np
import pytest
from report_runs import COLUMNS, HEAD, report, report_here, rows_of, run_with, write_demo, write_run

EYES = ["model", "optimizer", "lr", "scheduler", "epochs", "seeds", "val_acc", "test_acc", "test_95", "diff", "mark"]
EYES += ["collapsed", "best_epoch", "params", "images_per_s", "minutes", "status", "id"]


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    return write_demo(tmp_path)


def test_csv_and_json_hold_every_column_as_plain_numbers(demo: Path, tmp_path: Path) -> None:
    result = report(demo, "--format", "csv", cwd=tmp_path)
    rows = rows_of(result)
    assert result.stdout.splitlines()[0] == f"{HEAD},collapsed"
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
    assert [list(one) for one in objects] == [[*COLUMNS, "collapsed"]] * 3
    assert objects[1]["test_acc"] == 96.5617 and objects[1]["seeds"] == 2 and objects[1]["params"] == 11181642
    assert objects[2]["val_acc"] is None and objects[2]["lr"] == 3e-5


def test_markdown_and_latex_are_ready_to_paste(demo: Path, tmp_path: Path) -> None:
    write_run(demo, "dddddddddd", model="a|b&c_d", val=99.5)
    lines = report(demo, "--format", "markdown", cwd=tmp_path).stdout.splitlines()
    assert lines[0] == f"| {' | '.join(EYES)} |"
    assert set(lines[1]) == set("| -:") and len(lines) == 2 + 4 + 2
    assert lines[2].startswith(r"| a\|b&c_d | adamw | 0.001 | none |")
    assert "| 2 | 98.5 ± 0.7 | 96.6 ± 0.6 | " in lines[4]
    assert "| 5.5 | 11.18M | 140 | 1.75 | 2 done, 1 failed | aaaaa |" in lines[4]
    assert lines[-1] == "All rows: weights=none, weight_decay=0.05, batch_size=64"

    text = report(demo, "--format", "latex", cwd=tmp_path).stdout
    lines = text.splitlines()
    for word in (
        r"\begin{tabular}",
        r"\toprule",
        r"\midrule",
        r"\bottomrule",
        r"\end{tabular}",
        r"val acc. (\%)",
        r"batch\_size=64",
    ):
        assert word in text
    assert r"a|b\&c\_d & adamw & 0.001 & none" in text
    table_rows = [line for line in lines if line.endswith(r"\\")]
    assert len(table_rows) == 5 and {line.replace(r"\&", "").count(" & ") for line in table_rows} == {len(EYES) - 2}


ESCAPE, TURNED, LINK = "m\x1b[31m\x07red", "photo\u202egnp.exe", "[bold]x[/] ![a](http://b.c/d) <b>"
FORMULAS = ["=1+1", "+cmd", "@SUM(A1)", "-x", '=HYPERLINK("http://a")']


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    sweep = tmp_path / "hostile"
    classes = {name: 50.0 for name in (ESCAPE, TURNED, LINK)}
    for number, model in enumerate([ESCAPE, TURNED, LINK, *FORMULAS]):
        folder = run_with(sweep, f"{number:010x}", 0, 90.0, np.arange(40) % 4 > 0, model="m")
        record = json.loads((folder / "record.json").read_text())
        record["config"]["model"]["name"] = model
        record["config"][f"odd{TURNED}"] = {ESCAPE: number}
        record["test"]["per_class_acc"] = classes
        record["data"]["classes"] = [ESCAPE, TURNED]
        (folder / "record.json").write_text(json.dumps(record))
    failure = {"kind": "exception", "message": f"{ESCAPE} {TURNED} [/red]"}
    write_run(sweep, "ffffffffff", status="failed", failure=failure)
    return sweep


@pytest.mark.parametrize("kind", ["table", "markdown", "latex", "csv", "json"])
def test_names_from_elsewhere_act_on_nothing(hostile: Path, kind: str) -> None:
    page = hostile.parent / "page.html"
    told = report_here(hostile, "--format", kind, "--html", page)
    assert told.returncode == 0, told.stderr
    for text in (told.stdout, told.stderr, page.read_text().partition("<script>")[0]):
        assert not {"\x1b", "\x07", "\u202e"} & set(text)
    if kind == "json":
        names = [row["model"] for row in json.loads(told.stdout)]
        assert {ESCAPE, TURNED, LINK, *FORMULAS} <= set(names)  # escaped, so the same characters
        assert "\\u202e" in told.stdout
    elif kind == "csv":
        names = [row["model"] for row in rows_of(told)]
        assert {f"'{name}" for name in FORMULAS} <= set(names) and "photo\\u202egnp.exe" in names
        raw = report_here(hostile, "--format", "csv", "--raw")
        assert {ESCAPE, TURNED, *FORMULAS} <= {row["model"] for row in rows_of(raw)}
    elif kind == "markdown":
        assert r"[bold]x[/] ![a\](http://b.c/d) \<b>" in told.stdout
    elif kind == "table":
        assert "\\u202egnp.exe" in "".join(told.stdout.split())


def test_raw_is_for_csv(hostile: Path) -> None:
    told = report_here(hostile, "--raw")
    assert told.returncode == 2 and told.stderr.count("\n") == 1 and "--format csv" in told.stderr
