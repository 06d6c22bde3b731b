"""CSVs of images as people write them: read rightly, or refused with the line number. Nothing is cut to fit."""

import unicodedata
from pathlib import Path

import pytest
from pictures import fresh as fresh
from pictures import opened, problem, tree

NFC, NFD = unicodedata.normalize("NFC", "café"), unicodedata.normalize("NFD", "café")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    tree(tmp_path, {"cat": 8, "dog": 8})
    return tmp_path


def listed(folder: Path, text: str | bytes, name: str = "list.csv") -> str:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(file)


def rows(label: str = "{0}", path: str = "{0}/{1:03}.png", more: str = "") -> str:
    """A row an image, with these forms for label and path (class, number)."""
    lines = [f"{path},{label}{more}".format(name, number) for name in ("cat", "dog") for number in range(8)]
    return "\n".join(lines) + "\n"


GOOD = "path,label\n" + rows()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,label\n" + rows() + "cat/000.png,terrier, skye\n", ["line 18 has 3 cells", '"terrier, skye"']),
        ("path,label,split\n" + rows(), ["line 2 has 2 cell(s)", "no split"]),
        ("path,Label,label\n" + rows(more=",sharp"), ["column label twice"]),
        (GOOD + "./cat/000.png,cat\n", ["line 18", "cat/000.png is on line 2 already"]),
        (GOOD + "dog/../cat/000.png,dog\n", ["line 18", "cat/000.png is on line 2 already, as cat"]),
        (GOOD + "{root}/cat/000.png,dog\n", ["line 18", "cat/000.png is on line 2 already, as cat"]),
        (GOOD + "hard.png,dog\n", ["line 18", "the same file as cat/001.png on line 3, which is cat there"]),
        (GOOD + "link.png,dog\n", ["line 18", "the same file as cat/000.png on line 2, which is cat there"]),
        (GOOD + "A" * 300 + ".png,cat\n", ["line 18", "too long"]),
        (GOOD + 'cat/000.png,"cat\n', ["line 18", "a quote is opened and not closed"]),
        (GOOD + "cat/000.png\n", ["line 18 has 1 cell(s)", "no label"]),
        (GOOD + "\n\n,cat\n", ["line 20", "the path is empty"]),
        (GOOD + "cat/000.png,\n", ["line 18", "the label is empty"]),
        (GOOD + "no.png,cat\nnor.png,cat\n", ["line 18", "no such file", "and 1 more of its paths"]),
        ("file,class\n" + rows(), ["file,class", "expected the columns path,label"]),
        ("path label\n" + rows(), ["path label", "expected the columns path,label"]),
        ("path,label,\n" + rows(more=",x"), ["line 2", "x stands in a column without a name"]),
        ("path,label\n", ["no rows"]),
        ("", ["has nothing"]),
        (GOOD.encode("utf-16"), ["UTF-16", "save it as UTF-8"]),
        (GOOD.encode() + "cat/000.png,caf\xe9\n".encode("latin-1"), ["line 18", "save it as UTF-8"]),
        (GOOD.encode() + b"cat/0\0.png,cat\n", ["line 18", "zero byte"]),
        ("path,label,split\n" + rows(more=",train").replace("train\n", "some\n", 1), ["line 2", "split some"]),
        ("path,label,split\n" + rows(more=",train").replace("train\n", "\n", 1), ["line 2", "the split is empty"]),
    ],
)
def test_what_can_only_be_guessed_is_refused_with_its_line(photos: Path, text: str | bytes, words: list[str]) -> None:
    (photos / "link.png").symlink_to(photos / "cat/000.png")
    (photos / "hard.png").hardlink_to(photos / "cat/001.png")
    if isinstance(text, str):
        text = text.replace("{root}", str(photos))
    told = problem(csv=listed(photos, text))
    assert not [word for word in words if word not in told], told


@pytest.mark.parametrize(
    "text",
    [
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("\n", "\r"),
        "\ufeff" + GOOD,
        GOOD.replace(",", ";"),
        GOOD.replace(",", "\t"),
        "\n" + GOOD.replace("\n", "\n\n"),
        "path,label,\n" + rows(more=","),
        "Path , LABEL\n" + rows(label=" {0} "),
        "path,label\n" + rows(label='"{0}"'),
        "path,label,note\n" + rows(more=",blurred"),
        "path,label\n" + rows(path="./{0}/{1:03}.png"),
        "path,label\n" + rows(path="{0}\\{1:03}.png"),
        "path,label\n" + rows(path="ROOT/{0}/{1:03}.png"),
    ],
)
def test_one_meaning_has_one_fingerprint(photos: Path, text: str) -> None:
    """However it is written: with paths relative or absolute, with other delimiters, ends of line, quotes, blanks."""
    plain = opened(csv=listed(photos, GOOD))
    same = opened(csv=listed(photos, text.replace("ROOT", str(photos)), "other.csv"))
    assert (same.fingerprint, same.names, same.classes) == (plain.fingerprint, plain.names, ("cat", "dog"))


def test_a_comma_in_quotes_belongs_to_the_label(photos: Path) -> None:
    dataset = opened(csv=listed(photos, "path,label\n" + rows(label='"{0}, tame"')))
    assert dataset.classes == ("cat, tame", "dog, tame")


def test_composed_and_decomposed_names_are_one_class(photos: Path, tmp_path: Path) -> None:
    """In CSV and folders alike; what was read as two classes, or under the other name, is told by the plan."""
    text = "path,label\n" + "".join(
        f"{name}/{n:03}.png,{(NFC if n % 2 else NFD) if name == 'cat' else 'dog'}\n"
        for name in ("cat", "dog")
        for n in range(8)
    )
    assert opened(csv=listed(photos, text)).classes == (NFC, "dog")
    root = tmp_path / "folders"
    tree(root, {NFD: 6, "dog": 6})
    dataset = opened(root)
    assert dataset.classes == (NFC, "dog") and [one.fingerprint for one in dataset.former]
    assert "Unicode" in dataset.former[0].why


def test_splits_have_the_names_that_folders_may_have(photos: Path) -> None:
    words = ["Training", "training", "dev", "Testing"]
    lines = [f"{name}/{n:03}.png,{name},{words[n % 4]}\n" for name in ("cat", "dog") for n in range(8)]
    text = "path,label,split\n" + "".join(lines)
    dataset = opened(csv=listed(photos, text))
    assert {name: len(rows) for name, rows in dataset.split.items()} == {"train": 8, "val": 4, "test": 4}
