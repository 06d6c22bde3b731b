"""Published tables that can't be read as results."""

from pathlib import Path

import pytest
from doors import Case, Place, each, place
from odd_files import odd
from report_runs import write_demo

__all__ = ["place"]

HEAD = "model,weights,val_acc,test_acc\n"
ROW = "resnet18,none,80,70\n"
FULL = "model,weights,lr,epochs,batch_size,val_acc,test_acc\n"
FILES: dict[str, bytes] = {
    name: text.encode() if isinstance(text, str) else text
    for name, text in {
        "header": HEAD,
        "blank": "\n\n",
        "no_model": "weights,val_acc,test_acc\nnone,80,70\n",
        "no_header": ROW,
        "more_cells": f"{HEAD}resnet18,none,80,70,60\n",
        "many_cells": f"{HEAD}{ROW}resnet50,none,80,70,60\n",
        "fewer_cells": f"{HEAD}{ROW}resnet50,none,80\n",
        "no_weights": f"{HEAD}resnet18,,80,70\n",
        "no_name": f"{HEAD},none,80,70\n",
        "text": f"{HEAD}{ROW}resnet50,none,good,70\n",
        "percent": f"{HEAD}resnet18,none,80%,70%\n",
        "comma": f'{HEAD}resnet18,none,"80,5","70,5"\n',
        "proportion_above": f"{HEAD}resnet18,none,801,70\n",
        "negative": f"{HEAD}resnet18,none,-1,70\n",
        "infinite": f"{HEAD}resnet18,none,inf,70\n",
        "huge": f"{HEAD}resnet18,none,1e400,70\n",
        "nan": f"{HEAD}resnet18,none,nan,70\n",
        "true": f"{HEAD}resnet18,none,true,false\n",
        "lr": f"{FULL}resnet18,none,fast,6,64,80,70\n",
        "epochs": f"{FULL}resnet18,none,1e-3,6.5,64,80,70\n",
        "epochs_text": f"{FULL}resnet18,none,1e-3,six,64,80,70\n",
        "batch": f"{FULL}resnet18,none,1e-3,6,99999999999999999999999,80,70\n",
        "batch_infinite": f"{FULL}resnet18,none,1e-3,6,inf,80,70\n",
        "column_twice": "model,weights,val_acc,val_acc,test_acc\nresnet18,none,80,60,70\n",
        "path_as_model": f"{HEAD}../../etc/passwd\0,none,80,70\n",
        "latin": HEAD.encode() + b"resn\xe9t,none,80,70\n",
        "utf16": f"{HEAD}{ROW}".encode("utf-16"),
        "binary": bytes(range(256)) * 4,
        "html": "<!DOCTYPE html>\n<html><body>404</body></html>\n",
        "lfs": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
        "zip": b"PK\x03\x04" + bytes(60),
        "json": '{"model": "resnet18"}',
        "quote": f'{HEAD}"resnet18,none,80,70\n',
    }.items()
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tables")
    for name, content in FILES.items():
        (root / f"{name}.csv").write_bytes(content)
    (root / "good.csv").write_text(HEAD + ROW)
    odd(root, ".csv")
    write_demo(root)
    return root


def table(kind: str, name: str, *words: str) -> Case:
    arguments = f"--published {{}}/{name}.csv --n-val 100 --n-test 100"
    return Case(kind, "report", arguments, [f"--published {{}}/{name}.csv", *words])


NEEDS = "model,weights,val_acc,test_acc"
CASES = [
    table("no such file", "no", "no such file"),
    table("folder instead of a file", "folder", "a folder"),
    table("pipe", "pipe", "expected a file"),
    table("socket", "socket", "expected a file"),
    table("device", "device", "expected a file"),
    table("broken link", "broken", "no such file"),
    table("link loop", "loop", "symbolic links"),
    table("name longer than any", "x" * 300, "name too long"),
    table("empty file", "nothing", NEEDS),
    table("blank lines", "blank", NEEDS),
    table("header alone", "header", "no rows"),
    table("no column model", "no_model", "no column model", NEEDS),
    table("no header", "no_header", "no column", NEEDS),
    table("too many cells in each row", "more_cells", "line 2", "has 5 cells", "header 4"),
    table("too many cells in a row", "many_cells", "line 3", "has 5 cells", "header 4"),
    table("too few cells", "fewer_cells", "line 3", "has 3 cell(s)", "header 4"),
    table("empty weights", "no_weights", "line 2", "weights"),
    table("empty model", "no_name", "line 2", "model"),
    table("text in a number", "text", "line 3", "val_acc", "good", "0 to 100"),
    table("per cent sign", "percent", "line 2", "80%", "0 to 100"),
    table("decimal comma", "comma", "line 2", "80,5", "0 to 100"),
    table("accuracy above 100", "proportion_above", "line 2", "801", "0 to 100"),
    table("negative accuracy", "negative", "line 2", "-1", "0 to 100"),
    table("infinite accuracy", "infinite", "line 2", "inf", "0 to 100"),
    table("number too large", "huge", "line 2", "1e400", "0 to 100"),
    table("no number", "nan", "line 2", "0 to 100"),
    table("true and false as accuracies", "true", "line 2", "true", "0 to 100"),
    table("text in a number", "lr", "line 2", "lr", "fast", "a number"),
    table("fraction of an epoch", "epochs", "line 2", "epochs", "6.5", "a whole number"),
    table("text in a whole number", "epochs_text", "line 2", "epochs", "six", "a whole number"),
    table("number too large", "batch", "line 2", "batch_size", "a whole number"),
    table("infinite whole number", "batch_infinite", "line 2", "batch_size", "a whole number"),
    table("column twice", "column_twice", "val_acc", "twice"),
    table("not UTF-8", "latin", "UTF-8"),
    table("UTF-16", "utf16", "UTF-8"),
    table("binary file", "binary", "UTF-8"),
    table("HTML page", "html", NEEDS),
    table("Git LFS pointer", "lfs", NEEDS),
    table("zip archive", "zip", "{}/zip.csv"),
    table("JSON", "json", NEEDS),
    table("quote that stays open", "quote", "{}/quote.csv"),
]


@pytest.mark.parametrize("door, case", each(*CASES))
def test_published_tables(place: Place, door: str, case: Case) -> None:
    place.refused(door, case.arguments, case.words)


@pytest.mark.parametrize("name", ["text", "epochs", "no"])
def test_beside_runs(place: Place, name: str) -> None:
    place.refused("report", f"{{}}/outputs --published {{}}/{name}.csv --n-val 9 --n-test 9", f"{{}}/{name}.csv")
