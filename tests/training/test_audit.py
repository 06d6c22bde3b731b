"""python -m training.audit: what it finds, tells and writes, and its exit code."""

import csv
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, Door, run_folders
from digit_images import write_digits
from outcome import TINY
from pictures import fresh as fresh
from PIL import Image
from twins import KINDS

from training import audit
from training.auditing.embedding import alike_and_far


def photo(seed: int) -> Image.Image:
    """A picture of its own."""
    small = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((90, 70), Image.Resampling.BICUBIC)


def photos(root: Path, count: int = 24) -> Path:
    """root/{train,val,test}/{cat,dog}: as many different images in each."""
    seed = 0
    for split in ("train", "val", "test"):
        for label in ("cat", "dog"):
            folder = root / split / label
            folder.mkdir(parents=True)
            for index in range(count):
                photo(seed := seed + 1).save(folder / f"{index:02}.png")
    return root


def found(root: Path, file: Path, *more: str) -> tuple[int, list[dict[str, str]]]:
    """The exit code and the rows of the CSV."""
    code = audit.main(["data=folder", f"data.root={root}", "--csv", str(file), *more])
    return code, list(csv.DictReader(file.read_text().splitlines()))


def test_clean_data_has_no_findings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert found(photos(tmp_path / "data"), tmp_path / "a.csv") == (0, [])
    assert "found: nothing" in capsys.readouterr().out


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_twin_of_a_train_image_in_test_is_a_leak(tmp_path: Path, kind: str) -> None:
    root = photos(tmp_path / "data")
    KINDS[kind](Image.open(root / "train/cat/03.png")).save(root / "test/cat/twin.png")
    code, rows = found(root, tmp_path / "a.csv")
    assert code == 1
    assert [(row["kind"], row["image"], row["split"]) for row in rows] == [
        ("leak", "test/cat/twin.png", "test"),
        ("leak", "train/cat/03.png", "train"),
    ]
    assert ("mirrored" in rows[0]["what"]) == (kind == "mirrored")


def test_equal_files_labels_small_classes_odd_and_bad_images(tmp_path: Path) -> None:
    root = photos(tmp_path / "data")
    for index in range(12):
        photo(500 + index).save(root / f"train/dog/more{index}.png")
    copy = (root / "train/dog/05.png").read_bytes()
    (root / "train/cat/copy.png").write_bytes(copy)
    (root / "val/dog/copy.png").write_bytes((root / "train/dog/06.png").read_bytes())
    photo(900).resize((900, 700)).save(root / "train/dog/large.png")
    photo(901).convert("L").save(root / "train/dog/grey.png")
    (root / "train/dog/broken.png").write_bytes(copy[:200])
    for index in range(18):
        (root / f"val/cat/{index:02}.png").unlink()
    code, rows = found(root, tmp_path / "a.csv")
    assert code == 0
    what = {(row["kind"], row["image"] or row["what"].partition(":")[0]) for row in rows}
    assert what == {
        ("two labels", "train/cat/copy.png"),
        ("two labels", "train/dog/05.png"),
        ("exact copies", "train/dog/06.png"),
        ("exact copies", "val/dog/copy.png"),
        ("odd image", "train/dog/large.png"),
        ("odd image", "train/dog/grey.png"),
        ("unreadable", "train/dog/broken.png"),
        ("small class", "cat"),
    }


def test_the_page_has_the_pictures_and_escapes_names(tmp_path: Path) -> None:
    root = photos(tmp_path / "data", 20)
    name = "<b>&x.png"
    Image.open(root / "train/cat/00.png").save(root / "test/cat" / name)
    file = tmp_path / "audit.html"
    assert audit.main(["data=folder", f"data.root={root}", "--html", str(file)]) == 1
    text = file.read_text()
    assert text.count('src="data:image/jpeg;base64,') == 2
    assert "&lt;b&gt;&amp;x.png" in text and "<b>&x" not in text
    assert "http" not in text


def test_a_module_that_is_missing_is_said_in_one_line(tmp_path: Path) -> None:
    """In a process of its own, whose Python finds no cleanlab."""
    root = photos(tmp_path / "data", 4)
    hidden = "import sys; sys.modules['cleanlab'] = None; from importlib import util; find = util.find_spec; "
    hidden += "util.find_spec = lambda name, *more: None if name == 'cleanlab' else find(name, *more); "
    code = (
        f"{hidden}from training.audit import main; sys.exit(main({['data=folder', f'data.root={root}', '--run', 'x']}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.strip().endswith('need cleanlab: pip install "finegrid[audit]"')


@pytest.mark.skipif(importlib.util.find_spec("cleanlab") is None, reason="the extra [audit] is not installed")
def test_flipped_labels_are_among_the_first_suspects(tmp_path: Path, train: Door) -> None:
    """A run from scratch on digits, some of whose val images have another's label: half of them are within the first
    2k suspects, k of them planted."""
    root = write_digits(tmp_path / "data", range(5), 100, 40, 20)
    flipped = set()
    for digit in range(5):
        for index in (3, 17):
            target = root / "val" / str((digit + 2) % 5) / f"flipped{digit}{index}.png"
            (root / "val" / str(digit) / f"{index:03}.png").rename(target)
            flipped.add(target.relative_to(root).as_posix())
    data = ["data=folder", f"data.root={root}", "data.size=16", "data.resize=stretch"]
    result = train(TINY, *data, "optimizer.lr=0.003", "trainer.epochs=8", "tracking=none", "trainer.batch_size=32")
    assert result.code == 0, result.err
    (run,) = run_folders(tmp_path / "outputs")
    _, rows = found(root, tmp_path / "a.csv", "--run", str(run))
    suspects = [row["image"] for row in rows if row["kind"] == "suspected label"]
    assert len(set(suspects)) == len(suspects)
    assert len(flipped & set(suspects[: 2 * len(flipped)])) >= len(flipped) / 2


def flipped_digits(root: Path, count: int = 40) -> set[str]:
    """Digits in train, val and test; the names of train images that have another's label."""
    write_digits(root, range(5), count, 15, 15)
    flipped = set()
    for digit in range(5):
        for index in (3, 17):
            target = root / "train" / str((digit + 2) % 5) / f"flipped{digit}{index}.png"
            (root / "train" / str(digit) / f"{index:03}.png").rename(target)
            flipped.add(target.relative_to(root).as_posix())
    return flipped


def suspects_of(rows: list[dict[str, str]]) -> list[str]:
    return [row["image"] for row in rows if row["kind"] == "suspected label"]


@pytest.mark.skipif(importlib.util.find_spec("cleanlab") is None, reason="the extra [audit] is not installed")
def test_features_of_a_network_before_training_doubt_labels_of_all_splits(tmp_path: Path) -> None:
    root = tmp_path / "data"
    flipped = flipped_digits(root)
    target = root / "test/1/flipped.png"
    (root / "test/0/003.png").rename(target)
    flipped.add("test/1/flipped.png")
    _, rows = found(root, tmp_path / "a.csv", "--features", TINY, "data.size=16", "data.resize=stretch")
    suspects = suspects_of(rows)
    assert "test/1/flipped.png" in suspects
    assert len(flipped & set(suspects[: 2 * len(flipped)])) >= len(flipped) / 2


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("cleanlab") is None, reason="the extra [audit] is not installed")
def test_a_folder_of_folds_doubts_train_labels(tmp_path: Path, train: Door) -> None:
    root = tmp_path / "data"
    flipped = flipped_digits(root, 80)
    data = ["data=folder", f"data.root={root}", "data.size=16", "data.resize=stretch"]
    more = ["optimizer.lr=0.003", "trainer.epochs=20", "tracking=none", "trainer.batch_size=32", "data.folds=2"]
    for fold in (0, 1):
        result = train(TINY, *data, *more, f"data.fold={fold}")
        assert result.code == 0, result.err
    _, rows = found(root, tmp_path / "a.csv", "--run", str(tmp_path / "outputs" / "runs"))
    suspects = suspects_of(rows)
    assert len(set(suspects)) == len(suspects)
    assert len(flipped & set(suspects[: 2 * len(flipped)])) >= len(flipped) / 2


def test_embeddings_show_pairs_that_are_nearly_equal_and_images_far_from_all() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(10, 40))[random.integers(0, 10, 600)] * 2 + random.normal(size=(600, 40))
    features[590:600] = features[:10] + 0.02 * random.normal(size=(10, 40))
    features[580] = 9 * random.normal(size=40)
    seen = alike_and_far(features.astype(np.float32))
    assert {one.images for one in seen if one.kind == "alike"} == {(index, 590 + index) for index in range(10)}
    assert [one.images for one in seen if one.kind == "odd image"] == [(580,)]
    assert alike_and_far(features[:3].astype(np.float32)) == []
