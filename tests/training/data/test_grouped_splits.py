"""data.group_by: images that belong together are on one side of every split, and each class has its share."""

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from conftest import QUICK, Door, run_folders
from outcome import TINY, record_of
from pictures import fresh as fresh
from pictures import names, opened, problem, table, tree
from PIL import Image
from twins import KINDS

from training.data.dataset import Dataset, open_without_test
from training.data.grouped_draw import draw_groups
from training.schema.data_config import DataConfig

SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}


def photos(root: Path, count: int = 30, copied: int = 10) -> Path:
    """root/{cat,dog}: so many different images each, and three twins of some of them."""
    random = np.random.default_rng(3)
    for label in ("cat", "dog"):
        (root / label).mkdir(parents=True)
        for index in range(count):
            small = Image.fromarray(random.integers(0, 256, (7, 9, 3), dtype=np.uint8))
            image = small.resize((90, 70), Image.Resampling.BICUBIC)
            image.save(root / label / f"{index:02}.png")
            for kind in ("half", "brightened", "mirrored") if index < copied else ():
                KINDS[kind](image).save(root / label / f"{index:02}-{kind}.png")
    return root


def parted(dataset: Dataset) -> list[str]:
    """The first halves of names that are in several splits."""
    where = defaultdict(set)
    for split in dataset.split:
        for name in names(dataset, split):
            where[name.partition(".")[0].partition("-")[0]].add(split)
    return [name for name, splits in where.items() if len(splits) > 1]


def test_copies_stay_on_one_side_of_a_drawn_split_and_of_folds(tmp_path: Path) -> None:
    root = photos(tmp_path)
    assert parted(opened(root)), "a plain draw parts some"
    grouped = opened(root, group_by="duplicates")
    assert not parted(grouped)
    assert grouped.twins == {"val": 0, "test": 0}
    assert grouped.fingerprint == opened(root).fingerprint
    vals = []
    for fold in range(3):
        part = opened(root, group_by="duplicates", folds=3, fold=fold)
        assert not parted(part)
        assert names(part, "test") == names(grouped, "test")
        vals += names(part, "val")
    assert sorted(vals) == sorted([*names(grouped, "train"), *names(grouped, "val")])
    without = open_without_test(DataConfig("training.sources.folder", root=str(root), size=16, group_by="duplicates"))
    assert names(without, "val") == names(grouped, "val") and not len(without.split["test"])


def test_the_groups_are_the_same_again_and_other_with_another_seed(tmp_path: Path) -> None:
    root = photos(tmp_path)
    first, again = (opened(root, group_by="duplicates") for _ in range(2))
    assert names(first, "test") == names(again, "test")
    assert names(first, "test") != names(opened(root, group_by="duplicates", split_seed=1), "test")


def test_a_column_of_the_csv(tmp_path: Path) -> None:
    tree(tmp_path, {"a": 40, "b": 40})
    rows = [f"{label}/{index:03}.png,{label},p{index // 5}" for label in "ab" for index in range(40)]
    csv = table(tmp_path / "data.csv", *rows, header="path,label,Patient")
    dataset = opened(csv=csv, group_by="patient", val_fraction=0.25, test_fraction=0.25)
    patients = {split: {int(name[2:5]) // 5 for name in names(dataset, split)} for split in dataset.split}
    assert [len(patients[split]) for split in ("train", "val", "test")] == [4, 2, 2]
    assert len(set().union(*patients.values())) == 8
    assert dataset.twins is None
    assert "no such column, but path, label, patient" in problem(csv=csv, group_by="site")
    assert "column of data.csv=FILE, which isn't given" in problem(tmp_path, group_by="patient")
    csv = table(tmp_path / "data.csv", *rows[:-1], "b/039.png,b,", header="path,label,patient")
    assert "1 image(s) have no value in this column, such as b/039.png" in problem(csv=csv, group_by="patient")


def test_single_images_are_spread_to_within_one() -> None:
    labels = np.repeat([0, 1, 2], [101, 37, 8])
    parts = draw_groups(labels, np.arange(len(labels)), SHARES, 0, ("a", "b", "c"), "data.group_by=x")
    for name, share in SHARES.items():
        counts = np.bincount(labels[parts[name]], minlength=3)
        assert (np.abs(counts - share * np.array([101, 37, 8])) <= 1).all(), (name, counts)


@pytest.mark.parametrize("seed", range(5))
def test_groups_of_any_size_and_several_classes_keep_the_shares(seed: int) -> None:
    random = np.random.default_rng(seed)
    groups = random.integers(0, 300, 2000)
    labels = (groups + (random.random(2000) < 0.1)) % 4
    parts = draw_groups(labels, groups, SHARES, seed, tuple("abcd"), "data.group_by=x")
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(2000))
    where = Counter(group for rows in parts.values() for group in set(groups[rows].tolist()))
    assert set(where.values()) == {1}
    for name, share in SHARES.items():
        shares = np.bincount(labels[parts[name]], minlength=4) / np.bincount(labels, minlength=4)
        assert (np.abs(shares - share) < 0.03).all(), (name, shares)


def test_a_class_of_one_group_is_refused_in_one_line(tmp_path: Path) -> None:
    tree(tmp_path, {"a": 9, "b": 9})
    rows = [
        f"{label}/{index:03}.png,{label},{label if label == 'b' else index}" for label in "ab" for index in range(9)
    ]
    csv = table(tmp_path / "data.csv", *rows, header="path,label,who")
    assert "data.group_by=who: class b has 1 group(s), of which none fell to" in problem(csv=csv, group_by="who")


def test_given_splits_stay_and_the_record_says_how_many_twins_are_in_train(tmp_path: Path, train: Door) -> None:
    root = photos(tmp_path / "all", 12, 0)
    for label in ("cat", "dog"):
        for index in range(12):
            split = "train" if index < 6 else "val" if index < 9 else "test"
            (tmp_path / "data" / split / label).mkdir(parents=True, exist_ok=True)
            (root / label / f"{index:02}.png").rename(tmp_path / "data" / split / label / f"{index:02}.png")
    data = tmp_path / "data"
    KINDS["half"](Image.open(data / "train/cat/01.png")).save(data / "test/cat/twin.png")
    KINDS["mirrored"](Image.open(data / "train/dog/02.png")).save(data / "test/dog/twin.png")
    always = ["data=folder", f"data.root={data}", *QUICK, TINY, "tracking=none"]
    for more in ((), ("data.group_by=duplicates",)):
        result = train(*always, *more, f"sweep.name=n{len(more)}")
        assert result.code == 0, result.err
    plain, looked = (record_of(folder) for folder in run_folders(tmp_path / "outputs"))
    assert "twins" not in plain["data"]
    assert looked["data"]["twins"] == {"val": 0, "test": 2}
    assert plain["identity"] == looked["identity"], "nothing was drawn"
