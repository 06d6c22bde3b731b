"""Files that are replaced in place: the cache of hashes, and the pixels that a run takes."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from pictures import cache_files, opened
from pictures import fresh as fresh
from PIL import Image

from training.data.files.decoding import BadImage
from training.data.image_store import ImageStore
from training.schema.data_config import DataConfig

WHEN = (946684800, 946684800)


def bitmap(path: Path, value: int, side: int = 12) -> Path:
    """All of one size and time, whatever their pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([value, *path.name.encode()]).integers(0, 40, (side, side, 3)) + value
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    os.utime(path, WHEN)
    return path


def bitmaps(root: Path, value: int = 20, side: int = 12) -> Path:
    for label in "ab":
        for number in range(5):
            bitmap(root / label / f"{number}.bmp", value, side)
    return root


def lines() -> dict[str, list[object]]:
    (file,) = cache_files()
    content: dict[str, list[object]] = json.loads(file.read_text())
    return content


def in_place(old: Path, new: Path) -> None:
    with old.open("r+b") as stream:
        stream.write(new.read_bytes())


def cp_p(old: Path, new: Path) -> None:
    subprocess.run(["cp", "-p", new, old], check=True)


def moved_over(old: Path, new: Path) -> None:
    shutil.copy2(new, f"{new}.copy")
    Path(f"{new}.copy").replace(old)


def deleted_and_copied(old: Path, new: Path) -> None:
    old.unlink()
    shutil.copy2(new, old)


@pytest.mark.parametrize("how", [in_place, cp_p, moved_over, deleted_and_copied])
@pytest.mark.parametrize("side", [12, 150])  # of 566 bytes and of 68 KB, of which blocks are compared
def test_replaced_files_of_the_same_size_and_time_are_seen(
    tmp_path: Path, how: Callable[[Path, Path], None], side: int
) -> None:
    root = bitmaps(tmp_path / "images", side=side)
    first = opened(root)
    old, new = root / "a/3.bmp", bitmap(tmp_path / "new/3.bmp", 200, side)
    how(old, new)
    os.utime(old, WHEN)
    second = opened(root)
    assert second.fingerprint != first.fingerprint
    index = second.names.index("a/3.bmp")
    assert ImageStore(second, DataConfig(size=16)).batch(np.array([index])).min() >= 200
    new_root = shutil.copytree(root, tmp_path / "elsewhere")
    assert opened(new_root).fingerprint == second.fingerprint


@pytest.mark.parametrize("change", ["chmod", "touch", "link", "copy"])
def test_another_time_or_inode_of_the_same_content_costs_time_only(tmp_path: Path, change: str) -> None:
    root = bitmaps(tmp_path / "images")
    first, before = opened(root), lines()
    file = root / "a/3.bmp"
    if change == "chmod":
        file.chmod(0o600)
    elif change == "touch":
        os.utime(file)
    elif change == "link":
        os.link(file, tmp_path / "second_name")
    else:
        moved_over(file, shutil.copy2(file, tmp_path / "copy.bmp"))
    assert opened(root).fingerprint == first.fingerprint
    after = lines()
    assert after["a/3.bmp"] != before.pop("a/3.bmp") and before.items() <= after.items()


def test_a_change_that_no_time_tells_of(tmp_path: Path) -> None:
    """As on a file system without ctime: the cache says that nothing has changed."""
    root = bitmaps(tmp_path / "images", side=150)
    first = opened(root)
    file = root / "a/3.bmp"
    content = bytearray(file.read_bytes())
    content[100] ^= 255  # in a block that is compared
    file.write_bytes(content)
    pretend_nothing_changed(root)
    second = opened(root)
    assert second.fingerprint != first.fingerprint
    content[20000] ^= 255  # between these blocks
    file.write_bytes(content)
    pretend_nothing_changed(root)
    assert opened(root).fingerprint == second.fingerprint
    assert opened(root, verify=True).fingerprint not in (first.fingerprint, second.fingerprint)


def pretend_nothing_changed(root: Path) -> None:
    (cache,) = cache_files()
    content = lines()
    for name, line in content.items():
        found = (root / name).stat()
        line[:2], line[3:5] = [found.st_size, found.st_mtime_ns], [found.st_ino, found.st_ctime_ns]
    cache.write_text(json.dumps(content))


def test_a_cache_of_an_earlier_version_is_looked_at_again_once(tmp_path: Path) -> None:
    root = bitmaps(tmp_path / "images")
    first, whole = opened(root), lines()
    (cache,) = cache_files()
    cache.write_text(json.dumps({name: line[:3] for name, line in whole.items()}))
    bitmap(root / "a/3.bmp", 200)
    assert opened(root).fingerprint != first.fingerprint
    assert lines().keys() == whole.keys() and all(len(line) == 7 for line in lines().values())


def test_pixels_are_those_of_the_content_that_was_hashed(tmp_path: Path) -> None:
    root = bitmaps(tmp_path / "images")
    for cache in ("disk", "memory", "none"):
        dataset = opened(root, cache=cache)
        index = dataset.names.index("b/2.bmp")
        (root / "a/0.bmp").chmod(0o600)  # the same content: goes on
        old = (root / "b/2.bmp").read_bytes()
        bitmap(root / "b/2.bmp", 200)
        with pytest.raises(BadImage, match=r"b/2\.bmp: its content has changed since the images were looked at"):
            ImageStore(dataset, DataConfig(size=16, cache=cache)).batch(np.array([0, index]))
        (root / "b/2.bmp").write_bytes(old)
        assert ImageStore(dataset, DataConfig(size=16, cache=cache)).batch(np.arange(10)).shape == (10, 16, 16, 3)
        shutil.rmtree(os.environ["FINEGRID_CACHE"])


def test_a_file_that_is_written_to_while_it_is_looked_at(tmp_path: Path) -> None:
    """Another process writes two images in turn: what is hashed is always one of them."""
    root = bitmaps(tmp_path / "images")
    file = root / "a/3.bmp"
    one, two = file.read_bytes(), bitmap(tmp_path / "other/3.bmp", 200).read_bytes()
    known = set()
    for content in (one, two):
        file.write_bytes(content)
        known.add(opened(root).fingerprint)
    code = "import sys, os, itertools\nfor n in itertools.count():\n"
    code += "    open(sys.argv[3], 'wb').write(open(sys.argv[1 + n % 2], 'rb').read())\n"
    code += "    os.replace(sys.argv[3], sys.argv[4])"
    (tmp_path / "one").write_bytes(one)
    (tmp_path / "two").write_bytes(two)
    arguments = [str(tmp_path / "one"), str(tmp_path / "two"), str(tmp_path / "half"), str(file)]
    writer = subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=ROOT)
    try:
        time.sleep(0.3)
        for _ in range(15):
            try:
                assert opened(root).fingerprint in known
            except Exception as error:
                assert "changes while it is read" in str(error)
    finally:
        writer.kill()
        writer.wait()
