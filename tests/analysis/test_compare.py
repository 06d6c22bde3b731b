"""python -m analysis.compare: what differs between two runs, and on which test images they disagree."""

import csv
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import browser, visit
from conftest import QUICK, Door, Result, run_folders
from digit_images import write_digits
from outcome import TINY, history_of
from report_runs import predict, run_with

from analysis.compare import main
from analysis.statistics.inference import mcnemar, paired_difference

__all__ = ["browser"]

LEARNING = [arg for arg in QUICK if not arg.startswith(("debug", "data.size"))]


@pytest.fixture
def compare(capfd: pytest.CaptureFixture[str]) -> Door:
    def call(*arguments: str | Path) -> Result:
        capfd.readouterr()
        code = main([str(one) for one in arguments])
        return Result(code, *capfd.readouterr())

    return call


def rows_of(result: Result) -> list[dict[str, str]]:
    assert result.code == 0, result.err
    return list(csv.DictReader(io.StringIO(result.out)))


def two(sweep: Path, **changes: Any) -> tuple[Path, Path]:
    """Two runs that share 100 test images: A alone is right on 9, B alone on 2, neither on 4."""
    right = np.ones(100, dtype=bool)
    a, b = right.copy(), right.copy()
    a[[10, 11, 20, 21, 22, 23]] = False
    b[[*range(30, 39), 20, 21, 22, 23]] = False
    first = run_with(sweep, "aaaaaaaaaa", 0, 90.0, a)
    return first, run_with(sweep, "bbbbbbbbbb", 0, 90.0, b, **changes)


def history(folder: Path, *losses: float) -> None:
    lines = ["epoch,lr,train_loss,train_acc,val_loss,val_acc,seconds,images_per_s"]
    lines += [f"{number},0.1,{loss},50,1,50,{number},9" for number, loss in enumerate(losses, 1)]
    (folder / "history.csv").write_text("\n".join(lines) + "\n")


def test_counts_and_mcnemar(tmp_path: Path, compare: Door) -> None:
    a, b = two(tmp_path / "grid", lr=1e-2)
    history(a, 2.0, 1.5, 1.0)
    history(b, 2.0, 1.25, 1.5, 1.0)
    found = json.loads(compare(a, b, "--format", "json").out)
    images = found["test_images"]
    counts = [images[name] for name in ("n", "both_right", "only_a", "only_b", "both_wrong")]
    assert counts == [100, 85, 9, 2, 4]
    assert images["p"] == pytest.approx(mcnemar(9, 2)) and images["points"] == pytest.approx(7.0)
    assert images["interval"] == pytest.approx([100 * end for end in paired_difference(9, 2, 100)])
    assert {one["name"] for one in images["disagreements"]} == {f"{n}.png" for n in (10, 11, *range(30, 39))}
    one = next(one for one in images["disagreements"] if one["name"] == "30.png")
    assert one["kind"] == "only A is right" and one["guesses"] == ["0", "1"] and one["label"] == "0"
    assert one["confidences"][0] == pytest.approx(np.e / (1 + np.e))
    assert [one for one in found["differences"] if one["part"] == "config"] == [
        {"part": "config", "name": "optimizer.lr", "a": "0.001", "b": "0.01"}
    ]
    assert found["curves"] == [{"column": "train_loss", "epoch": 2, "a": 1.5, "b": 1.25, "largest": 0.5}]
    text = compare(a, b)
    assert "optimizer.lr" in text.out and "The train loss parts in epoch 2: 1.5 (A), 1.25 (B), -0.25" in text.out
    assert "9 test images: only A is right" in text.out and "30.png: is 0; A says 0 73 %, B 1 73 %" in text.out
    assert "not about their settings" in text.out and "is not shown" in text.out
    rows = rows_of(compare(a, b, "--format", "csv"))
    assert sum(row["part"] == "only A is right" for row in rows) == 9
    assert {"part": "config", "name": "optimizer.lr", "a": "0.001", "b": "0.01", "note": ""} in rows


def test_the_order_of_images_and_classes_is_no_difference(tmp_path: Path, compare: Door) -> None:
    a, b = two(tmp_path / "grid")
    with np.load(b / "predictions_test.npz") as content:
        arrays = {name: content[name][::-1] for name in content.files}
    np.savez(b / "predictions_test.npz", **arrays)
    found = json.loads(compare(a, b, "--format", "json").out)["test_images"]
    assert [found["only_a"], found["only_b"]] == [9, 2]


def test_other_test_images_are_said_and_not_compared(tmp_path: Path, compare: Door) -> None:
    a, b = two(tmp_path / "grid")
    right = np.ones(60, dtype=bool)
    c = run_with(tmp_path / "grid", "cccccccccc", 0, 90.0, right)
    found = compare(a, c)
    assert found.code == 0
    assert "the test images are not the same: A has 100, B 60, and 60 names are in both" in found.out
    assert "McNemar" not in found.out and "test images" in found.out
    (b / "predictions_test.npz").unlink()
    assert "Test images can't be compared: B: predictions_test.npz can't be read" in compare(a, b).out
    assert json.loads(compare(a, b, "--format", "json").out)["test_images"].keys() == {"not_compared"}


def test_a_run_with_itself(tmp_path: Path, compare: Door) -> None:
    a, _ = two(tmp_path / "grid")
    history(a, 2.0, 1.5)
    found = compare(a, a)
    assert "A and B are the same folder." in found.out and "same to the bit" in found.out
    assert "nothing to test" in found.out and "Nothing that is recorded of config" in found.out


def test_code_machine_and_packages(tmp_path: Path, compare: Door) -> None:
    versions = {"python": "3.11.7", "torch": "2.9.0", "packages": "numpy==2.1.0 torch==2.9.0"}
    other = versions | {"torch": "2.10.0", "packages": "numpy==2.1.0 timm==1.0.20 torch==2.10.0"}
    a, b = two(tmp_path / "grid", versions=other, threads=8, machine={"cores": 8}, code_version="beef")
    record = json.loads((a / "record.json").read_text()) | {"versions": versions, "machine": {"cores": 2}}
    (a / "record.json").write_text(json.dumps(record))
    found = {(row["part"], row["name"]): (row["a"], row["b"]) for row in rows_of(compare(a, b, "--format", "csv"))}
    assert found["code", "code version"] == ("c0de", "beef") and found["code", "torch"] == ("2.9.0", "2.10.0")
    assert found["machine", "threads"] == ("2", "8") and found["machine", "cores"] == ("2", "8")
    assert found["packages", "timm"] == ("not installed", "1.0.20") and ("packages", "numpy") not in found


def test_names_that_the_report_shows(tmp_path: Path, compare: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    two(tmp_path / "outputs" / "grid")
    monkeypatch.chdir(tmp_path)
    found = json.loads(compare("aaaaa", "outputs/grid/bbbbb/seed=0", "--format", "json").out)
    assert [found[side]["identity"] for side in "ab"] == ["aaaaaaaaaa", "bbbbbbbbbb"]
    for arguments, word in ((("aaaaa", "ffff"), "no such folder"), (("aaaaa", tmp_path), "no run in it")):
        refused = compare(*arguments)
        assert refused.code == 2 and word in refused.err and refused.err.count("\n") <= 2, refused.err


def test_cells_that_act_and_pages_that_would(tmp_path: Path, compare: Door) -> None:
    a, b = two(tmp_path / "grid")
    for folder in (a, b):
        with np.load(folder / "predictions_test.npz") as content:
            arrays = dict(content)
        names = [f"=1+{name}" if name != "30.png" else "<script>x</script>\u202e.png" for name in arrays["id"]]
        np.savez(folder / "predictions_test.npz", **(arrays | {"id": np.array(names)}))
    rows = rows_of(compare(a, b, "--format", "csv"))
    assert all(row["name"][0] in "'<" for row in rows if row["part"].startswith("only"))
    page = tmp_path / "deep" / "compare.html"
    assert compare(a, b, "--html", page).code == 0
    text = page.read_text()
    assert "<script>x" not in text and "&lt;script&gt;x" in text and "\u202e" not in text
    assert text.count("no picture") == 11


def test_two_seeds_and_two_rates_that_were_trained(train: Door, tmp_path: Path, compare: Door) -> None:
    photos = write_digits(tmp_path / "photos", range(3), 20, 8, 12)
    command = [*LEARNING, "data=folder", f"data.root={photos}", "data.size=16", TINY, "tracking=none"]
    for line in (["seed=0"], ["seed=1"], ["optimizer.lr=3e-3"]):
        done = train(*command, *line)
        assert done.code == 0, done.err
    folders = {(one.parent.name, one.name): one for one in run_folders(tmp_path / "outputs")}
    seeds = [one for name, one in folders.items() if "lr0.003" not in name[0]]
    (rate,) = [one for name, one in folders.items() if "lr0.003" in name[0]]
    page = tmp_path / "compare.html"
    found = compare(*seeds, "--html", page)
    assert "replicates of one configuration" in found.out and re.search(r"config +A +B\n *seed +0 +1", found.out, re.I)
    assert "parts in epoch 1" in found.out
    text = page.read_text()
    told = json.loads(compare(*seeds, "--format", "json").out)["test_images"]
    assert text.count("data:image/jpeg") == len(told["disagreements"]) and "plotly" in text
    assert "no picture" not in text
    shutil.rmtree(photos)
    assert compare(*seeds, "--html", page).code == 0
    assert page.read_text().count("data:image/jpeg") + page.read_text().count(">no picture<") == len(
        told["disagreements"]
    )

    other = json.loads(compare(seeds[0], rate, "--format", "json").out)
    names = {one["name"] for one in other["differences"] if one["part"] == "config"}
    assert names == {"optimizer.lr"}
    assert next(one for one in other["curves"] if one["column"] == "lr")["epoch"] == 1
    train_loss = [history_of(one)[0]["train_loss"] for one in (seeds[0], rate)]
    assert next(one for one in other["curves"] if one["column"] == "train_loss")["a"] == train_loss[0]


def test_unfinished_and_unreadable_runs(tmp_path: Path, compare: Door) -> None:
    a, b = two(tmp_path / "grid")
    (b / "record.json").unlink()
    predict(b, np.ones(100, dtype=bool))
    found = compare(a, b)
    assert found.code == 0 and "B is unfinished" in found.out and "has no history.csv" in found.out
    (b / "record.json").write_text("{")
    refused = compare(a, b)
    assert refused.code == 2 and "record.json" in refused.err


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_a_browser(tmp_path: Path, compare: Door, browser: Any, scheme: str) -> None:
    a, b = two(tmp_path / "grid", lr=1e-2)
    history(a, 2.0, 1.5, 1.0)
    history(b, 2.0, 1.25, 1.5, 1.0)
    page = tmp_path / "compare.html"
    assert compare(a, b, "--html", page).code == 0
    for width in (1280, 400):
        opened, errors = visit(browser, page, width, scheme)
        assert errors == []
        assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out to the side"
        assert opened.locator("[data-plot] .main-svg").count() >= 3 and opened.locator(".images figure").count() == 11
