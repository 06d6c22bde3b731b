"""The data card: what a run says of its images first, what it leaves for the sweep, and what the page shows of it."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import QUICK, Door, run_folders
from outcome import TINY, record_of
from pictures import cache_files, forget, opened
from pictures import fresh as fresh
from PIL import Image
from twins import KINDS

from analysis import load
from analysis.report import main as report
from training.audit import main as audit
from training.engine.tracking.data_card import card_of
from training.schema.data_card import DataCard, lines
from training.schema.data_config import DataConfig


def photos(root: Path, count: int = 12) -> Path:
    """root/{train,val,test}/{cat,dog}: so many different images in train, 3 in val and 4 in test."""
    random = np.random.default_rng(5)
    for split, some in (("train", count), ("val", 3), ("test", 4)):
        for label in ("cat", "dog"):
            folder = root / split / label
            folder.mkdir(parents=True)
            for index in range(some):
                small = Image.fromarray(random.integers(0, 256, (7, 9, 3), dtype=np.uint8))
                small.resize((90, 70), Image.Resampling.BICUBIC).save(folder / f"{index:02}.png")
    return root


def test_a_run_tells_its_images_and_leaves_a_card_that_the_page_shows(tmp_path: Path, train: Door) -> None:
    root = photos(tmp_path / "data")
    Image.open(root / "train/cat/00.png").convert("L").resize((45, 200)).save(root / "train/cat/12.png")
    (root / "test/dog/copy.png").write_bytes((root / "train/dog/01.png").read_bytes())
    always = ["data=folder", f"data.root={root}", *QUICK, TINY, "tracking=none"]
    first = train(*always)
    assert first.code == 0, first.err
    before, _, _ = first.out.partition("epoch 1/")
    assert "data: images a class (train/val/test): cat 13/3/4, dog 12/3/5" in before
    assert "data: sizes: width 45 to 90 (median 90), height 70 to 200 (median 70) px; 2 different ones; " in before
    assert "modes: 39 RGB, 1 grey (L)" in before
    assert "data: equal files: 1 in train and test; near copies not looked for" in before
    assert "data: pixel values: " in before and "in 16 train images" in before
    (run,) = run_folders(tmp_path / "outputs")
    sweep = run.parents[1]
    (card_file,), (sheet,) = sweep.glob("data_card-*.json"), sweep.glob("contact_sheet-*.webp")
    card = json.loads(card_file.read_text())
    assert card["counts"] == {"train": [13, 12], "val": [3, 3], "test": [4, 5]}
    assert Image.open(sheet).size == (136 + 8 * 64, 2 * 64)
    sheet.write_bytes(b"kept")  # the next run of the sweep makes no other
    assert train(*always, "seed=1").code == 0
    assert sheet.read_bytes() == b"kept"
    page = tmp_path / "page.html"
    assert report([str(sweep), "--html", str(page)]) == 0
    assert "<h2>Data</h2>" in page.read_text() and "url(data:image/webp" not in page.read_text(), "a sheet that is none"
    sheet.unlink()
    assert train(*always, "seed=2").code == 0
    assert report([str(sweep), "--html", str(page)]) == 0
    text = page.read_text()
    assert text.count("url(data:image/webp;base64,") == 1 and text.count('class="strip sheet-0"') == 2
    assert "equal files: 1 in train and test" in text
    card_file.unlink()
    assert report([str(sweep), "--html", str(page)]) == 0
    assert "<h2>Data</h2>" not in page.read_text()


def test_test_accuracy_without_images_that_have_a_copy_in_train(
    tmp_path: Path, train: Door, capfd: pytest.CaptureFixture[str]
) -> None:
    root = photos(tmp_path / "data")
    (root / "test/dog/copy.png").write_bytes((root / "train/dog/01.png").read_bytes())
    KINDS["half"](Image.open(root / "train/cat/02.png")).save(root / "test/cat/twin.png")
    always = ["data=folder", f"data.root={root}", *QUICK, TINY, "tracking=none"]
    for name, more in (("plain", ()), ("near", ("data.group_by=duplicates",))):
        assert train(*always, *more, f"sweep.name={name}").code == 0
    for name, copies in (("plain", {"dog/copy"}), ("near", {"dog/copy", "cat/twin"})):
        sweep = tmp_path / "outputs" / name
        (run,) = run_folders(sweep)
        with np.load(run / "predictions_test.npz") as content:
            twin = {str(one)[5:-4] for one in content["id"][content["twin"]]}
            right = content["logits"].argmax(1) == content["label"]
            expected = 100 * right[~content["twin"]].mean()
        assert twin == copies
        found = load(sweep).iloc[0]
        assert (found["test_twins"], found["test_without_twins"]) == (len(copies), pytest.approx(expected))
        assert report([str(sweep)]) == 0
        text = " ".join(capfd.readouterr().out.split())
        assert (
            f"{len(copies)} of 10 test images have a copy in train: the reference row has {expected:.2f} % without"
            in text
        )
        assert report([str(sweep), "--format", "csv"]) == 0
        assert "test_without_twins" in capfd.readouterr().out.splitlines()[0]
        record = record_of(run)
        assert record["data"]["shared"]["test"] == 1


def test_the_audit_tells_the_report_of_copies_that_a_run_did_not_look_for(
    tmp_path: Path, train: Door, capfd: pytest.CaptureFixture[str]
) -> None:
    root = photos(tmp_path / "data")
    KINDS["half"](Image.open(root / "train/cat/02.png")).save(root / "test/cat/twin.png")
    assert train("data=folder", f"data.root={root}", *QUICK, TINY, "tracking=none").code == 0
    assert audit(["data=folder", f"data.root={root}", "--csv", str(tmp_path / "audit.csv")]) == 1
    (run,) = run_folders(tmp_path / "outputs")
    capfd.readouterr()
    assert report([str(run.parents[1]), "--twins", str(tmp_path / "audit.csv")]) == 0
    assert "1 of 9 test images have a copy in train" in " ".join(capfd.readouterr().out.split())
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    assert report([str(run.parents[1]), "--twins", str(tmp_path / "other.csv")]) == 2
    assert "expected the CSV of training.audit" in capfd.readouterr().err


def test_runs_without_copies_have_no_such_column(
    tmp_path: Path, train: Door, capfd: pytest.CaptureFixture[str]
) -> None:
    assert train("data=folder", f"data.root={photos(tmp_path / 'data')}", *QUICK, TINY, "tracking=none").code == 0
    (run,) = run_folders(tmp_path / "outputs")
    with np.load(run / "predictions_test.npz") as content:
        assert "twin" not in content
    assert report([str(run.parents[1]), "--format", "csv"]) == 0
    assert "test_without_twins" not in capfd.readouterr().out


def test_what_an_earlier_cache_does_not_know_is_read_from_the_headers(tmp_path: Path) -> None:
    root = photos(tmp_path / "data", 4)
    card = card_of(opened(root), DataConfig(root=str(root)))
    (cache,) = (file for file in cache_files() if file.suffix == ".json")
    kept = json.loads(cache.read_text())
    for line in kept.values():
        assert line[-1].pop("file") == [90, 70, "RGB"]
    cache.write_text(json.dumps(kept))
    assert card_of(opened(root), DataConfig(root=str(root))) == card
    assert json.loads(cache.read_text()) != kept, "and is known from then on"
    forget()


def test_modes_are_those_in_the_files(tmp_path: Path) -> None:
    root = photos(tmp_path / "data", 4)
    image = Image.open(root / "train/cat/00.png")
    image.convert("RGBA").save(root / "train/cat/00.png")
    image.convert("P").save(root / "train/cat/01.png")
    image.convert("L").save(root / "train/cat/02.png")
    deep = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 100)
    deep.save(root / "train/cat/03.png")
    card = card_of(opened(root), DataConfig(root=str(root)))
    assert card.modes == {"RGB": 18, "RGBA": 1, "P": 1, "L": 1, "I;16": 1}
    (line,) = (one for one in lines(card) if "modes" in one)
    assert "sizes: 90 x 70 px; modes: 18 RGB, " in line and "1 grey, 16 bit (I;16)" in line


def many(**changes: Any) -> DataCard:
    """A card of 40 classes."""
    counts = {"train": list(range(20, 60)), "val": [5] * 40, "test": [7] * 40}
    return DataCard(classes=[f"c{number}" for number in range(40)], counts=counts, **changes)


def test_many_classes_are_summed_up() -> None:
    (line,) = lines(many())
    assert line == "images a class: train 20 to 59 (median 39.5); val 5; test 7; fewest in train: c0 with 20"


@pytest.mark.parametrize(
    "damage", [{"classes": ["a"]}, {"counts": {"train": 3}}, {"width": ["x"]}, {"values": {"n": "x"}}]
)
def test_a_damaged_card_says_nothing_wrong(damage: dict[str, Any]) -> None:
    card = many()
    for name, value in damage.items():
        setattr(card, name, value)
    assert len(lines(card)) <= 1


def test_the_sheet_has_a_row_a_class_with_its_own_images(tmp_path: Path, train: Door) -> None:
    """Red and blue images of two classes, in their rows."""
    for split, count in (("train", 9), ("val", 2), ("test", 2)):
        for label, colour in (("a", 0), ("b", 2)):
            (tmp_path / "data" / split / label).mkdir(parents=True)
            for index in range(count):
                pixels = np.zeros((40, 40, 3), dtype=np.uint8)
                pixels[..., colour] = 200 + index
                pixels[0, 0] = index
                Image.fromarray(pixels).save(tmp_path / "data" / split / label / f"{index}.png")
    done = train("data=folder", f"data.root={tmp_path / 'data'}", *QUICK, TINY, "tracking=none")
    assert done.code == 0, done.err
    (run,) = run_folders(tmp_path / "outputs")
    (file,) = run.parents[1].glob("contact_sheet-*.webp")
    sheet = np.asarray(Image.open(io.BytesIO(file.read_bytes())).convert("RGB")).astype(int)[:, 136:]
    assert (sheet[4:60, :, 0] > 150).all() and (sheet[4:60, :, 2] < 90).all()
    assert (sheet[68:124, :, 2] > 150).all() and (sheet[68:124, :, 0] < 90).all()
