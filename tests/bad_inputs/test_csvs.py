"""CSVs of images, for training and for prediction."""

from pathlib import Path

import pytest
from doors import Case, Place, each, place
from odd_files import odd
from pictures import write

__all__ = ["place"]

FILES: dict[str, bytes] = {
    "header": b"path,label\n",
    "blank": b"\n\n\n",
    "no_header": b"a.png,cat\nb.png,dog\n",
    "no_label": b"path\na.png\nb.png\n",
    "no_path": b"file,label\na.png,cat\n",
    "empty_label": b"path,label\na.png,cat\nb.png,\n",
    "empty_path": b"path,label\n,cat\nb.png,dog\n",
    "missing": b"path,label\na.png,cat\nno.png,dog\n",
    "twice": b"path,label\na.png,cat\na.png,cat\nb.png,dog\n",
    "two_labels": b"path,label\na.png,cat\n./a.png,dog\nb.png,dog\n",
    "split": b"path,label,split\na.png,cat,train\nb.png,dog,trian\n",
    "some_splits": b"path,label,split\na.png,cat,train\nb.png,dog,\n",
    "one_class": b"path,label\na.png,cat\nb.png,cat\nc.png,cat\n",
    "latin": b"path,label\na.png,ca\xfft\nb.png,dog\n",
    "utf16": "path,label\na.png,cat\n".encode("utf-16"),
    "nulls": b"path,label\na.png,\0cat\nb.png,dog\n",
    "null_path": b"path,label\na\0.png,cat\nb.png,dog\n",
    "binary": bytes(range(256)) * 4,
    "html": b"<!DOCTYPE html>\n<html><body>404</body></html>\n",
    "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
    "zip": b"PK\x03\x04" + bytes(60),
    "quote": b'path,label\n"a.png,cat\nb.png,dog\n',
    "long_cell": b"path,label\n" + b"x" * 200_000 + b",cat\n",
    "long_path": b"path,label\n" + b"x" * 5_000 + b".png,cat\nb.png,dog\n",
    "pipe_path": b"path,label\na.png,cat\npipe.png,dog\n",
    "folder_path": b"path,label\na.png,cat\nfolder.png,dog\n",
    "comma_label": b"path,label\na.png,cat, black\nb.png,dog\n",
    "column_twice": b"path,label,label\na.png,cat,dog\nb.png,dog,cat\n",
    "predict_missing": b"path\nno.png\nnot.png\n",
    "predict_twice": b"path\na.png\na.png\n",
    "predict_empty": b"path\n\n",
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("csvs")
    for name in "abc":
        write(root / f"{name}.png")
    for name, content in FILES.items():
        (root / f"{name}.csv").write_bytes(content)
    odd(root, ".csv")
    for name in ("pipe", "folder"):
        (root / f"{name}.png").symlink_to(f"{name}.csv")
    return root


def rows(kind: str, name: str, words: str | list[str], doors: str = "train") -> Case:
    return Case(kind, doors, f"data=folder data.size=8 data.csv={{}}/{name}.csv", words)


CASES = [
    rows("no such file", "no", ["data.csv={}/no.csv: no such file"], "train grid plan search lr_find screen"),
    rows("misspelt file", "mising", ["no such file", "did you mean {}/missing.csv?"]),
    rows("folder instead of a file", "folder", ["data.csv={}/folder.csv is a folder, expected a file"]),
    rows("empty file", "nothing", ["data.csv={}/nothing.csv: its first line has nothing", "path,label[,split]"]),
    rows("blank lines", "blank", ["blank.csv", "path,label[,split]"]),
    rows("pipe", "pipe", ["{}/pipe.csv", "expected a file"], "train plan screen"),
    rows("socket", "socket", ["{}/socket.csv", "expected a file"], "train"),
    rows("device", "device", ["{}/device.csv", "expected a file"], "train"),
    rows("broken link", "broken", ["data.csv={}/broken.csv: no such file"]),
    rows("link loop", "loop", ["data.csv={}/loop.csv"]),
    rows("header alone", "header", ["data.csv={}/header.csv has no rows"], "train grid search lr_find screen"),
    rows("no header", "no_header", ["its first line has a.png,cat", "path,label[,split]"]),
    rows(
        "no column label",
        "no_label",
        ["no_label.csv", "its first line has path, no column label", "path,label[,split]"],
    ),
    rows("no column path", "no_path", ["its first line has file,label", "path,label[,split]"]),
    rows("empty label", "empty_label", ["empty_label.csv line 3: the label is empty"]),
    rows("empty path", "empty_path", ["empty_path.csv line 2: the path is empty"]),
    rows(
        "path that is not there", "missing", ["missing.csv line 3: no such file: {}/no.png"], "train plan search screen"
    ),
    rows("path twice", "twice", ["twice.csv line 3: a.png is on line 2 already"]),
    rows("path under two labels", "two_labels", ["two_labels.csv line 3: a.png", "line 2"]),
    rows("unknown split", "split", ["split.csv line 3: split trian, expected train, val or test"]),
    rows("split in some rows", "some_splits", ["some_splits.csv line 3: the split is empty"]),
    rows("one class", "one_class", ["one_class.csv", "class"]),
    rows("not UTF-8", "latin", ["latin.csv line 2: not UTF-8 text"]),
    rows("UTF-16", "utf16", ["utf16.csv is not UTF-8 text"]),
    rows("null characters", "nulls", ["nulls.csv"]),
    rows("null characters", "null_path", ["null_path.csv"]),
    rows("binary file", "binary", ["binary.csv line 2: not UTF-8 text"]),
    rows("HTML page", "html", ["html.csv", "path,label[,split]"]),
    rows("Git LFS pointer", "lfs", ["lfs.csv", "path,label[,split]"]),
    rows("zip archive", "zip", ["zip.csv is not a CSV but a zip archive, such as a spreadsheet (.xlsx", "as CSV"]),
    rows("quote that stays open", "quote", ["quote.csv"]),
    rows("cell without end", "long_cell", ["long_cell.csv"]),
    rows("path longer than any", "long_path", ["long_path.csv"]),
    rows("path to a pipe", "pipe_path", ["pipe_path.csv line 3", "pipe.png"]),
    rows("path to a folder", "folder_path", ["folder_path.csv line 3", "folder.png"]),
]


@pytest.mark.parametrize("door, case", each(*CASES))
def test_csvs(place: Place, door: str, case: Case) -> None:
    place.refused(door, case.arguments, case.words)
