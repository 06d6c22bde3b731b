"""The order of classes in folders and in a CSV, through open_dataset."""

from pathlib import Path

import pytest
from pictures import fresh as fresh
from pictures import opened, table, tree

ORDERED = [
    [str(number) for number in range(12)],
    [f"{number}.0" for number in range(12)],
    ["-1", "0", "1", "2", "10"],
    ["-2", "-1.5", "0", "0.5", "10"],
    ["001", "002", "010", "100"],
    ["1", "01", "2", "10"],
    ["1", "10", "2", "a"],  # not all are numbers: plain alphabetical
    ["10 euros", "2 euros"],
    ["1e3", "5", "7"],
    ["B", "a"],
]


@pytest.mark.parametrize("classes", ORDERED, ids=" ".join)
def test_one_order_for_folders_and_csv(tmp_path: Path, classes: list[str]) -> None:
    if classes == ["1", "01", "2", "10"]:
        classes = ["01", "1", "2", "10"]  # equal numbers: by text
    tree(tmp_path, dict.fromkeys(reversed(classes), 3))
    rows = [f"{name}/{index:03}.png,{name}" for name in reversed(classes) for index in range(3)]
    from_folders = opened(tmp_path)
    from_csv = opened(tmp_path, csv=table(tmp_path / "list.csv", *rows, header="path,label"))
    assert list(from_folders.classes) == list(from_csv.classes) == classes
    assert from_folders.fingerprint == from_csv.fingerprint
    changed = classes != sorted(classes)
    assert [former.why.split("(")[0] for former in from_folders.former] == ["classes sorted as text "] * changed


def test_numbers_in_split_folders(tmp_path: Path) -> None:
    tree(tmp_path, {f"{split}/{number}": 3 for split in ("train", "test") for number in (10, 2, 1)})
    assert opened(tmp_path).classes == ("1", "2", "10")


def test_whole_numbers_in_a_csv_are_in_their_old_order(tmp_path: Path) -> None:
    tree(tmp_path, {"x": 9})
    rows = [f"x/{index:03}.png,{(1, 2, 10)[index % 3]}" for index in range(9)]
    dataset = opened(tmp_path, csv=table(tmp_path / "list.csv", *rows, header="path,label"))
    assert dataset.classes == ("1", "2", "10") and dataset.former == ()
