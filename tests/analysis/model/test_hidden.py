"""Rows that --where hides count as comparisons: those that would be shown, on their own test set."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from report_runs import report_here, run_with, write_failed, write_run


def hidden(*arguments: str | Path) -> list[int]:
    """How many hidden rows each table of a report counts."""
    text = " ".join(report_here(*arguments).stdout.split())
    tables = re.split(r"test set \d of \d", text)
    counts = [re.findall(r"(\d+) rows? hidden by --where", table) for table in tables[1:] or tables]
    return [int(*found) if found else 0 for found in counts]


def on_split(folder: Path, split: int) -> None:
    for name in ("config.json", "record.json"):
        about = json.loads((folder / name).read_text())
        about["config"]["data"]["split_seed"] = split
        (folder / name).write_text(json.dumps(about))


def test_a_row_counts_if_no_run_of_it_is_shown(tmp_path: Path) -> None:
    for number, test in enumerate((97.0, 96.0, 95.0, 94.0)):
        for seed in range(2):
            write_run(tmp_path / "sweep", f"{number}aaaaaaaaa", seed, val=test, test=test - seed, lr=10.0**-number)
    write_failed(tmp_path / "sweep", "4aaaaaaaaa", lr=1e-5)
    write_run(tmp_path / "sweep", "5aaaaaaaaa", test=None, lr=1e-6)
    assert hidden(tmp_path / "sweep") == [0]
    assert hidden(tmp_path / "sweep", "--where", "lr < 1") == [1], "also the one that would be the reference"
    assert hidden(tmp_path / "sweep", "--where", "lr > 5e-3") == [1], "what has no test accuracy is no comparison"
    assert hidden(tmp_path / "sweep", "--where", "seed == 1") == [0], "of each row a run is shown"


def test_splits_of_one_row_are_one_hidden_row(tmp_path: Path) -> None:
    for split in range(3):
        for number, model in enumerate(("resnet18", "resnet50", "swin_t")):
            test = 90.0 - number + split
            folder = write_run(tmp_path / "sweep", f"{number}{split}aaaaaaaa", model=model, val=test, test=test)
            on_split(folder, split)
    assert hidden(tmp_path / "sweep", "--over", "split", "--where", "model != 'swin_t'") == [1]
    query = "`data.split_seed` != 2"
    assert hidden(tmp_path / "sweep", "--over", "split", "--where", query) == [0], "two splits of each row are shown"
    assert hidden(tmp_path / "sweep", "--over", "split", "--where", f"{query} and model != 'swin_t'") == [1]


@pytest.fixture(scope="module")
def two_sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four rows on one test set, three on another."""
    sweep = tmp_path_factory.mktemp("hidden") / "sweep"
    generator = np.random.default_rng(0)
    for images, rows in ((200, 4), (240, 3)):
        for number in range(rows):
            for seed in range(2):
                right = generator.random(images) < 0.9
                run_with(sweep, f"{number}{images}aaaaaa", seed, 90.0 - number, right, lr=10.0**-number)
    return sweep


def test_each_test_set_has_its_own_hidden_rows(two_sets: Path) -> None:
    assert hidden(two_sets, "--where", "lr > 5e-2") == [2, 1]
    assert hidden(two_sets, "--where", "n_test == 200 and lr > 5e-2") == [2], "others are on other images"
    assert hidden(two_sets, "--where", "n_test == 240") == [0]


def test_splits_of_two_data_sets_are_judged_each_by_itself(tmp_path: Path) -> None:
    for data in ("cats", "dogs"):
        for split in range(2):
            for number, model in enumerate(("resnet18", "resnet50", "swin_t")):
                about = {"fingerprint": data, "n": {"train": 1257, "val": 270, "test": 270}}
                identity, test = f"{number}{split}{data}aaaa", 90.0 - number + split
                on_split(write_run(tmp_path / "sweep", identity, model=model, val=test, test=test, data=about), split)
    text = report_here(tmp_path / "sweep", "--over", "split").stdout
    assert "test set 1 of 2" in text and "test set 2 of 2" in text
    assert hidden(tmp_path / "sweep", "--over", "split", "--where", "model != 'swin_t'") == [1, 1]
    assert hidden(tmp_path / "sweep", "--over", "split", "--where", "data_fingerprint == 'cats'") == [0]


def test_runs_that_are_hidden_from_a_row_that_is_shown_are_told_of(tmp_path: Path) -> None:
    for number, lr in enumerate((0.1, 0.01)):
        for seed in range(3):
            write_run(tmp_path / "sweep", f"{number}aaaaaaaaa", seed, val=95.0, test=95.0 - seed, lr=lr)
    write_failed(tmp_path / "sweep", "1aaaaaaaaa", seed=3, lr=0.01)
    said = "by how they came out"
    for query in ("lr > 0.05", "lr < 0.05", "seed < 9"):
        assert said not in report_here(tmp_path / "sweep", "--where", query).stdout, f"{query} shows whole rows"
    for query, what in (
        ("test_acc > 94.5", "5 runs of 2 rows that are shown"),
        ("status == 'done'", "1 run of a row that is shown"),
        ("lr < 0.05 and test_acc > 93.5", "2 runs of a row that is shown"),
    ):
        text = " ".join(report_here(tmp_path / "sweep", "--where", query).stdout.split())
        assert f"--where hides {what}" in text and said in text, query
    text = " ".join(report_here(tmp_path / "sweep", "--where", "seed == 0").stdout.split())
    assert "each row rests on one run" in text and "run twice" not in text, "others are hidden"
    assert said in report_here(tmp_path / "sweep", "--where", "test_acc > 94.5", "--format", "csv").stderr


def test_runs_on_another_test_set_are_another_tables(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for seed, images in enumerate((200, 200, 240, 240)):
        for number in range(3):
            right = generator.random(images) < 0.9
            run_with(tmp_path / "sweep", f"{number}aaaaaaaaa", seed, 90.0 - number, right, lr=10.0**-number)
    assert "--where hides" not in report_here(tmp_path / "sweep", "--where", "n_test == 200").stdout
    one = " ".join(report_here(tmp_path / "sweep", "--where", "n_test == 200 and seed == 0").stdout.split())
    assert "--where hides 3 runs of 3 rows that are shown" in one


def test_published_runs_that_are_hidden_from_a_row_are_told_of(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    lines = ["model,weights,val_acc,test_acc", "resnet18,default,90,91", "resnet18,imagenet1k_v1,89,90"]
    table.write_text("\n".join([*lines, "resnet50,default,92,93", "resnet50,imagenet1k_v2,91,92", ""]))
    arguments = ["--published", table, "--n-val", "100", "--n-test", "100", "--where"]
    shown = report_here(*arguments, "weights == 'default'").stdout
    assert "--where hides 2 runs of 2 rows that are shown" in " ".join(shown.split())
    assert "--where hides" not in report_here(*arguments, "model == 'resnet18'").stdout
