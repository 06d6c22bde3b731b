"""The data room through its door: open_dataset, ImageStore, to_rgb, on images that the tests write."""

import csv
import dataclasses
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import ExifTags, Image

from training import dataset as dataset_module
from training import parallel
from training.config import DataConfig
from training.dataset import Dataset, open_dataset
from training.errors import ConfigError
from training.images import ImageStore, load_image, stored, to_rgb
from training.splits import draw

REPO = Path(__file__).parents[1]
TRASHNET = Path(os.environ.get("FINEGRID_TRASHNET", REPO.parent / "shared/data/trashnet"))


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache folder for each test, and nothing remembered from the test before."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("FINEGRID_CACHE", str(folder))
    dataset_module._open.cache_clear()
    yield folder


def opened(root: Path | None = None, **values: Any) -> Dataset:
    """open_dataset as a new process would see it."""
    dataset_module._open.cache_clear()
    if root is not None:
        values["root"] = str(root)
    return open_dataset(DataConfig(**{"_target_": "training.sources.folder", "size": 16, **values}))


def problem(root: Path | None = None, **values: Any) -> str:
    """The one line that open_dataset complains with."""
    with pytest.raises(ConfigError) as caught:
        opened(root, **values)
    message = str(caught.value)
    assert "\n" not in message
    return message


def write(path: Path, seed: int = 0) -> Path:
    """A small image of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([seed, *path.name.encode()]).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def tree(root: Path, counts: dict[str, int]) -> Path:
    """Images root/FOLDER/000.png ... for each folder."""
    for number, (folder, count) in enumerate(counts.items()):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            write(root / folder / f"{index:03}.png", number)
    return root


def table(file: Path, *rows: str, header: str = "path,label,split") -> str:
    file.write_text("\n".join([header, *rows]) + "\n")
    return str(file)


def names(dataset: Dataset, split: str) -> list[str]:
    return [dataset.names[index] for index in dataset.split[split]]


def sizes(dataset: Dataset) -> tuple[int, int, int]:
    return len(dataset.split["train"]), len(dataset.split["val"]), len(dataset.split["test"])


# ---- the embedded set and the real one


def test_digits_are_the_whole_set_upright_and_split_once() -> None:
    digits = open_dataset(DataConfig())
    assert len(digits.names) == 1797 and digits.names[1] == "digit-0001"
    assert digits.classes == tuple("0123456789")
    assert digits.drawn == ("train", "val", "test") and digits.skipped == () and digits.paths is None
    indices = np.concatenate(list(digits.split.values()))
    assert sorted(indices) == list(range(1797))
    assert np.asarray(digits.load(0)).max() == 239 and digits.load(0).size == (8, 8)  # 15 of 16, on a scale of 255
    for share, split in ((0.7, "train"), (0.15, "val"), (0.15, "test")):
        for label in range(10):
            exact = share * np.sum(digits.labels == label)
            assert abs(np.sum(digits.labels[digits.split[split]] == label) - exact) <= 1


@pytest.mark.parametrize("key, value", [("root", "/somewhere"), ("csv", "a.csv")])
def test_digits_do_not_swallow_the_path_of_a_folder(key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"did you mean data=folder data.{key}={value}"):
        open_dataset(dataclasses.replace(DataConfig(), **{key: value}))


@pytest.mark.skipif(not TRASHNET.is_dir(), reason=f"no TrashNet photographs in {TRASHNET} (FINEGRID_TRASHNET=FOLDER)")
def test_trashnet() -> None:
    trashnet = opened(TRASHNET, size=32, resize="crop")
    assert sizes(trashnet) == (592, 148, 147)
    assert trashnet.classes == ("cardboard", "glass", "metal", "paper", "plastic", "trash")
    assert trashnet.drawn == ()
    assert trashnet.where(0).endswith(trashnet.names[0]) and trashnet.names[0].startswith("test/cardboard/")


@pytest.mark.parametrize("choice", ["digits", "folder"])
def test_config_files_fit_the_schema(choice: str) -> None:
    values: Any = OmegaConf.to_container(OmegaConf.load(REPO / f"conf/data/{choice}.yaml"))
    config = DataConfig(**values)
    assert config._target_ == f"training.sources.{choice}"


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
    (tmp_path / "a/loop").symlink_to(tmp_path / "a")
    caplog.set_level("INFO")
    found = set(opened(tmp_path).names)
    assert found == {f"{label}/00{n}.png" for label in "ab" for n in range(3)} | {"a/deep/er/UPPER.JPEG", "b/x.webp"}
    assert "1 .txt" in caplog.text


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
    assert "line 4: split dev, expected train, val or test" in problem(csv=table(file, *good, "x/002.png,a,dev"))
    assert "line 4: the label is empty" in problem(csv=table(file, *good, "x/002.png,,val"))
    assert "line 4: the label is empty" in problem(csv=table(file, *good, "x/002.png"))
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
    unlabelled = tree(tmp_path / "unlabelled", {"train/a": 3, "train/b": 3, "test": 3})
    assert f"{unlabelled / 'test'} has no class folders" in problem(unlabelled)
    nested = tree(tmp_path / "nested", {"set/train/a": 3, "set/train/b": 3})
    assert f"did you mean {nested / 'set'}" in problem(nested)
    assert "no train/" in problem(tree(tmp_path / "trainless", {"val/a": 1, "val/b": 1, "test/a": 1, "test/b": 1}))
    twice = {f"{split}/{label}": 1 for split in ("train", "val", "valid") for label in "ab"}
    assert "val/, valid/" in problem(tree(tmp_path / "twice", twice))
    assert "one class only, a:" in problem(tree(tmp_path / "single", {"a": 5}))


def test_complaints_about_classes(tmp_path: Path) -> None:
    given = {f"{split}/{label}": 2 for split in ("train", "val", "test") for label in "ab"}
    message = problem(tree(tmp_path / "differ", given | {"train/dog": 1, "test/wolf": 1}))
    assert "train and test have different classes" in message
    assert "only in train: dog; only in test: wolf" in message
    message = problem(tree(tmp_path / "hollow", given | {"val/b": 0}))
    assert "class without images in val: b" in message and str(tmp_path / "hollow") in message
    assert "class without images: c" in problem(tree(tmp_path / "alone", {"a": 3, "b": 3, "c": 0}))
    message = problem(tree(tmp_path / "few", {"cat": 9, "dog": 2}))
    assert "class dog has 2 image(s)" in message and "needs 3 or more" in message


# ---- bad images


def truncated(path: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(stream, "JPEG")
    path.write_bytes(stream.getvalue()[: len(stream.getvalue()) // 2])


def text(path: Path) -> None:
    path.write_text("<html>404 not found</html>")


@pytest.mark.parametrize("spoil, why", [(truncated, "truncated"), (text, "not an image"), (Path.touch, "not an image")])
def test_a_bad_image_is_found_before_training(tmp_path: Path, spoil: Callable[[Path], None], why: str) -> None:
    tree(tmp_path, {"a": 4, "b": 4})
    spoil(tmp_path / "a/x.jpg")
    message = problem(tmp_path)
    assert str(tmp_path / "a/x.jpg") in message and why in message and "data.on_bad=skip" in message
    assert "more bad" not in message
    text(tmp_path / "b/y.jpg")
    text(tmp_path / "b/z.jpg")
    assert "and 2 more bad images" in problem(tmp_path)


def test_skipping_bad_images(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tree(tmp_path, {"a": 4, "b": 4})
    clean = opened(tmp_path)
    truncated(tmp_path / "a/0005.jpg")
    dataset = opened(tmp_path, on_bad="skip")
    assert dataset.skipped == ("a/0005.jpg",) and "a/0005.jpg" in caplog.text
    assert dataset.names == clean.names and dataset.fingerprint == clean.fingerprint
    assert np.array_equal(np.asarray(dataset.load(4)), np.asarray(Image.open(dataset.where(4))))
    for image in (tmp_path / "b").iterdir():
        text(image)
    message = problem(tmp_path, on_bad="skip")
    assert "class without images: b" in message and "without its 5 bad images" in message


def test_a_decompression_bomb_is_a_bad_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (Image.MAX_IMAGE_PIXELS or 0) > 200e6  # photographs of today's phones pass
    tree(tmp_path, {"a": 4, "b": 4})
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert "a/000.png: DecompressionBombError" in problem(tmp_path)


# ---- splits


def test_a_draw_is_exact_disjoint_and_stays_the_same_for_ever() -> None:
    labels = np.repeat([0, 1, 2, 3], [100, 40, 20, 3])
    parts = draw(labels, {"val": 0.25, "test": 0.1}, seed=7)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(163))
    assert np.bincount(labels[parts["train"]]).tolist() == [65, 26, 13, 1]
    assert np.bincount(labels[parts["val"]]).tolist() == [25, 10, 5, 1]
    assert np.bincount(labels[parts["test"]]).tolist() == [10, 4, 2, 1]
    assert all((np.diff(part) > 0).all() for part in parts.values())
    assert parts["test"].tolist() == [1, 16, 19, 27, 58, 68, 76, 77, 81, 84, 106, 113, 114, 131, 142, 156, 160]


def test_halves_go_in_turn_to_each_split() -> None:
    parts = draw(np.repeat(np.arange(10), 10), {"val": 0.15, "test": 0.15}, seed=0)
    assert [len(part) for part in parts.values()] == [70, 15, 15]


def test_split_seed_alone_decides(tmp_path: Path) -> None:
    tree(tmp_path, {"a": 20, "b": 20})
    first, second = opened(tmp_path, split_seed=0), opened(tmp_path, split_seed=1)
    np.random.seed(5)
    again = opened(tmp_path, split_seed=0, size=64)
    assert names(first, "test") == names(again, "test") != names(second, "test")
    assert first.fingerprint == second.fingerprint
    assert "data.split_seed=-1" in problem(tmp_path, split_seed=-1)


# ---- fingerprint and cache


def test_fingerprint_knows_content_labels_names_and_splits(tmp_path: Path) -> None:
    base = {f"{split}/{label}": 3 for split in ("train", "val", "test") for label in "ab"}
    root = tree(tmp_path / "one", base)
    prints = [opened(root).fingerprint]
    assert len(prints[0]) == 16 and int(prints[0], 16)

    shutil.copytree(root, tmp_path / "two")
    for image in (tmp_path / "two").rglob("*.png"):
        os.utime(image, (1, 1))
    (tmp_path / "two/train/a/notes.txt").write_text("x")
    assert opened(tmp_path / "two", size=32, resize="crop").fingerprint == prints[0]

    write(root / "train/a/000.png", seed=99)
    prints.append(opened(root).fingerprint)
    (root / "train/a/000.png").rename(root / "train/a/new.png")
    prints.append(opened(root).fingerprint)
    (root / "train/a/new.png").rename(root / "train/b/new.png")
    prints.append(opened(root).fingerprint)
    (root / "train/b/new.png").rename(root / "val/b/new.png")
    prints.append(opened(root).fingerprint)
    for split in ("train", "val", "test"):
        (root / split / "a").rename(root / split / "aa")
    prints.append(opened(root).fingerprint)
    assert len(set(prints)) == len(prints)


def test_fingerprint_knows_labels_and_splits_of_a_csv(tmp_path: Path) -> None:
    tree(tmp_path, {"x": 9})

    def of(label: str, split: str) -> str:
        rows = [f"x/00{n}.png,{'ab'[n % 2]},{('train', 'val')[n // 2 % 2]}" for n in range(8)]
        return opened(csv=table(tmp_path / "list.csv", *rows, f"x/008.png,{label},{split}")).fingerprint

    base = of("a", "train")
    assert of("a", "train") == base
    assert len({base, of("b", "train"), of("a", "val")}) == 3


def test_a_file_is_read_again_only_when_its_size_or_time_changes(tmp_path: Path, cache: Path) -> None:
    tree(tmp_path, {"a": 4, "b": 4})
    first = opened(tmp_path).fingerprint
    image = tmp_path / "a/000.png"
    before = image.stat()
    image.write_bytes(bytes(before.st_size))
    os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert opened(tmp_path).fingerprint == first  # not looked at, so the cache is used
    os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert str(image) in problem(tmp_path)
    Image.new("RGB", (50, 50)).save(image)
    os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert image.stat().st_size != before.st_size and opened(tmp_path).fingerprint != first
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("rubbish", ["", "{", "[1, 2]", '{"a/000.png": 3}', '{"a/000.png": [1, "x", 3]}', "\0\1"])
def test_a_corrupt_cache_is_rebuilt(tmp_path: Path, cache: Path, rubbish: str) -> None:
    tree(tmp_path, {"a": 4, "b": 4})
    first = opened(tmp_path).fingerprint
    (file,) = cache.iterdir()
    whole = json.loads(file.read_text())
    file.write_text(rubbish)
    assert opened(tmp_path).fingerprint == first
    assert json.loads(file.read_text()) == whole and len(whole) == 8


def test_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree(tmp_path / "images", {"a": 4, "b": 4})
    first = opened(root).fingerprint
    (tmp_path / "file").touch()
    monkeypatch.setenv("FINEGRID_CACHE", str(tmp_path / "file/below"))  # can't be made, not even by root
    assert opened(root).fingerprint == first
    monkeypatch.delenv("FINEGRID_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert opened(root).fingerprint == first
    assert len(list((tmp_path / "xdg/finegrid").iterdir())) == 1
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    opened(root)
    assert len(list((tmp_path / "home/.cache/finegrid").iterdir())) == 1


def test_processes_may_check_the_same_images_at_once(tmp_path: Path, cache: Path) -> None:
    tree(tmp_path, {"a": 40, "b": 40})
    code = (
        "from training.config import DataConfig as C; from training.dataset import open_dataset\n"
        f"print(open_dataset(C(_target_='training.sources.folder', root={str(tmp_path)!r})).fingerprint)"
    )
    command = [sys.executable, "-c", code]
    started = [subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = {process.communicate(timeout=60)[0].strip() for process in started}
    assert outputs == {opened(tmp_path).fingerprint}
    (file,) = cache.iterdir()  # and no halves
    assert len(json.loads(file.read_text())) == 80


def test_opening_twice_gives_the_same_object(tmp_path: Path) -> None:
    config = DataConfig(_target_="training.sources.folder", root=str(tree(tmp_path, {"a": 4, "b": 4})))
    assert open_dataset(config) is open_dataset(DataConfig(**vars(config)))


def test_neither_torch_nor_hydra_is_imported() -> None:
    code = "import sys, training.dataset, training.images; print({'torch', 'hydra', 'sklearn'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=REPO, text=True).strip() == "set()"


# ---- sources of one's own

MINE = """
from pathlib import Path
import numpy as np
from PIL import Image
from training.sources import Source

def grey(config):
    values = range(config.kwargs.get("first", 0), 12)
    names = tuple(f"{value:02}" for value in reversed(values))
    load = lambda index: Image.new("L", (4, 4), 20 * int(names[index]))
    return Source(("even", "odd"), names, np.array([int(name) % 2 for name in names]), None, load)

def no_source(config):
    return 3

def two(config, other):
    return None

def twice(config):
    return Source(("a", "b"), ("x", "x"), np.array([0, 1]), None, None)

def beyond(config):
    return Source(("a", "b"), ("x", "y"), np.array([0, 2]), None, None)

def short(config):
    return Source(("a", "b"), ("x", "y"), np.array([0]), None, None)

def dev(config):
    return Source(("a", "b"), ("x", "y"), np.array([0, 1]), np.array(["train", "dev"]), None)

def broken(config):
    source = grey(config)
    def load(index):
        if source.names[index] == "05":
            raise ValueError("no such slice")
        return source.load(index)
    return Source(source.classes, source.names, source.labels, None, load)
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_source.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_source", raising=False)


@pytest.mark.usefixtures("mine")
def test_a_source_of_your_own() -> None:
    dataset = opened(_target_="my_source.grey", kwargs={"first": 2})
    assert dataset.names == tuple(f"{value:02}" for value in range(2, 12))  # whatever order it came in
    assert dataset.labels.tolist() == [0, 1] * 5 and dataset.labels.dtype == np.int64
    assert dataset.load(1).getpixel((0, 0)) == 60
    pixels = ImageStore(dataset, DataConfig(size=8)).batch(np.array([1, 9]))
    assert pixels[:, 0, 0, 0].tolist() == [60, 220]
    assert dataset.fingerprint != opened(_target_="my_source.grey", kwargs={"first": 1}).fingerprint


@pytest.mark.usefixtures("mine")
def test_complaints_about_a_source_of_your_own() -> None:
    assert "no_such_module" in problem(_target_="no_such_module.function")
    assert "nothing" in problem(_target_="my_source.nothing")
    assert "expected module.function" in problem(_target_="not a name")
    assert "returned int, expected training.sources.Source" in problem(_target_="my_source.no_source")
    assert "other" in problem(_target_="my_source.two")
    assert "x is there 2 times" in problem(_target_="my_source.twice")
    assert "2, expected an index into its 2 classes" in problem(_target_="my_source.beyond")
    assert "labels: expected one for each of 2 names" in problem(_target_="my_source.short")
    assert "dev, expected train, val or test" in problem(_target_="my_source.dev")
    assert "05: ValueError no such slice" in problem(_target_="my_source.broken")
    assert opened(_target_="my_source.broken", on_bad="skip").skipped == ("05",)


# ---- any image to upright RGB


def colour(image: Image.Image) -> tuple[int, ...]:
    """The one colour of an image."""
    rgb = to_rgb(image)
    assert rgb.mode == "RGB"
    (found,) = np.unique(np.asarray(rgb).reshape(-1, 3), axis=0)
    return tuple(found.tolist())


def plain(mode: str, value: Any) -> Image.Image:
    return Image.new(mode, (4, 3), value)


def palette(**info: Any) -> Image.Image:
    image = plain("P", 1)
    image.putpalette([9, 9, 9, 200, 100, 50])
    image.info.update(info)
    return image


@pytest.mark.parametrize(
    "image, expected",
    [
        (plain("RGB", (1, 2, 3)), (1, 2, 3)),
        (plain("L", 77), (77, 77, 77)),
        (plain("1", 1), (255, 255, 255)),
        (plain("LA", (50, 255)), (50, 50, 50)),
        (plain("LA", (50, 0)), (255, 255, 255)),
        (plain("La", (50, 255)), (50, 50, 50)),
        (plain("RGBA", (10, 20, 30, 255)), (10, 20, 30)),
        (plain("RGBA", (10, 20, 30, 0)), (255, 255, 255)),
        (plain("RGBA", (0, 0, 255, 51)), (204, 204, 255)),
        (plain("RGBa", (0, 0, 51, 51)), (204, 204, 255)),
        (palette(), (200, 100, 50)),
        (palette(transparency=1), (255, 255, 255)),
        (palette(transparency=0), (200, 100, 50)),
        (palette(transparency=b"\0\0"), (255, 255, 255)),
        (palette().convert("PA"), (200, 100, 50)),
        (plain("CMYK", (0, 255, 255, 0)), (255, 0, 0)),
        (plain("YCbCr", (100, 128, 128)), (100, 100, 100)),
        (plain("HSV", (0, 255, 255)), (255, 0, 0)),
        (plain("LAB", (255, 128, 128)), (255, 255, 255)),
        (plain("I;16", 0x8012), (128, 128, 128)),
        (plain("I;16B", 0xFFFF), (255, 255, 255)),
        (plain("I", 0x0100), (1, 1, 1)),
        (plain("I", 1 << 20), (255, 255, 255)),
        (plain("I", -5), (0, 0, 0)),
        (plain("F", 0.5), (128, 128, 128)),
        (plain("F", 200.0), (200, 200, 200)),
        (plain("F", 1e9), (255, 255, 255)),
        (plain("F", float("nan")), (0, 0, 0)),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else "-".join(map(str, value)),
)
def test_every_mode_becomes_rgb(image: Image.Image, expected: tuple[int, ...]) -> None:
    assert colour(image) == pytest.approx(expected, abs=1)  # LAB's arithmetic rounds


@pytest.mark.parametrize(
    "name, image, expected",
    [
        ("16-bit.png", plain("I;16", 0xC000), (192, 192, 192)),
        ("16-bit.tif", plain("I;16", 0xC000), (192, 192, 192)),
        ("16-bit.pgm", plain("I", 0xC000), (192, 192, 192)),
        ("float.tif", plain("F", 0.25), (64, 64, 64)),
        ("cmyk.jpg", plain("CMYK", (0, 255, 255, 0)), (255, 0, 0)),
        ("cmyk.tif", plain("CMYK", (0, 255, 255, 0)), (255, 0, 0)),
        ("grey.jpg", plain("L", 90), (90, 90, 90)),
        ("alpha.webp", plain("RGBA", (10, 20, 30, 0)), (255, 255, 255)),
        ("bits.bmp", plain("1", 0), (0, 0, 0)),
        ("lab.tif", plain("LAB", (0, 128, 128)), (0, 0, 0)),
    ],
)
def test_every_mode_survives_a_file(tmp_path: Path, name: str, image: Image.Image, expected: tuple[int, ...]) -> None:
    image.save(tmp_path / name)
    assert colour(load_image(tmp_path / name)) == pytest.approx(expected, abs=1)


def test_transparency_by_colour_key_and_by_palette_in_files(tmp_path: Path) -> None:
    plain("L", 7).save(tmp_path / "key.png", transparency=7)
    plain("RGB", (1, 2, 3)).save(tmp_path / "rgb.png", transparency=(1, 2, 3))
    palette().save(tmp_path / "palette.png", transparency=1)
    palette().save(tmp_path / "palette.gif", transparency=1)
    for file in tmp_path.iterdir():
        assert colour(load_image(file)) == (255, 255, 255), file


def test_the_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [plain("RGB", value) for value in ("red", "blue")]
    for name in ("a.gif", "a.png", "a.webp", "a.tif"):
        options: dict[str, Any] = {"lossless": True} if name == "a.webp" else {}
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **options)
        assert colour(load_image(tmp_path / name)) == (255, 0, 0), name


UPRIGHT = np.arange(18, dtype=np.uint8).reshape(2, 3, 3) * 10
TURNED = {  # how the pixels lie in a file that says so (EXIF 2.3, 4.6.4 A)
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.transpose(1, 0, 2),
    6: np.rot90(UPRIGHT),
    7: UPRIGHT[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(UPRIGHT, -1),
}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("ending", ["png", "tif", "webp"])
def test_exif_orientation_is_undone_once(tmp_path: Path, orientation: int, ending: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    file = tmp_path / f"turned.{ending}"
    lossless: dict[str, Any] = {"lossless": True} if ending == "webp" else {}
    Image.fromarray(np.ascontiguousarray(TURNED[orientation])).save(file, exif=exif, **lossless)
    image = load_image(file)
    assert np.array_equal(np.asarray(image), UPRIGHT)
    assert np.array_equal(np.asarray(to_rgb(image.copy())), UPRIGHT)
    with Image.open(file) as raw:
        assert np.array_equal(np.asarray(to_rgb(raw)), UPRIGHT)


def test_a_turned_photograph_is_upright_in_the_store(tmp_path: Path) -> None:
    tree(tmp_path, {"a": 3, "b": 3})
    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    pixels[:16, :16] = 250  # the upper left quarter is bright
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(np.rot90(pixels).copy()).save(tmp_path / "a/00.jpg", exif=exif, quality=100)
    dataset = opened(tmp_path)
    batch = ImageStore(dataset, DataConfig(size=16)).batch(np.array([0]))[0]
    assert batch[:7, :7].min() > 200 and batch[9:, :].max() < 50 and batch[:, 9:].max() < 50


def test_broken_exif_does_not_spoil_an_image(tmp_path: Path) -> None:
    plain("RGB", "red").save(tmp_path / "x.png", exif=b"Exif\0\0II*\0\xff\xff\xff")
    assert colour(load_image(tmp_path / "x.png")) == (255, 0, 0)


def test_what_is_no_image_at_all(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="ndarray"):
        to_rgb(np.zeros((4, 4)))  # type: ignore[arg-type]
    with pytest.raises(OSError, match=rf"{tmp_path}/gone.png: no such file"):
        load_image(tmp_path / "gone.png")


# ---- one size


def test_stretch_takes_everything_and_crop_the_middle() -> None:
    pixels = np.zeros((20, 60, 3), dtype=np.uint8)
    pixels[:, :20, 0] = pixels[:, 20:40, 1] = pixels[:, 40:, 2] = 255
    image = Image.fromarray(pixels)
    crop = stored(image, DataConfig(size=14, resize="crop"))
    assert crop.shape == (16, 16, 3) and crop.dtype == np.uint8  # 14 / 0.875
    assert (crop[:, 1:-1] == (0, 255, 0)).all()
    stretch = stored(image, DataConfig(size=15, resize="stretch"))
    assert stretch.shape == (15, 15, 3)
    assert [stretch[7, column].tolist() for column in (1, 7, 13)] == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    assert stored(image, DataConfig(size=15, stored_size=40)).shape == (40, 40, 3)


@pytest.mark.parametrize("size", [(64, 32), (32, 64)])
def test_crop_is_resize_and_then_centre(size: tuple[int, int]) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8))
    whole = np.asarray(image.resize((image.width // 2, image.height // 2), Image.Resampling.BILINEAR))
    top, left = (whole.shape[0] - 16) // 2, (whole.shape[1] - 16) // 2
    found = stored(image, DataConfig(size=16, stored_size=16, resize="crop"))
    expected = whole[top : top + 16, left : left + 16].astype(int)
    assert np.abs(found - expected).max() <= 1  # Pillow rounds between its two passes


def test_shrinking_does_not_alias() -> None:
    board = np.indices((128, 128)).sum(0) % 2 * 255
    found = stored(Image.fromarray(board.astype(np.uint8)), DataConfig(size=16))
    assert found.min() >= 120 and found.max() <= 135


def test_a_panorama_of_one_pixel_height_is_no_problem() -> None:
    assert stored(Image.new("RGB", (60000, 1)), DataConfig(size=224, resize="crop")).shape == (256, 256, 3)


# ---- the store


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return opened(tree(tmp_path / "images", {"a": 12, "b": 12}))


def test_a_store_gives_the_same_with_and_without_memory(dataset: Dataset) -> None:
    config, indices = DataConfig(size=16), np.array([5, 3, 3, 20])
    kept, fresh = ImageStore(dataset, config), ImageStore(dataset, DataConfig(size=16, memory_gb=0))
    expected = np.stack([stored(dataset.load(index), config) for index in indices])
    for _ in range(2):
        for store in (kept, fresh):
            batch = store.batch(indices)
            assert batch.dtype == np.uint8 and batch.shape == (4, 16, 16, 3)
            assert np.array_equal(batch, expected)
            batch[:] = 0  # a copy: the store is not harmed
    assert kept.batch(np.array([], dtype=np.int64)).shape == (0, 16, 16, 3)
    assert fresh.batch(np.array([], dtype=np.int64)).shape == (0, 16, 16, 3)


def test_what_is_in_memory_needs_no_file_and_a_lost_file_is_named(dataset: Dataset) -> None:
    kept, fresh = (ImageStore(dataset, DataConfig(size=16, memory_gb=memory)) for memory in (1, 0))
    kept.fill(np.arange(10))
    before = kept.batch(np.arange(10))
    for index in (4, 15):
        Path(dataset.where(index)).unlink()
    assert np.array_equal(kept.batch(np.arange(10)), before)
    for store, index in ((kept, 15), (fresh, 4)):
        with pytest.raises(OSError, match=rf"{dataset.where(index)}: no such file"):
            store.batch(np.arange(10) if index == 4 else np.array([14, 15]))


def test_the_limit_of_memory_counts_the_whole_set(dataset: Dataset) -> None:
    exact = 24 * 16 * 16 * 3 / 1e9
    assert ImageStore(dataset, DataConfig(size=16, memory_gb=exact))._pixels is not None
    assert ImageStore(dataset, DataConfig(size=16, memory_gb=exact * 0.99))._pixels is None


@pytest.mark.parametrize("memory", [1, 0])
def test_mean_and_std(dataset: Dataset, memory: float) -> None:
    store = ImageStore(dataset, DataConfig(size=16, memory_gb=memory))
    indices = np.arange(2, 20)
    pixels = store.batch(indices).astype(np.float64).reshape(-1, 3) / 255
    mean, std = store.mean_std(indices)
    assert mean == pytest.approx(pixels.mean(0), abs=1e-12) and std == pytest.approx(pixels.std(0), abs=1e-12)
    assert store.mean_std(indices[::-1]) == (mean, std)  # to the last bit
    assert store.mean_std(indices[:5]) != (mean, std)


def test_threads_keep_the_order_and_show_a_bar_on_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = {}
    monkeypatch.setattr(parallel, "PATIENCE", 0)
    monkeypatch.setattr(parallel, "CHUNK", 7)
    for kind in (Terminal, io.StringIO):
        stream = kind()
        monkeypatch.setattr(sys, "stderr", stream)
        assert parallel.in_threads(lambda number: number * 2, range(50), "doubling") == list(range(0, 100, 2))
        shown[kind] = stream.getvalue()
    assert "doubling" in shown[Terminal] and shown[io.StringIO] == ""
