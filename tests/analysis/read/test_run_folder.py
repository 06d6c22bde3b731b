"""What is read from one run folder."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_runs import report_here, rows_of, run_with, write_run

from analysis import load
from analysis.read import run_folder


def test_luck_of_the_epoch(tmp_path: Path) -> None:
    file = tmp_path / "history.csv"
    for values, selected, gain in (
        ([2, 2, 5, 2, 2], 3, 3.0),
        ([50, 57, 62, 65, 66, 65, 62], 5, 0.0),  # a parabola: its top is no luck
        ([50, 57, 62, 65, 68, 65, 62], 5, 2.0),
        ([50, 57, 62, 65, 66, 65], 5, 0.0),  # one epoch after it
        ([50, 60, 62, 65, 66, 65], 2, 3.0),
        ([2, 2, 2, 1, 2, 2], 4, -1.0),  # by another monitor than val_acc
        ([5, 4, 3, 3, 3], 1, None),
        ([3, 3, 3, 4, 5], 5, None),
        ([1, 5, 2, 2], 2, None),
        ([1, 5, 2, 2, 2], 9, None),
        ([1, 5, "x", 2, 2], 2, None),
    ):
        file.write_text("epoch,val_acc\n" + "".join(f"{n},{value}\n" for n, value in enumerate(values, 1)))
        found = run_folder.epoch_gain(tmp_path, selected)
        assert found is None if gain is None else found == pytest.approx(gain), values
    assert run_folder.epoch_gain(tmp_path / "none", 1) is None


RIGHT = np.arange(40) % 4 > 0  # 75 %
NAMES, LABELS = np.array([f"{number}.png" for number in range(40)]), np.arange(40) % 2
LOGITS = np.eye(2, dtype=np.float32)[np.where(RIGHT, LABELS, 1 - LABELS)]
MISFITS: dict[str, tuple[dict[str, Any], str]] = {
    "longer": ({"id": NAMES[:39], "label": LABELS[:39], "logits": LOGITS[:39]}, "39 images, expected 40"),
    "ragged": ({"label": LABELS[:9]}, "40 names, 9 labels and 40 rows of scores"),
    "accuracy": ({"logits": LOGITS[:, ::-1]}, "25.00 % of its images are right, expected 75.00 %"),
    "text": ({"logits": LOGITS.astype(str)}, "a row of scores an image"),
    "fractions": ({"label": LABELS + 0.5}, "whole numbers as labels"),
    "flat": ({"logits": LOGITS[:, 0]}, "a row of scores an image"),
    "other classes": ({"label": LABELS + 7}, "labels outside of its 2 classes"),
    "objects": ({"id": np.array([{}, []] * 20, dtype=object)}, "can't be read (ValueError)"),
}


@pytest.mark.parametrize("kind", [*MISFITS, "no archive", "cut off", "missing key"])
def test_predictions_that_do_not_fit_their_record_are_named_and_not_compared(tmp_path: Path, kind: str) -> None:
    sweep = tmp_path / "demo"
    sound = run_with(sweep, "aaaaaaaaaa", 0, 90.0, RIGHT)
    other = run_with(sweep, "bbbbbbbbbb", 0, 80.0, np.roll(RIGHT, 1), lr=1e-2)
    assert "left out" not in report_here(sweep).stdout
    file = sound / "predictions_test.npz"
    changes, reason = MISFITS.get(kind, ({}, "can't be read"))
    content = {"id": NAMES, "label": LABELS, "logits": LOGITS} | changes
    if kind == "missing key":
        del content["logits"]
    np.savez(file, **content)
    if kind == "no archive":
        file.write_bytes(b"nonsense")
    if kind == "cut off":
        file.write_bytes(file.read_bytes()[:500])
    page = tmp_path / "page.html"
    told = report_here(sweep, "--html", page)
    line = f"{sound}: predictions_test.npz"
    assert told.returncode == 0, told.stderr
    text = " ".join(told.stdout.split())
    assert line in text.replace(" " + str(sound), str(sound)) or line in text
    assert reason in text and "left out of the comparisons" in text and str(other) not in text
    assert reason.replace("'", "&#39;") in page.read_text()
    csv = report_here(sweep, "--format", "csv")
    assert csv.stderr.count("left out of the comparisons") == 1 and len(rows_of(csv)) == 2


def test_an_accuracy_out_of_range_is_a_damaged_record(tmp_path: Path) -> None:
    sweep = tmp_path / "demo"
    write_run(sweep, "aaaaaaaaaa")
    for number, value in enumerate([-0.5, 100.5, 1e300, float("nan"), float("inf")]):
        write_run(sweep, f"bbbbbbbbb{number}", val=value)
    write_run(sweep, "cccccccccc", test=101.0)
    runs = load(sweep).set_index("identity")
    assert runs["status"].tolist() == ["done"] + ["unreadable"] * 6
    assert runs["message"]["bbbbbbbbb1"] == "record.json: its val_acc is 100.5, expected 0 to 100 (per cent)"
    assert runs[["val_acc", "test_acc"]].notna().sum().tolist() == [1, 1]
