"""The same file under two labels, or twice under one: counted, named, in the record and the report."""

import shutil
from pathlib import Path

import pytest
from conftest import QUICK, Door
from outcome import TINY, only_run, record_of
from pictures import fresh as fresh
from pictures import opened, tree

from analysis import load

COUNTS = {"train": 12, "val": 4, "test": 4}


def pictures(root: Path) -> Path:
    return tree(root, {f"{split}/{label}": count for split, count in COUNTS.items() for label in ("cat", "dog")})


def copy(root: Path, source: str, target: str, count: int) -> None:
    """The first `count` files of root/source, under other names in root/target."""
    for file in sorted((root / source).iterdir())[:count]:
        shutil.copy(file, root / target / f"copy-of-{source.replace('/', '-')}-{file.name}")


@pytest.mark.parametrize(
    "source, target, expected, repeated",
    [
        ("train/cat", "train/dog", {"train": 3, "val": 0, "test": 0}, 0),
        ("train/cat", "val/dog", {"train": 0, "val": 3, "test": 0}, 0),
        ("train/cat", "test/dog", {"train": 0, "val": 0, "test": 3}, 0),
        ("val/cat", "val/dog", {"train": 0, "val": 3, "test": 0}, 0),
        ("test/dog", "test/cat", {"train": 0, "val": 0, "test": 3}, 0),
        ("train/cat", "train/cat", {"train": 0, "val": 0, "test": 0}, 3),
        ("train/cat", "val/cat", {"train": 0, "val": 0, "test": 0}, 0),
    ],
)
def test_what_is_counted(
    tmp_path: Path,
    source: str,
    target: str,
    expected: dict[str, int],
    repeated: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pictures(tmp_path)
    assert opened(tmp_path).same_files.examples == () and "two labels" not in caplog.text
    copy(tmp_path, source, target, 3)
    found = opened(tmp_path).same_files
    assert found.two_labels == expected and found.repeated == repeated
    assert len(found.examples) == sum(expected.values())
    if found.examples:
        assert f"{source}/000.png" in found.examples[0] and target in found.examples[0]
        assert "two labels" in caplog.text and found.examples[0] in caplog.text


def test_in_the_log_the_record_and_the_report(train: Door, shell: Door, tmp_path: Path) -> None:
    root = pictures(tmp_path / "set")
    copy(root, "train/cat", "train/dog", 10)
    done = train("data=folder", f"data.root={root}", TINY, *QUICK)
    assert done.code == 0, done.err
    first = "train/cat/000.png (cat), train/dog/copy-of-train-cat-000.png (dog)"
    told = done.out.partition("epoch 1/2")[0]
    assert "10 in train" in told and first in told and "and 7 more" in told
    seen = record_of(only_run(tmp_path / "outputs"))["data"]
    assert seen["two_labels"] == {"train": 10, "val": 0, "test": 0} and seen["repeated"] == 0
    assert seen["two_labels_first"][0] == first and len(seen["two_labels_first"]) == 5
    row = load(tmp_path / "outputs").iloc[0]
    assert row["two_labels_train"] == 10 and row["two_labels_first"] == first
    report = shell("-m", "analysis.report", str(tmp_path / "outputs"))
    assert report.code == 0, report.err
    text = " ".join(report.out.split())
    assert "the same files have two labels, of which at least one is wrong: 10 in train" in text and first in text
