"""What the report claims of rows, against cases whose answer is known by hand."""

import math
from pathlib import Path

import numpy as np
from report_runs import near, report_here, rows_of, run_with, write_run

from analysis.statistics import inference


def test_trained_models_on_the_same_images(tmp_path: Path) -> None:
    """One run each: McNemar, and no claim about configurations."""
    first, second = np.ones(100, dtype=bool), np.ones(100, dtype=bool)
    first[:1] = False
    second[1:10] = False
    run_with(tmp_path / "sweep", "aaaaaaaaaa", 0, 99.0, first, model="resnet18")
    run_with(tmp_path / "sweep", "bbbbbbbbbb", 0, 98.0, second, model="resnet50")
    rows = rows_of(report_here(tmp_path / "sweep", "--format", "csv"))
    assert [row["claim"] for row in rows] == ["model", "model"] and rows[1]["spread"] == ""
    assert (rows[1]["p"], rows[1]["mark"], rows[1]["diff"]) == ("0.0215", "worse", "-8.0")
    low, high = inference.paired_difference(1, 9, 100)
    assert (float(rows[1]["diff_low"]), float(rows[1]["diff_high"])) == near((100 * low, 100 * high), 1e-3)
    assert float(rows[0]["test_low"]) == near(100 * inference.wilson(0.99, 100)[0], 1e-3)
    text = report_here(tmp_path / "sweep").stdout
    assert "About these trained models, not their configurations" in " ".join(text.split())


def test_configurations_on_the_same_images(tmp_path: Path) -> None:
    """Seeds that agree on every image: what is left is the sampling of images, and it is known by hand."""
    first, second = np.ones(400, dtype=bool), np.ones(400, dtype=bool)
    first[:20] = False
    second[10:60] = False  # 10 that only the second gets right, 40 that only the first does
    for seed in range(3):
        run_with(tmp_path / "sweep", "aaaaaaaaaa", seed, 99.0, first, model="resnet18")
        run_with(tmp_path / "sweep", "bbbbbbbbbb", seed, 98.0, second, model="resnet50")
    rows = rows_of(report_here(tmp_path / "sweep", "--format", "csv", "--reference", "aaaa"))
    row = rows[1]
    assert (row["claim"], row["mark"], row["diff"], row["test_sd"]) == ("configuration", "worse", "-7.5", "0.0")
    error = 100 * math.sqrt(((10 + 40) / 400 - 0.075**2) / 399)
    half = (float(row["diff_high"]) - float(row["diff_low"])) / 2
    assert half == near(1.966 * error, 0.02)
    # the same spread between seeds, but the first takes all images right: other rows on other images are not compared
    other = np.ones(50, dtype=bool)
    run_with(tmp_path / "sweep", "cccccccccc", 0, 90.0, other, model="swin_t")
    rows = rows_of(report_here(tmp_path / "sweep", "--format", "csv"))
    assert (rows[2]["model"], rows[2]["test_set"], rows[2]["mark"], rows[2]["diff"]) == ("swin_t", "2", "reference", "")


def test_the_reference_is_the_best_by_val_or_the_one_that_is_named(tmp_path: Path) -> None:
    for identity, model, val, test in (("aaaaaaaaaa", "resnet18", 99, 90), ("bbbbbbbbbb", "resnet50", 98, 95)):
        write_run(tmp_path / "sweep", identity, model=model, val=val, test=test)

    def reference(*arguments: str) -> list[str]:
        rows = rows_of(report_here(tmp_path / "sweep", "--format", "csv", *arguments))
        return [row["model"] for row in rows if row["mark"] == "reference"]

    assert reference() == ["resnet18"], "its test accuracy chooses nothing"
    assert reference("--reference", "bbbb") == reference("--reference", "model == 'resnet50'") == ["resnet50"]
    assert report_here(tmp_path / "sweep", "--reference", "model == 'swin_t'").returncode == 2
