"""The report's index of a folder with many runs: it changes how long the report takes, and nothing else."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_runs import predict, report_here, rows_of, write_failed, write_run

from analysis import load

INDEX = ".runs.npz"
DATA = {"fingerprint": "f00d", "n": {"train": 900, "val": 200, "test": 40}}


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """250 runs of all kinds."""
    sweep = tmp_path / "outputs" / "many"
    generator = np.random.default_rng(0)
    for number in range(250):
        identity, seed = f"{number // 2:010x}", number % 2
        if number % 50 == 7:
            write_failed(sweep, identity, seed, lr=1 / (number // 2 + 1))
            continue
        right = generator.random(40) < 0.9
        test, flip = 100 * float(right.mean()), 0.5 if number % 3 else 0.0
        folder = write_run(
            sweep, identity, seed, lr=1 / (number // 2 + 1), test=test, flip=flip, val=80 + number / 20, data=DATA
        )
        predict(folder, right)
    (sweep / "resnet18-0000000003" / "seed=0" / "record.json").write_text("{")
    (sweep / "resnet18-0000000004" / "seed=0" / "record.json").unlink()
    return sweep


def test_with_and_without_the_index_the_report_is_the_same(many: Path) -> None:
    first, text = load(many), report_here(many).stdout
    assert (many / INDEX).is_file() and not list(many.glob("*.part"))
    pd.testing.assert_frame_equal(load(many), first)
    assert report_here(many).stdout == text and "more rows" in text
    assert report_here(many, "--format", "csv").stdout.count("\n") == 126
    elsewhere = many.parent / "moved"
    many.rename(elsewhere)
    moved = load(elsewhere)
    assert moved["folder"].str.startswith(str(elsewhere)).all()
    pd.testing.assert_frame_equal(moved.drop(columns="folder"), first.drop(columns="folder"))


def test_what_has_changed_is_read_anew(many: Path) -> None:
    load(many)
    record = many / "resnet18-0000000001" / "seed=0" / "record.json"
    content = json.loads(record.read_text())
    record.write_text(json.dumps(content | {"val": {"acc": 99.5}}))
    shutil.rmtree(many / "resnet18-0000000002")
    write_run(many, "ffffffffff", model="resnet50", val=12.5)
    predict(many / "resnet18-0000000005" / "seed=0", np.zeros(40, dtype=bool))
    runs = load(many).set_index("folder")
    assert runs.loc[str(record.parent), "val_acc"] == 99.5
    assert len(runs) == 250 - 2 + 1 and runs["model"].tolist().count("resnet50") == 1
    (many / INDEX).unlink()
    pd.testing.assert_frame_equal(load(many).set_index("folder")[runs.columns], runs)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04 cut off"])
def test_a_broken_index_costs_nothing_but_time(many: Path, content: bytes) -> None:
    first = load(many)
    (many / INDEX).write_bytes(content)
    pd.testing.assert_frame_equal(load(many), first)
    assert (many / INDEX).stat().st_size > 1000, "made again"


def test_a_folder_that_can_not_be_written_is_read_all_the_same(many: Path) -> None:
    (many / INDEX).mkdir()  # root may write anywhere, but not a file over a folder
    assert len(load(many)) == 250
    rows = rows_of(report_here(many, "--format", "csv"))
    assert len(rows) == 125


def test_few_runs_need_no_index(tmp_path: Path) -> None:
    write_run(tmp_path / "few", "aaaaaaaaaa")
    load(tmp_path / "few")
    assert not (tmp_path / "few" / INDEX).exists()
