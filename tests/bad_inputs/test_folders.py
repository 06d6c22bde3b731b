"""Folders of images that can't be what someone meant."""

from collections.abc import Callable
from pathlib import Path

import pytest
from doors import Case, Place, each, place
from odd_files import copied, odd, photos
from pictures import tree, write

__all__ = ["photos", "place"]

DATA = "data=folder data.size=8 data.root={}/"


def empty(root: Path) -> None:
    root.mkdir()


def flat(root: Path) -> None:
    tree(root, {".": 3})


def one_class(root: Path) -> None:
    tree(root, {"cat": 8})


def tiny(root: Path) -> None:
    tree(root, {"cat": 1, "dog": 1})


def empty_class(root: Path) -> None:
    tree(root, {"cat": 8, "dog": 8})
    (root / "wolf").mkdir()


def texts(root: Path) -> None:
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        (root / name / "a.txt").write_text("a")


def hidden(root: Path) -> None:
    tree(root, {".cat": 2, "@eaDir": 2})


MAKERS: dict[str, Callable[[Path], None]] = {
    "empty": empty,
    "flat": flat,
    "one_class": one_class,
    "tiny": tiny,
    "empty_class": empty_class,
    "texts": texts,
    "hidden": hidden,
}


def spoilt(photos: Path, root: Path) -> None:
    """Folders with splits, one fault each."""
    for file in (copied(photos, root / "no_test_dog") / "test/dog").iterdir():
        file.unlink()
    (copied(photos, root / "wolf") / "test/dog").rename(root / "wolf/test/wolf")
    (copied(photos, root / "more_classes") / "val/wolf").mkdir()
    write(root / "more_classes/val/wolf/1.png")
    (copied(photos, root / "linked") / "train/cat/1.png").symlink_to("nowhere.png")
    (copied(photos, root / "up") / "train/cat/up").symlink_to("..")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    root = tmp_path_factory.mktemp("folders")
    for name, make in MAKERS.items():
        make(root / name)
    odd(root)
    spoilt(photos, root)
    write(root / "image.png")
    return root


CASES = [
    Case(
        "no such folder",
        "train grid plan search lr_find screen",
        f"{DATA}fotos",
        ["data.root={}/fotos: no such folder", "nearest folder that exists is {}"],
    ),
    Case("misspelt folder", "train lr_find", f"{DATA}empti", ["no such folder", "did you mean {}/empty?"]),
    Case("empty folder", "train grid search lr_find screen", f"{DATA}empty", ["{}/empty has no class folders"]),
    Case("images without classes", "train", f"{DATA}flat", ["{}/flat has no class folders"]),
    Case("one class", "train", f"{DATA}one_class", ["{}/one_class", "class"]),
    Case("too few images", "train", f"{DATA}tiny", ["class cat has 1 image(s)", "3 or more"]),
    Case("class without images", "train search", f"{DATA}empty_class", ["class without images", "wolf"]),
    Case("no images at all", "train", f"{DATA}texts", ["{}/texts"]),
    Case("hidden folders alone", "train", f"{DATA}hidden", ["{}/hidden has no class folders"]),
    Case(
        "file instead of a folder",
        "train grid search lr_find screen",
        f"{DATA}image.png",
        ["data.root={}/image.png is a file, expected a folder"],
    ),
    Case("empty file instead of a folder", "train", f"{DATA}nothing", ["is a file, expected a folder"]),
    Case("pipe instead of a folder", "train", f"{DATA}pipe", ["data.root={}/pipe", "expected a folder"]),
    Case("socket instead of a folder", "train", f"{DATA}socket", ["data.root={}/socket", "expected a folder"]),
    Case("device instead of a folder", "train", f"{DATA}device", ["data.root={}/device", "expected a folder"]),
    Case("broken link instead of a folder", "train", f"{DATA}broken", ["data.root={}/broken: no such folder"]),
    Case("link loop instead of a folder", "train", f"{DATA}loop", ["data.root={}/loop"]),
    Case("name longer than any", "train", f"{DATA}{'x' * 300}", ["data.root="]),
    Case("no path", "train", "data=folder", ["data=folder needs data.root=FOLDER"]),
    Case("empty path", "train lr_find", "data=folder data.root=", ["data.root"]),
    Case(
        "variable that is not set",
        "train",
        "data=folder data.root=${oc.env:NO_SUCH_VARIABLE}",
        ["data.root", "NO_SUCH_VARIABLE"],
    ),
    Case(
        "split that lacks a class's images",
        "train",
        f"{DATA}no_test_dog",
        ["class without images in test: dog"],
    ),
    Case(
        "splits of different classes",
        "train screen",
        f"{DATA}wolf",
        ["train and test have different classes"],
    ),
    Case("splits of different classes", "train", f"{DATA}more_classes", ["train and val have different classes"]),
    Case("image that is a broken link", "train", f"{DATA}linked", ["{}/linked/train/cat/1.png"]),
    Case(
        "folds of too few images",
        "train",
        f"{DATA}tiny data.folds=5 data.fold=0",
        ["class cat has 1 image(s)", "3 or more"],
    ),
]


@pytest.mark.parametrize("door, case", each(*CASES))
def test_folders(place: Place, door: str, case: Case) -> None:
    place.refused(door, case.arguments, case.words)
