"""What the report is asked that it can't answer: queries, columns, rows, formats, folders."""

import os
from pathlib import Path

import pytest
from doors import Case, Place, each, place
from odd_files import odd
from report_runs import write_demo

__all__ = ["place"]

GOOD = "{}/outputs/demo"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("report")
    write_demo(root)
    odd(root)
    (root / "text").write_text("x")
    (root / "empty").mkdir()
    os.mkfifo(root / "empty/record.json")
    os.mkfifo(root / "empty/config.json")
    return root


def where(kind: str, query: str, *words: str) -> Case:
    return Case(kind, "report", [GOOD, "--where", query], ["--where", *words])


def report(kind: str, arguments: str | list[str], *words: str) -> Case:
    return Case(kind, "report", arguments, words)


WHERE = [
    where("empty query", "", "can't be read"),
    where("blank query", "  ", "can't be read"),
    where("half a query", "lr >", "can't be read"),
    where("query of one =", "model = 'resnet18'", "=="),
    where("bracket that stays open", "(lr > 1", "can't be read"),
    where("unknown column", "modle == 'resnet18'", "modle is not a column", "did you mean model?"),
    where("unknown dotted column", "augment.flop > 0", "did you mean augment.flip?"),
    where("text against number", "lr > 'fast'", "can't be compared"),
    where("number against text", "model < 3", "can't be compared"),
    where("column that is no truth", "model", "neither true nor false"),
    where("number alone", "1", "neither true nor false"),
    where("no column", "1 < 2", "no column"),
    where("call", "model.upper() == 'A'", "not in the language"),
    where("call", "__import__('os').system('true')", "neither true nor false"),
    where("attribute of an object", "model.str.len > 1", "not a column"),
    where("private attribute", "model.__class__ == 1", "not a column"),
    where("@ of pandas", "@pd.io.common == 1", "can't be read"),
    where("arithmetic", "lr * 2 > 1", "not in the language"),
    where("power without end", "9**9**9 > lr", "not in the language"),
    where("lambda", "(lambda: 1) == lr", "not in the language"),
    where("comprehension", "lr in [x for x in (1,)]", "not in the language"),
    where("f-string", "model == f'{lr}'", "not in the language"),
    where("assignment", "(a := 1) == lr", "not in the language"),
    where("two statements", "lr > 1; lr < 2", "can't be read"),
    where("is", "lr is 3", "not in the language"),
    where("in a number", "lr in 3", "expected a column in a list"),
    where("list against column", "lr == [1]", "goes with `in`"),
    where("bytes", "model == b'a'", "not in the language"),
    where("complex number", "lr == 1j", "not in the language"),
    where("null character", "lr == '\0'", "can't be read"),
    where("nested too deeply", "(" * 400 + "lr > 1" + ")" * 400, "can't be read"),
    where("nested too deeply", "not " * 3000 + "lr > 1", "can't be read"),
    where("number of 5000 digits", f"lr == {'9' * 5000}", "can't be read"),
]
ARGUMENTS = [
    Case("no such folder", "report load", "{}/outputs/dmeo", ["no such folder: {}/outputs/dmeo", "did you mean demo?"]),
    Case("file instead of a folder", "report load", "{}/text", ["{}/text is not a folder", "a run folder, a sweep"]),
    Case("pipe instead of a folder", "report load", "{}/pipe", ["{}/pipe is not a folder"]),
    Case("device instead of a folder", "report load", "{}/device", ["{}/device is not a folder"]),
    Case("broken link", "report load", "{}/broken", ["{}/broken"]),
    Case("link loop", "report load", "{}/loop", ["{}/loop"]),
    Case("name longer than any", "report load", "x" * 300, ["no such folder", "xxx"]),
    Case("folder without runs", "report load", "{}/folder", ["no runs in {}/folder"]),
    Case("nothing there yet", "report load", "", ["no runs under outputs/ yet", "python train.py"]),
    Case("empty name", "report", [""], ["empty name", "expected a path"]),
    report("unknown column", f"{GOOD} --sort acc", "--sort acc: no such column", "val_acc"),
    report("misspelt column", f"{GOOD} --sort test_ac", "did you mean test_acc?"),
    report("empty column", [GOOD, "--sort", ""], "--sort"),
    report("unknown row", f"{GOOD} --reference resnet19", "--reference 'resnet19'", "neither an identity nor a query"),
    report("empty row", [GOOD, "--reference", ""], "--reference"),
    report("query of several rows", [GOOD, "--reference", "lr > 0"], "--reference"),
    report("query of no row", [GOOD, "--reference", "lr > 1e9"], "--reference"),
    report("call in --reference", [GOOD, "--reference", "model.upper() == 'A'"], "--reference"),
    report("unknown setting", f"{GOOD} --interaction modl lr", "--interaction", "modl"),
    report("a setting with itself", f"{GOOD} --interaction model model", "--interaction"),
    report("file below a file", f"{GOOD} --html {{}}/text/page.html", "--html {}/text/page.html"),
    report("folder instead of a file", f"{GOOD} --html {{}}/folder", "--html {}/folder"),
    report("device that is full", f"{GOOD} --html /dev/full", "--html /dev/full"),
    report("name longer than any", f"{GOOD} --html {'x' * 300}", "--html"),
    report("empty name", [GOOD, "--html", ""], "--html", "expected a path"),
    report("option without its use", f"{GOOD} --raw", "--raw is for --format csv"),
    report("option without its pair", "--published {}/text", "--published needs --n-val and --n-test"),
    report("option without its pair", f"{GOOD} --n-val 3", "--n-val", "--published"),
]
USAGE = [
    report("unknown option", f"{GOOD} --srot lr", "--srot"),
    report("unknown format", f"{GOOD} --format xlsx", "xlsx", "csv"),
    report("zero", "--published a.csv --n-val 0 --n-test 1", "--n-val"),
    report("negative number", "--published a.csv --n-val 1 --n-test -1", "--n-test"),
    report("text in a number", "--published a.csv --n-val ten --n-test 1", "--n-val", "ten"),
    report("fraction", "--published a.csv --n-val 1.5 --n-test 1", "--n-val", "1.5"),
    report("value is missing", f"{GOOD} --where", "--where"),
    report("one of two values", f"{GOOD} --interaction model", "--interaction"),
    report("ambiguous option", f"{GOOD} --n 3", "--n"),
]


@pytest.mark.parametrize("door, case", each(*WHERE, *ARGUMENTS, *USAGE))
def test_the_report(place: Place, door: str, case: Case) -> None:
    place.refused(door, case.arguments, case.words)
