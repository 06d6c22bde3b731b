"""Class folders and CSV files, through open_dataset: layouts, and every complaint."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from pictures import fresh as fresh
from pictures import names, opened, problem, sizes, table, tree, write
from PIL import Image

TRASHNET = Path(os.environ.get("FINEGRID_TRASHNET", ROOT.parent / "shared/data/trashnet"))


@pytest.mark.skipif(not TRASHNET.is_dir(), reason=f"no TrashNet photographs in {TRASHNET} (FINEGRID_TRASHNET=FOLDER)")
def test_trashnet() -> None:
    trashnet = opened(TRASHNET, size=32, resize="crop")
    assert sizes(trashnet) == (592, 148, 147)
    assert trashnet.classes == ("cardboard", "glass", "metal", "paper", "plastic", "trash")
    assert trashnet.drawn == ()
    assert trashnet.path_or_name(0).endswith(trashnet.names[0]) and trashnet.names[0].startswith("test/cardboard/")


# ---- layouts


def test_three_splits(tmp_path: Path) -> None:
    tree(tmp_path, {"train/b": 3, "train/a": 4, "val/a": 1, "val/b": 2, "test/a": 2, "test/b": 1})
    dataset = opened(tmp_path)
    assert dataset.classes == ("a", "b") and dataset.drawn == ()
    assert sizes(dataset) == (7, 3, 3)
    assert names(dataset, "val") == ["val/a/000.png", "val/b/000.png", "val/b/001.png"]
    assert dataset.labels[dataset.split["val"]].tolist() == [0, 1, 1]
    index = dataset.names.index("train/b/002.png")
    assert np.array_equal(np.asarray(dataset.load(index)), np.asarray(Image.open(tmp_path / "train/b/002.png")))


@pytest.mark.parametrize("called", ["valid", "validation", "Val"])
def test_other_names_of_val(tmp_path: Path, called: str) -> None:
    tree(tmp_path, {f"{part}/{label}": 2 for part in ("train", called, "test") for label in "ab"})
    assert names(opened(tmp_path), "val")[0] == f"{called}/a/000.png"


@pytest.mark.parametrize("given, drawn, expected", [("test", "val", (16, 4, 6)), ("val", "test", (16, 6, 4))])
def test_a_missing_split_is_drawn_from_train(
    tmp_path: Path, given: str, drawn: str, expected: tuple[int, int, int], caplog: pytest.LogCaptureFixture
) -> None:
    tree(tmp_path, {"train/a": 10, "train/b": 10, f"{given}/a": 3, f"{given}/b": 3})
    caplog.set_level("INFO")
    dataset = opened(tmp_path, val_fraction=0.2, test_fraction=0.2)
    assert sizes(dataset) == expected and dataset.drawn == (drawn,)
    assert all(name.startswith("train/") for name in names(dataset, drawn))
    assert np.bincount(dataset.labels[dataset.split[drawn]]).tolist() == [2, 2]
    assert f"comes without {drawn}: drew 4 images for {drawn} from train" in caplog.text


@pytest.mark.parametrize("inside", ["", "train/"])
def test_class_folders_alone(tmp_path: Path, inside: str) -> None:
    tree(tmp_path, {f"{inside}cat": 20, f"{inside}dog": 20})
    dataset = opened(tmp_path, val_fraction=0.1, test_fraction=0.2)
    assert sizes(dataset) == (28, 4, 8) and dataset.classes == ("cat", "dog")
    assert {"val", "test"} <= set(dataset.drawn)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    tree(tmp_path, {"bus": 4, "car": 4, "train": 4})
    assert opened(tmp_path).classes == ("bus", "car", "train")


def test_what_counts_as_an_image(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tree(tmp_path, {"a": 3, "b": 3})
    write(tmp_path / "a/deep/er/UPPER.JPEG")
    write(tmp_path / "b/x.webp")
    (tmp_path / "a/._000.png").write_bytes(b"made by macOS")
    (tmp_path / ".git").mkdir()
    (tmp_path / "a/.thumbs").mkdir()
    write(tmp_path / "a/.thumbs/t.png")
    (tmp_path / "a/notes.txt").write_text("not an image")
    (tmp_path / "a/page.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    (tmp_path / "a/loop").symlink_to(tmp_path / "a")
    write(tmp_path / ".elsewhere/linked.png")
    (tmp_path / "b/link").symlink_to(tmp_path / ".elsewhere")
    caplog.set_level("INFO")
    found = set(opened(tmp_path).names)
    more = {"a/deep/er/UPPER.JPEG", "b/x.webp", "b/link/linked.png"}
    assert found == {f"{label}/00{n}.png" for label in "ab" for n in range(3)} | more
    assert "1 .txt" in caplog.text and "1 .eps" in caplog.text


@pytest.mark.parametrize("top", ["", "train/"])
def test_system_files_are_left_out_counted_and_named(
    tmp_path: Path, top: str, caplog: pytest.LogCaptureFixture
) -> None:
    tree(tmp_path, {f"{top}a": 5, f"{top}b": 5, **({"val/a": 2, "val/b": 2} if top else {})})
    caplog.set_level("INFO")
    clean = opened(tmp_path)
    assert "not used" not in caplog.text
    thumbnails = (
        "@eaDir",
        "@EADIR",
        ".@__thumb",
        "__MACOSX",
        "$RECYCLE.BIN",
        "System Volume Information",
        "lost+found",
    )
    for folder in (*thumbnails, ".ipynb_checkpoints", "#recycle"):
        for place in {"", top, f"{top}a/", f"{top}a/deep/"}:
            write(tmp_path / f"{place}{folder}/000.png")
    for place in {"", top, f"{top}b/"}:
        for file in ("Thumbs.db", "desktop.ini", ".DS_Store", "._000.png"):
            (tmp_path / f"{place}{file}").write_bytes(b"of the system")
    dataset = opened(tmp_path)
    assert dataset.classes == ("a", "b") and dataset.names == clean.names
    assert dataset.fingerprint == clean.fingerprint
    places = 3 if top else 2
    assert f"{places + 1} @eaDir" in caplog.text and "not used in" in caplog.text


# ---- CSV


def test_csv_with_splits(tmp_path: Path) -> None:
    tree(tmp_path / "images", {".": 6})
    rows = ["001.png,10,train", "000.png,9,train", "./003.png,9,valid", "002.png,10,Val", "004.png,9,test"]
    file = table(tmp_path / "list.csv", *rows, "005.png,10,test")
    dataset = opened(tmp_path / "images", csv=file)
    assert dataset.classes == ("9", "10")  # numbers in their own order
    assert names(dataset, "val") == ["002.png", "003.png"]
    assert dataset.labels.tolist() == [0, 1, 1, 0, 0, 1]
    assert dataset.drawn == ()


@pytest.mark.parametrize("delimiter, encoding", [(",", "utf-8"), (";", "utf-8-sig"), ("\t", "utf-8")])
def test_csv_without_splits_is_relative_to_itself(tmp_path: Path, delimiter: str, encoding: str) -> None:
    tree(tmp_path, {"x": 10})
    with (tmp_path / "list.csv").open("w", encoding=encoding, newline="") as stream:
        writer = csv.writer(stream, delimiter=delimiter)
        writer.writerow(["Label", "extra", "path"])
        writer.writerows(["süß, sauer"[index % 2 * 5 :], index, f"x/{index:03}.png"] for index in range(10))
    dataset = opened(csv=str(tmp_path / "list.csv"))
    assert dataset.classes == ("sauer", "süß, sauer")
    assert set(dataset.drawn) == {"train", "val", "test"} and sum(sizes(dataset)) == 10


def test_csv_with_windows_paths_and_rows_in_another_order(tmp_path: Path) -> None:
    tree(tmp_path, {"x": 8})
    rows = [f"x/{index:03}.png,{'ab'[index % 2]}" for index in range(8)]
    first = opened(csv=table(tmp_path / "list.csv", *rows, header="path,label"))
    turned = [row.replace("/", "\\") for row in reversed(rows)]
    second = opened(csv=table(tmp_path / "list.csv", *turned, header="path,label"))
    assert first.fingerprint == second.fingerprint and first.names == second.names
    assert all(np.array_equal(first.split[split], second.split[split]) for split in first.split)


# ---- complaints


def test_complaints_about_csv(tmp_path: Path) -> None:
    tree(tmp_path, {"x": 4})
    file, good = tmp_path / "list.csv", ["x/000.png,a,train", "x/001.png,b,train"]
    missing = problem(csv=table(file, *good, "x/no.png,a,val", "x/nor.png,a,val", "x/neither.png,a,val"))
    assert f"line 4: no such file: {tmp_path / 'x/no.png'}, and 2 more of its paths" in missing
    assert "expected the columns path,label" in problem(csv=table(file, *good, header="file,label,split"))
    assert "line 4: split some, expected train, val or test" in problem(csv=table(file, *good, "x/002.png,a,some"))
    assert "line 4: the label is empty" in problem(csv=table(file, *good, "x/002.png,,val"))
    assert "line 4 has 1 cell(s), but the header 3: no label, split" in problem(csv=table(file, *good, "x/002.png"))
    assert "line 4: the split is empty" in problem(csv=table(file, *good, "x/002.png,a,"))
    assert "line 4: x/001.png is on line 3 already" in problem(csv=table(file, *good, "x/001.png,a,val"))
    assert "has no train images" in problem(csv=table(file, "x/000.png,a,val", "x/001.png,b,val"))
    assert "train and val have different classes" in problem(csv=table(file, *good, "x/002.png,c,val"))
    assert "no rows" in problem(csv=table(file))
    assert "has nothing" in problem(csv=table(file, header=""))
    file.write_bytes(b"path,label\n\xff\xfe\x00,a\n")
    assert "not UTF-8" in problem(csv=str(file))
    assert f"did you mean {file}" in problem(csv=str(tmp_path / "lists.csv"))
    assert "is a folder, expected a file" in problem(csv=str(tmp_path))


def test_complaints_about_the_root(tmp_path: Path) -> None:
    tree(tmp_path / "flowers", {"a": 3, "b": 3})
    assert "data.root=FOLDER" in problem()
    assert f"did you mean {tmp_path / 'flowers'}?" in problem(tmp_path / "flwers")
    assert f"did you mean {tmp_path / 'flowers'}?" in problem(tmp_path / "flower/deep/down")
    assert f"the nearest folder that exists is {tmp_path}" in problem(tmp_path / "zzz/zzz")
    (tmp_path / "data.zip").write_bytes(b"PK")
    assert "is a file, expected a folder" in problem(tmp_path / "data.zip")
    assert "kwargs" in problem(tmp_path / "flowers", kwargs={"a": 1})


def test_complaints_about_what_is_in_the_folder(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert f"{empty} has no class folders" in problem(empty)
    assert "no images" in problem(tree(tmp_path / "hollow", {"a": 0, "b": 0}))
    iphone = tree(tmp_path / "iphone", {"a": 0, "b": 0})
    (iphone / "a/1.heic").write_bytes(b"x")
    assert "(other files: 1 .heic)" in problem(iphone)
    flat = tree(tmp_path / "flat", {".": 3})
    assert f"expected {flat}/CLASS/IMAGE" in problem(flat)
    nested = tree(tmp_path / "nested", {"set/train/a": 3, "set/train/b": 3})
    assert f"did you mean {nested / 'set'}" in problem(nested)
    assert "no train/" in problem(tree(tmp_path / "trainless", {"val/a": 1, "val/b": 1, "test/a": 1, "test/b": 1}))
    twice = {f"{split}/{label}": 1 for split in ("train", "val", "valid") for label in "ab"}
    assert "val/, valid/" in problem(tree(tmp_path / "twice", twice))
    assert "one class only, a:" in problem(tree(tmp_path / "single", {"a": 5}))


def test_classes_that_differ_in_capitals_alone_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert opened(tree(tmp_path, {"Cat": 4, "cat": 4, "dog": 4, "d og": 4})).classes == ("Cat", "cat", "d og", "dog")
    (line,) = [record.getMessage() for record in caplog.records if "capitals" in record.getMessage()]
    assert line.endswith(": Cat, cat")
