"""The fingerprint of images, and the cache of what was checked, through open_dataset."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from pictures import cache_files, opened, problem, table, tree, write
from pictures import fresh as fresh
from PIL import Image

from training.data.files.decoding import load_image


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


def test_fingerprint_knows_the_names_of_classes(tmp_path: Path) -> None:
    tree(tmp_path, {"x": 8})

    def of(first: str) -> str:
        rows = [f"x/00{n}.png,{(first, 'zebra')[n % 2]}" for n in range(8)]
        return opened(csv=table(tmp_path / "list.csv", *rows, header="path,label")).fingerprint

    assert of("cat") != of("dog")


def test_fingerprint_knows_labels_and_splits_of_a_csv(tmp_path: Path) -> None:
    tree(tmp_path, {"x": 9})

    def of(label: str, split: str) -> str:
        rows = [f"x/00{n}.png,{'ab'[n % 2]},{('train', 'val')[n // 2 % 2]}" for n in range(8)]
        return opened(csv=table(tmp_path / "list.csv", *rows, f"x/008.png,{label},{split}")).fingerprint

    base = of("a", "train")
    assert of("a", "train") == base
    assert len({base, of("b", "train"), of("a", "val")}) == 3


def test_a_file_of_the_same_size_and_time_is_read_again_when_it_was_written(tmp_path: Path) -> None:
    tree(tmp_path, {"a": 4, "b": 4})
    first = opened(tmp_path).fingerprint
    image = tmp_path / "a/000.png"
    before = image.stat()
    image.write_bytes(bytes(before.st_size))
    os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert str(image) in problem(tmp_path)
    Image.new("RGB", (50, 50)).save(image)
    os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert image.stat().st_size != before.st_size and opened(tmp_path).fingerprint != first
    assert len(cache_files()) == 1


@pytest.mark.parametrize("rubbish", ["", "{", "[1, 2]", '{"a/000.png": 3}', '{"a/000.png": [1, "x", 3]}', "\0\1"])
def test_a_corrupt_cache_is_rebuilt(tmp_path: Path, rubbish: str) -> None:
    tree(tmp_path, {"a": 4, "b": 4})
    first = opened(tmp_path).fingerprint
    (file,) = cache_files()
    whole = json.loads(file.read_text())
    file.write_text(rubbish)
    assert opened(tmp_path).fingerprint == first
    assert json.loads(file.read_text()) == whole and len(whole) == 8


def test_what_was_checked_before_an_interruption_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, {"a": 4, "b": 4})

    def load(path: Path) -> Image.Image:
        if path.parts[-2:] == ("b", "003.png"):
            raise KeyboardInterrupt
        return load_image(path)

    monkeypatch.setattr("training.data.image_folder.read_image", load)
    with pytest.raises(KeyboardInterrupt):
        opened(tmp_path)
    (file,) = cache_files()
    assert len(json.loads(file.read_text())) == 7


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


def test_processes_may_check_the_same_images_at_once(tmp_path: Path) -> None:
    tree(tmp_path, {"a": 40, "b": 40})
    code = (
        "from training.config import DataConfig as C; from training.data.dataset import open_dataset\n"
        f"print(open_dataset(C(_target_='training.sources.folder', root={str(tmp_path)!r})).fingerprint)"
    )
    command = [sys.executable, "-c", code]
    started = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = {process.communicate(timeout=60)[0].strip() for process in started}
    assert outputs == {opened(tmp_path).fingerprint}
    (file,) = cache_files()  # and no halves
    assert len(json.loads(file.read_text())) == 80
