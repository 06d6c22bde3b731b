"""Readers of foreign files, and the language of --where, with what nobody would write: they take it or complain in one
line, and raise nothing else. FINEGRID_FUZZ=20000 tries so many examples of each."""

import ast
import csv
import io
import json
import operator
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from report_runs import write_run

from analysis.read.published import NEEDED, OPTIONAL, read_published
from analysis.read.query import QueryError, matching
from analysis.read.records import load
from training.data.files.image_csv import from_csv
from training.errors import ConfigError

EXAMPLES = int(os.environ.get("FINEGRID_FUZZ", "120"))
# The folder of a test is the same for all its examples, each of which writes the file anew.
fuzz = settings(
    max_examples=EXAMPLES,
    derandomize="FINEGRID_FUZZ" not in os.environ,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
ODD = ["", " ", "nan", "inf", "-1", "1e400", "1_0", "\0", "\ufeff", '"', "'", "=1+1", "None", "a,b", "a\nb", "\udc80"]
ODD += ["../x", "/", "\\", "é", "e\u0301", "\u202e", "9" * 400, "true", "0x1f", "%", "{}", "[red]", "x" * 300]
cells = st.one_of(st.sampled_from(ODD), st.text(max_size=8), st.integers().map(str), st.floats().map(str))
raw = st.one_of(st.binary(max_size=200), st.text(max_size=120).map(lambda text: text.encode("utf-8", "surrogatepass")))


def taken(read: Callable[[], Any]) -> Any:
    """What `read` gives, or None for a complaint."""
    try:
        return read()
    except ConfigError as error:
        message = str(error)  # line breaks of a cell are in it, until a door says it on one line
        assert message and "Traceback" not in message
        return None


def written(rows: list[list[str]], delimiter: str) -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue().encode("utf-8", "surrogatepass")


def tables(columns: list[str], good: list[str]) -> st.SearchStrategy[bytes]:
    """CSVs that are nearly right: columns that lack or repeat, rows that are too long or short, odd cells."""
    cell = st.one_of(st.sampled_from(good), cells)
    head = st.one_of(st.just(columns), st.lists(st.sampled_from(columns), max_size=6), st.permutations(columns))
    rows = st.lists(st.lists(cell, max_size=len(columns) + 1), max_size=5)
    return st.builds(
        lambda head, rows, delimiter: written([list(head), *rows], delimiter), head, rows, st.sampled_from(",;\t")
    )


# ---- CSVs of images


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    for name in ("a.png", "b.png", "é.png"):
        (folder / name).touch()
    return folder


IMAGE_CELLS = ["a.png", "b.png", "./a.png", "é.png", "cat", "dog", "train", "val", "test", ""]


@fuzz
@given(content=raw | tables(["path", "label", "split"], IMAGE_CELLS))
def test_csvs_of_images(images: Path, content: bytes) -> None:
    file = images / "list.csv"
    file.write_bytes(content)
    for row in taken(lambda: from_csv(file, images)) or []:
        assert row.path.is_file() and row.label and row.split in ("", "train", "val", "test")


# ---- published tables

PUBLISHED_CELLS = ["resnet18", "none", "default", "80", "70.5", "100", "0", "1e-3", "6", "64", ""]


@fuzz
@given(content=raw | tables([*NEEDED, *OPTIONAL], PUBLISHED_CELLS) | tables(list(NEEDED), PUBLISHED_CELLS))
def test_published_tables(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "table.csv"
    file.write_bytes(content)
    runs = taken(lambda: read_published(file, 100, 100))
    if runs is not None:
        assert len(runs) and runs[["val_acc", "test_acc"]].apply(lambda column: column.between(0, 100)).all().all()
        assert runs["model"].notna().all() and runs["weights"].notna().all() and runs["identity"].notna().all()


# ---- records

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.sampled_from(ODD),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("records") / "sweep", "aaaaaaaaaa")


def paths_of(node: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [path] if path else []
    for key, value in node.items() if isinstance(node, dict) else ():
        found += paths_of(value, (*path, key))
    return found


@fuzz
@given(data=st.data())
def test_records(run_folder: Path, data: st.DataObject) -> None:
    """One that is garbage, and one with a few keys of other types or none: load() always gives a row."""
    whole = json.loads((run_folder / "config.json").read_text()) | {"status": "done", "val": {"acc": 90.0}, "time": {}}
    if data.draw(st.booleans()):
        content = data.draw(raw | values.map(lambda value: json.dumps(value).encode()))
    else:
        for path in data.draw(st.lists(st.sampled_from(paths_of(whole)), min_size=1, max_size=3)):
            node = whole
            for key in path[:-1]:
                node = node.get(key) if isinstance(node.get(key), dict) else {}
            if data.draw(st.booleans()):
                node.pop(path[-1], None)
            else:
                node[path[-1]] = data.draw(values)
        content = json.dumps(whole).encode()
    (run_folder / "record.json").write_bytes(content)
    runs = load(run_folder.parents[1])
    assert len(runs) == 1
    assert runs["status"].notna().all()


# ---- --where

TABLE = pd.DataFrame(
    {
        "model": pd.Series(["resnet18", "resnet50", "swin_t", None], dtype="str"),
        "lr": [1e-3, 1e-4, float("nan"), 0.1],
        "seed": pd.Series([0, 1, 2, None], dtype="Int64"),
        "augment.flip": [0.0, 0.5, 0.5, 1.0],
        "done": [True, False, True, False],
    }
)
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
NUMBERS = [0, 1, 2, 0.5, 1e-3, -1]
Truth = Callable[[dict[str, Any]], bool]


def known(value: Any) -> bool:
    return value is not None and value is not pd.NA and value == value


def comparison(column: str, sign: str, value: Any) -> tuple[str, Truth]:
    def truth(row: dict[str, Any]) -> bool:
        return COMPARE[sign](row[column], value) if known(row[column]) else sign == "!="

    return f"{column} {sign} {value!r}", truth


def member(column: str, some: list[Any], inside: bool) -> tuple[str, Truth]:
    words = "in" if inside else "not in"
    return f"{column} {words} {some!r}", lambda row: (known(row[column]) and row[column] in some) == inside


def part(text: str) -> tuple[str, Truth]:
    return f"{text!r} in model", lambda row: known(row["model"]) and text in row["model"]


NAMES = ["resnet18", "resnet", "swin_t", "", "x"]
leaves = st.one_of(
    st.builds(
        comparison,
        st.sampled_from(["lr", "seed", "augment.flip"]),
        st.sampled_from(list(COMPARE)),
        st.sampled_from(NUMBERS),
    ),
    st.builds(comparison, st.just("model"), st.sampled_from(["==", "!="]), st.sampled_from(NAMES)),
    st.builds(member, st.sampled_from(["lr", "seed"]), st.lists(st.sampled_from(NUMBERS), min_size=1), st.booleans()),
    st.builds(member, st.just("model"), st.lists(st.sampled_from(NAMES), min_size=1), st.booleans()),
    st.builds(part, st.sampled_from(NAMES)),
    st.just(("done", lambda row: bool(row["done"]))),
)


def both(one: tuple[str, Truth], word: str, other: tuple[str, Truth]) -> tuple[str, Truth]:
    join = all if word == "and" else any
    return f"({one[0]}) {word} ({other[0]})", lambda row: join((one[1](row), other[1](row)))


def opposite(one: tuple[str, Truth]) -> tuple[str, Truth]:
    return f"not ({one[0]})", lambda row: not one[1](row)


queries = st.recursive(
    leaves,
    lambda inner: st.builds(both, inner, st.sampled_from(["and", "or"]), inner) | st.builds(opposite, inner),
    max_leaves=6,
)


@fuzz
@given(query=queries)
def test_queries_are_worked_out_as_they_read(query: tuple[str, Truth]) -> None:
    """Against an evaluation of its own, a row at a time."""
    text, truth = query
    rows = TABLE.to_dict("records")
    assert matching(TABLE, text).tolist() == [truth({str(key): value for key, value in row.items()}) for row in rows]


WORDS = ["model", "lr", "seed", "augment.flip", "done", "'resnet18'", "1e-3", "1", "==", "!=", "<", "in", "not", "and"]
WORDS += ["or", "(", ")", "[", "]", ",", ".", "__class__", "str", "lambda", ":", "@", "`", "*", "**", "9", "is", "None"]
WORDS += ["True", "true", "if", "else", "for", "x", "f'{lr}'", "b'a'", "1j", "...", "{", "}", ":=", "&", "|", "~", "-"]
WORDS += ["__import__('os')", ".to_pickle('F')", "\0", "\n", "\\", "9" * 5000, "nan", "await", "yield", "\udc80"]


@fuzz
@given(text=st.text(max_size=30) | st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join))
def test_any_text_is_a_query_or_a_complaint(text: str) -> None:
    try:
        answer = matching(TABLE, text)
    except QueryError as error:
        assert "\n" not in str(error).strip("\n") or "\n" in text
    else:
        assert answer.dtype == bool and len(answer) == len(TABLE)
        assert acts(text) is False


def acts(text: str) -> bool:
    """Whether a query calls something, or reaches for anything but a column."""
    nodes = list(ast.walk(ast.parse(text.replace("`", "").strip(), mode="eval")))
    names = {ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)}
    return any(isinstance(node, ast.Call | ast.Lambda | ast.Subscript) for node in nodes) or bool(
        names - {str(column) for column in TABLE.columns}
    )
