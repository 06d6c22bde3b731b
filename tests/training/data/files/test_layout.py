"""Which folders are splits and which are classes, over many layouts of people's, by open_dataset and train.py."""

import re
from pathlib import Path

import pytest
from conftest import QUICK, Door, run_folders
from hydra.core.override_parser.overrides_parser import OverridesParser
from outcome import TINY, only_run, record_of
from pictures import fresh as fresh
from pictures import names, opened, problem, table, tree, write

from training.data.files.split_names import split_names

TRAIN, VAL, TEST = 6, 2, 3  # images of each class in a split of these trees


def folders(**counts: int) -> dict[str, int]:
    """`Training=6` for Training/cat and Training/dog with six images each; __ for a /, _ stays."""
    return {f"{name.replace('__', '/')}/{label}": count for name, count in counts.items() for label in ("cat", "dog")}


def split_tree(**named: str) -> dict[str, int]:
    """train="Training", test="Testing": a tree with those split folders."""
    sizes = {"train": TRAIN, "val": VAL, "test": TEST}
    return {f"{folder}/{label}": sizes[split] for split, folder in named.items() for label in ("cat", "dog")}


# ---- names

SPELLINGS = {
    "train": "train Train TRAIN training Training trn train_set train-set trainset TrainSet seg_train train_images "
    "train_data traindata training_set img_train train2017 01_train train.images TrainingData train_1",
    "val": "val Val valid validation VALIDATION dev val_set valset ValidationSet seg_val validation-images dev_data",
    "test": "test Test testing Testing test_set testset TestSet seg_test test-images test_data test1 TESTING_SET eval "
    "evaluation tst",
}


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_spellings(split: str) -> None:
    for name in [*SPELLINGS[split].split(), f"{split} set", f" {split} images "]:
        assert split_names([name]) == {name: split}


@pytest.mark.parametrize(
    "name",
    ["station", "train_station", "latest", "contest", "device", "valley", "trainers", "test_tube", "set", "2019"],
)
def test_other_names(name: str) -> None:
    assert split_names([name, "bus"]) == {}


def test_names_that_need_their_siblings() -> None:
    assert split_names(["flowers_train", "flowers_test"]) == {"flowers_train": "train", "flowers_test": "test"}
    assert split_names(["train", "eval"])["eval"] == "test"  # it is read once, and chooses nothing
    assert split_names(["train", "eval", "test"])["eval"] == "val"


# ---- layouts that can be read in one way only

READ = {
    "kaggle brain tumours": split_tree(train="Training", test="Testing"),
    "superdatascience": split_tree(train="training_set", test="test_set"),
    "intel": split_tree(train="seg_train/seg_train", test="seg_test/seg_test"),
    "nested once": split_tree(train="train/train", val="val/val", test="test/test"),
    "nested in another case": split_tree(train="Train/train", test="Test/test"),
    "capitals": split_tree(train="TRAIN", val="VAL", test="TEST"),
    "with a space": split_tree(train="train set", val="validation set", test="test set"),
    "camel": split_tree(train="TrainSet", val="ValSet", test="TestSet"),
    "dev": split_tree(train="train", val="dev"),
    "trn": split_tree(train="trn", val="val", test="tst"),
    "images": split_tree(train="train_images", val="val_images", test="test_images"),
    "years": split_tree(train="train2017", val="val2017"),
    "evaluation": split_tree(train="training", val="validation", test="evaluation"),
    "common prefix": split_tree(train="flowers_train", val="flowers_valid", test="flowers_test"),
    "validation only": split_tree(train="training", val="validation"),
    "train only": split_tree(train="Training"),
    "one is nested": split_tree(train="seg_train/seg_train", test="seg_test"),
}


@pytest.mark.parametrize("layout", READ)
def test_usual_names_are_splits(tmp_path: Path, layout: str) -> None:
    dataset = opened(tree(tmp_path, READ[layout]))
    assert dataset.classes == ("cat", "dog")
    for split, count in (("train", TRAIN), ("val", VAL), ("test", TEST)):
        if split in dataset.split_folders:
            (folder,) = dataset.split_folders[split]
            taken = {name for part in ("train", *dataset.drawn) for name in names(dataset, part)}
            found = taken if split == "train" else set(names(dataset, split))
            assert found == {f"{folder}/{label}/{n:03}.png" for label in ("cat", "dog") for n in range(count)}
        else:
            assert split in dataset.drawn
    assert set(READ[layout]) == {
        f"{f}/{c}" for fs in dataset.split_folders.values() for f in fs for c in ("cat", "dog")
    }


BESIDE = {  # what lies beside train/cat and train/dog: what is said of it
    "test": "no class folders in it",
    "test1": "no class folders in it",
    "Test_images": "no class folders in it",
    "unlabelled": "no class folders in it",
    "unlabeled_images": "no class folders in it",
    "seg_pred/seg_pred": "no class folders in it",
    "unlabelled/batch1": "images without labels",
}


@pytest.mark.parametrize("folder", BESIDE)
@pytest.mark.parametrize("more", [{}, {"test_set/cat": 3, "test_set/dog": 3}], ids=["alone", "with test_set"])
def test_folders_without_classes_are_left_out_and_named(
    tmp_path: Path, folder: str, more: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    layout = folders(train=8) | more
    clean = opened(tree(tmp_path, layout))
    tree(tmp_path, {folder: 4})
    dataset = opened(tmp_path)
    assert dataset.classes == ("cat", "dog") and dataset.fingerprint == clean.fingerprint
    top = folder.partition("/")[0]
    assert dataset.left_out.folders is not None and set(dataset.left_out.folders) == {top}
    assert f"{top}/ (" in caplog.text
    if not more:
        assert dataset.left_out.folders[top] == BESIDE[folder]


def test_what_else_lies_there_is_counted(tmp_path: Path) -> None:
    tree(tmp_path, folders(train=8, test=3) | {".": 2, "train": 1, "docs": 0})
    (tmp_path / "docs/readme.txt").write_text("no image")
    (tmp_path / "train/cat/labels.xml").write_text("no image")
    dataset = opened(tmp_path)
    assert dataset.left_out.folders == {"docs": "no images in it"}
    assert dataset.left_out.loose == {".": 2, "train": 1}
    assert dataset.left_out.files == {".xml": 1}
    for said in ("docs/ (no images in it)", "2 in its root, 1 in train/", "1 .xml", "2 classes (cat, dog)"):
        assert said in dataset.summary()


CLASSES = {
    "a class called train": {"bus": 4, "car": 4, "train": 4},
    "of files below its own name": {"bus": 4, "car": 4, "train/train": 4},
    "with a subfolder": {"bus": 4, "car": 4, "train": 4, "train/steam": 2},
    "names that begin like splits": {"train_station": 4, "test_tube": 4, "valley": 4},
    "one class called test": {"test": 4, "bus": 4},
    "subfolders of their own": {"cat/indoor": 2, "cat/outdoor": 2, "dog/2019": 2, "dog/2020": 2},
    "one subfolder in common": {"cat/more": 4, "dog/more": 4},
    "few subfolders in common": {f"{c}/{d}": 2 for c in "ab" for d in ("x", "y", *(f"{c}{n}" for n in range(9)))},
    "system folders in common": {"cat": 4, "dog": 4, "cat/@eaDir": 1, "dog/@eaDir": 1, "cat/.t": 1, "dog/.t": 1},
}


@pytest.mark.parametrize("layout", CLASSES)
def test_class_folders(tmp_path: Path, layout: str) -> None:
    dataset = opened(tree(tmp_path, CLASSES[layout]))
    assert dataset.classes == tuple(sorted({name.partition("/")[0] for name in CLASSES[layout]}))
    assert dataset.drawn == ("train", "val", "test") and dataset.former == ()


def test_classes_with_names_of_splits_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tree(tmp_path, {"cat": 4, "dog": 4, "test": 4, "unlabelled": 4})
    assert opened(tmp_path).classes == ("cat", "dog", "test", "unlabelled")
    assert "test/, unlabelled/ is read as a class" in caplog.text and "data.splits={}" in caplog.text
    caplog.clear()
    assert len(opened(tmp_path, splits={}).classes) == 4 and not caplog.text


# ---- layouts with two readings

OPEN = {
    "unknown names": folders(A=4, B=4),
    "folds": folders(fold1=4, fold2=4, fold3=4, fold4=4, fold5=4),
    "years": folders(**{"2019": 4, "2020": 4}),
    "sites, nested": folders(a__a=4, b__b=4),
    "most in common": folders(north=4, south=4) | {"north/fox": 4},
    "splits in classes": {f"{c}/{s}": 4 for c in ("bottle", "cable") for s in ("train", "test")},
    "splits in classes, by other names": {f"{c}/{s}": 4 for c in ("a", "b") for s in ("Training", "Valid", "Testing")},
    "splits in some classes": {"a/train": 4, "a/test": 4, "b/train": 4, "c": 4},
    "images and masks": {f"{c}/{s}": 4 for c in ("covid", "normal") for s in ("images", "masks")},
    "views in the classes of splits": {f"{s}/{c}/{v}": 4 for s in ("train", "test") for c in ("a", "b") for v in "xy"},
    "splits in the classes of splits": {
        f"{s}/{c}/{i}": 4 for s in ("train", "val") for c in "ab" for i in ("train", "val")
    },
    "no more than one folder in each split": {f"{s}/images/{c}": 4 for s in ("train", "test") for c in ("cat", "dog")},
    "class in the name": {f"{s}_{c}": 4 for c in ("cat", "dog") for s in ("train", "test")},
    "train beside an unknown split": folders(train=8, holdout=4),
    "train, test and an unknown split": folders(train=8, test=4, holdout=4),
    "train beside flat folders": folders(train=8) | {"bus": 4, "car": 4},
    "train beside other classes": folders(train=8) | {"extra/fox": 4, "extra/cow": 4},
    "no train": folders(val=4, test=4),
    "two for a split": folders(train=4, training=4, test=4),
    "two for val": folders(train=4, val=4, valid=4),
    "two numbered": folders(train1=4, train2=4, test=4),
}


UNEVEN = {"most in common": "class without images in test: fox", "splits in some classes": "without images in test: b"}


@pytest.mark.parametrize("layout", OPEN)
def test_two_readings_are_refused_with_keys_that_work(tmp_path: Path, layout: str) -> None:
    root = tree(tmp_path / "set", OPEN[layout])
    message = problem(root)
    assert str(root) in message
    keys = re.findall(r"data\.splits=\{.*?\}", message)
    assert keys, message
    readings = []
    for key in keys:
        (override,) = OverridesParser.create().parse_overrides([key])  # as Hydra reads it
        chosen = override.value()
        assert isinstance(chosen, dict)
        if chosen and layout in UNEVEN:
            assert re.search(UNEVEN[layout], problem(root, splits=chosen))
            readings.append(((), {}))
            continue
        dataset = opened(root, splits=chosen)
        readings.append((dataset.classes, dataset.split_folders))
        if chosen:
            assert set(dataset.split_folders) == set(chosen)
        else:
            assert dataset.classes == tuple(sorted({folder.partition("/")[0] for folder in OPEN[layout]}))
    assert all(readings.count(one) == 1 for one in readings)
    if not layout.startswith(("no", "two")):
        assert len(readings) >= 2, message


def test_a_whole_data_set_beside_something_else(tmp_path: Path) -> None:
    tree(tmp_path, {f"photos/{part}/{label}": 4 for part in ("train", "test") for label in "ab"} | {"figures": 3})
    message = problem(tmp_path)
    assert f"data.root={tmp_path / 'photos'}" in message and "data.splits={}" in message
    assert opened(tmp_path / "photos").classes == ("a", "b")


# ---- data.splits


def test_chosen_splits(tmp_path: Path) -> None:
    tree(tmp_path, folders(A=4, B=3, C=2, D=1))
    dataset = opened(tmp_path, splits={"train": ["A", "B"], "val": "C", "test": None})
    assert dataset.split_folders == {"train": ["A", "B"], "val": ["C"]} and dataset.drawn == ("test",)
    assert dataset.left_out.folders == {"D": "not in data.splits"}
    assert len(names(dataset, "train")) + len(names(dataset, "test")) == 14


def test_the_usual_reading_has_one_fingerprint(tmp_path: Path) -> None:
    tree(tmp_path, folders(train=4, test=3))
    assert opened(tmp_path).fingerprint == opened(tmp_path, splits={"train": "train", "test": "./test/"}).fingerprint
    tree(tmp_path / "plain", {"a": 4, "b": 4})
    assert opened(tmp_path / "plain").fingerprint == opened(tmp_path / "plain", splits={}).fingerprint


def test_years_are_folders_too(tmp_path: Path) -> None:
    tree(tmp_path, folders(**{"2019": 4, "2020": 4}))
    assert opened(tmp_path, splits={"train": 2019, "test": 2020}).split_folders == {"train": ["2019"], "test": ["2020"]}


WRONG = [
    ({"train": "Trian", "test": "Test"}, "no such folder: .*Trian .did you mean Train"),
    ({"train": "train"}, "no such folder: .*train .did you mean Train"),
    ({"train": "Train", "test": "zzz"}, "no such folder: .*zzz .there are Test/, Train/"),
    ({"train": "Train", "tset": "Test"}, "data.splits: tset, expected train, val or test .did you mean test"),
    ({"train": "Train", "test": "Train"}, "Train/cat is in train and in test"),
    ({"train": "Train", "test": "Train/cat"}, "no class folders: expected .*Train/cat/CLASS/IMAGE"),
    ({"test": "Test"}, "names no folder for train"),
    ({"train": [], "test": "Test"}, "expected a folder in data.root"),
    ({"train": {"a": 1}}, "expected a folder in data.root"),
    ({"train": "../other"}, "expected a folder below"),
    ({"train": "/etc"}, "expected a folder below"),
    ({"train": "*/*"}, "more than one"),
    ({"train": "*/Train"}, "no class folders"),
]


@pytest.mark.parametrize("chosen, line", WRONG, ids=[str(chosen) for chosen, _ in WRONG])
def test_wrong_choices(tmp_path: Path, chosen: dict[str, object], line: str) -> None:
    root = tree(tmp_path / "set", folders(Train=4, Test=3))
    assert re.search(line, problem(root, splits=chosen))


def test_splits_are_for_class_folders(tmp_path: Path) -> None:
    root = tree(tmp_path / "set", folders(train=4))
    file = table(tmp_path / "list.csv", "train/cat/000.png,a,train", "train/cat/001.png,b,train")
    assert "data.splits is for class folders" in problem(root, csv=file, splits={"train": "train"})
    assert "not for data=digits" in problem(_target_="training.sources.digits", splits={"train": "train"})


# ---- system files

SYSTEM = [
    *(".ipynb_checkpoints/", "@eaDir/", "#recycle/", "lost+found/", "__MACOSX/", "._000.png", "Thumbs.db"),
    *(".picasa.ini", "Picasa.ini", ".thumbnails/", "System Volume Information/", "$RECYCLE.BIN/", ".@__thumb/"),
    *("Lightroom Catalog Previews.lrdata/", "Photos Library.photoslibrary/", ".picasaoriginals/", "Icon\r"),
    *(".AppleDouble/", ".Spotlight-V100/", ".fseventsd/", "Network Trash Folder/", "Temporary Items/", "FOUND.000/"),
    *("@Recycle/", "#snapshot/", "RECYCLER/", ".Trash-1000/", "CaptureOne/", "SYNOPHOTO_THUMB_XL.jpg", ".dtrash/"),
]


@pytest.mark.parametrize("name", SYSTEM, ids=repr)
@pytest.mark.parametrize("top", ["", "Training/"])
def test_system_files_at_any_depth(tmp_path: Path, name: str, top: str) -> None:
    tree(tmp_path, {f"{top}a": 5, f"{top}b": 5})
    clean = opened(tmp_path)
    assert clean.left_out.system is None
    places = {"", top, f"{top}a/", f"{top}a/deep/"}
    for place in places:
        if name.endswith("/"):
            write(tmp_path / place / name / "000.png")
        else:
            (tmp_path / place / name).parent.mkdir(exist_ok=True)
            (tmp_path / place / name).write_bytes(b"of the system")
    dataset = opened(tmp_path)
    assert dataset.fingerprint == clean.fingerprint and dataset.classes == ("a", "b")
    key = "._*" if name.startswith("._") else name.rstrip("/")
    assert dataset.left_out.system == {key: len(places)}
    assert f"{len(places)} {key.strip()}" in dataset.summary()


# ---- through train.py


def test_what_a_run_saw_is_told_and_recorded(train: Door, tmp_path: Path) -> None:
    root = tree(tmp_path / "set", folders(Training=12, Testing=4) | {"unlabelled": 3, "Training/cat/@eaDir": 2})
    done = train("data=folder", f"data.root={root}", TINY, *QUICK)
    assert done.code == 0, done.err
    before_first_epoch = done.out.partition("epoch 1/2")[0]
    for said in ("2 classes (cat, dog)", "train from Training/", "unlabelled/ (no class folders in it)", "1 @eaDir"):
        assert said in before_first_epoch
    folder = only_run(tmp_path / "outputs")
    seen = record_of(folder)["data"]
    assert seen["classes"] == ["cat", "dog"] and seen["drawn"] == ["val"] and seen["n"]["test"] == 8
    assert seen["split_folders"] == {"train": ["Training"], "test": ["Testing"]}
    assert seen["left_out"] == {"system": {"@eaDir": 1}, "folders": {"unlabelled": "no class folders in it"}}
    assert "train from Training/" in (folder / "run.log").read_text()


def test_the_command_line_chooses(train: Door, tmp_path: Path) -> None:
    root = tree(tmp_path / "set", folders(**{"A one": 6, "B": 3}))
    settings = ("data=folder", f"data.root={root}", TINY, *QUICK)
    refused = train(*settings)
    assert refused.code == 2 and refused.err.count("\n") == 1 and not run_folders(tmp_path)
    assert not (tmp_path / "outputs").exists()
    (key,) = re.findall(r"'(data\.splits=\{train: .*?\})'", refused.err)
    assert key == "data.splits={train: A one, test: B}"
    planned = train("-m", *settings, key, "seed=0,1", "sweep.plan=true")
    assert planned.code == 0 and "data: 2 classes (cat, dog); " in planned.out, planned.err
    misspelt = train(*settings, "data.splits={train: A one, test: C}")
    assert misspelt.code == 2 and "no such folder" in misspelt.err and misspelt.err.count("\n") == 1
    done = train(*settings, key)
    assert done.code == 0, done.err
    chosen = record_of(only_run(tmp_path / "outputs"))
    assert chosen["data"]["split_folders"] == {"train": ["A one"], "test": ["B"]}
    both = train("-m", *settings, "data.splits={},{train: B, test: A one}", "sweep.plan=true")
    assert both.code == 0 and "plan: 2 runs: 2 new" in both.out and both.out.count("data: 2 classes") == 2, both.err
