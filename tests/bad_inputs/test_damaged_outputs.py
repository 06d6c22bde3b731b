"""Damaged files in run and sweep folders, each through the doors that read them: what is damaged is named in one line
and not used, or done again; the rest goes on; no traceback."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import QUICK
from doors import DOORS, call, program
from in_process import register
from PIL import Image

DOORS["status"] = program("sweeps.status")
RUN = "g/*/seed=0"
Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """outputs/g: three seeds; outputs/other: another configuration."""
    root = tmp_path_factory.mktemp("finished")
    register()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FINEGRID_CACHE", str(root / "cache"))
        assert call("train", *command(root), "seed=0,1,2", "sweep.name=g").code == 0
        assert call("train", *command(root), "seed=0", "sweep.name=other", "optimizer.lr=0.1").code == 0
    return root


def command(root: Path) -> list[str]:
    own = ["tracking=none", "model._target_=own_parts.tiny", "hydra/launcher=in_process"]
    return ["-m", *QUICK, *own, f"sweep.root={root / 'outputs'}"]


@pytest.fixture
def copied(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy to spoil."""
    register()
    monkeypatch.setenv("FINEGRID_CACHE", str(finished / "cache"))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished / "outputs", tmp_path / "outputs")
    return tmp_path


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def text(content: str) -> Damage:
    return lambda file: file.write_text(content)


def folder(file: Path) -> None:
    file.unlink(missing_ok=True)
    file.mkdir()


def pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def byte_order_mark(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())


def keys(**changes: Any) -> Damage:
    """`val__acc=1`: the record's val.acc."""

    def change(file: Path) -> None:
        content = json.loads(file.read_text())
        for name, value in changes.items():
            *path, last = name.split("__")
            part = content
            for key in path:
                part = part[key]
            part[last] = value
        file.write_text(json.dumps(content))

    return change


def anothers(file: Path) -> None:
    """The file of another run: of another configuration."""
    (other,) = file.parents[3].glob(f"other/*/seed=0/{file.name}")
    shutil.copy(other, file)


def flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-len(content) // 3] ^= 0x40
    file.write_bytes(bytes(content))


def arrays(**changes: Callable[[np.ndarray], np.ndarray]) -> Damage:
    def change(file: Path) -> None:
        with np.load(file) as content:
            parts = {name: content[name] for name in content.files}
        with file.open("wb") as out:
            np.savez(out, **parts | {name: change(parts[name]) for name, change in changes.items()})

    return change


def cell(value: str) -> Damage:
    """The first cell of val_acc."""

    def change(file: Path) -> None:
        head, first, *others = file.read_text().splitlines()
        cells = first.split(",")
        cells[head.split(",").index("val_acc")] = value
        file.write_text("\n".join([head, ",".join(cells), *others]) + "\n")

    return change


@dataclass(frozen=True)
class Case:
    """`said`: by door, words that it has to say. `codes`: those that aren't 0."""

    damage: Damage
    said: dict[str, str]
    codes: dict[str, int] | None = None


def record(damage: Damage, why: str, again: str = "plan") -> Case:
    """Of a damaged record: left out by name, and done again."""
    told = f"record.json: {why}"
    said = {"report": f"warning: {{run}}: {told}", "status": "1 unreadable, 2 done"}
    return Case(damage, said | {"ensemble": f"left out: {{run}}: {told}", again: "3 runs: 1 new, 2 done"})


RECORDS = {
    "cut": record(cut, "not valid JSON", "train"),
    "empty": record(text(""), "not valid JSON"),
    "list": record(text("[1]"), "no identity"),
    "deep": record(text("[" * 100_000), "not valid JSON"),
    "mark": record(byte_order_mark, "not valid JSON"),
    "pipe": record(pipe, "it is no file"),
    "nan": record(keys(val__acc=float("nan")), "its val_acc is nan, expected 0 to 100"),
    "huge": record(keys(val__acc=10**400), "its val_acc is 1000000"),
    "text": record(keys(test__acc="98"), "its test_acc is '98', expected 0 to 100"),
    "beyond": record(keys(val__acc=150), "its val_acc is 150, expected 0 to 100"),
    "no result": record(keys(val=[1]), "its val_acc is missing"),
    "epoch": record(keys(best_epoch=99), "its best_epoch is 99, expected 1 to 2"),
    "seed": record(keys(seed=7), "its seed is 7, and that of its folder 0: another run's?"),
    "another's": record(anothers, "its identity is"),
    "status": record(keys(status=["done"]), "its status is ['done'], expected done, pruned"),
}
HISTORY = {
    name: Case(damage, {"report": f"history.csv: {count} of 2 epochs can be read; left out of the curves"})
    for name, damage, count in (
        ("cut", cut, 0),
        ("empty", text(""), 0),
        ("binary", lambda file: file.write_bytes(bytes(range(256))), 0),
        ("text in it", cell("abc"), 0),
        ("too long", cell("9" * 200_000), 0),
        ("folder", folder, 0),
    )
}
TEST = {
    "cut": Case(
        cut,
        {"report": "predictions_test.npz can't be read", "ensemble": "predictions_test.npz can't be read"},
        {"ensemble": 2},
    ),
    "flipped": Case(flipped, {"report": "predictions_test.npz", "ensemble": "predictions_test.npz"}, {"ensemble": 2}),
    "another's": Case(
        anothers, {"report": "doesn't fit its record", "ensemble": "doesn't fit its record"}, {"ensemble": 2}
    ),
}
VAL = {
    "cut": Case(cut, {"ensemble": "left out: {run}: predictions_val.npz can't be read"}),
    "flipped": Case(flipped, {"ensemble": "left out: {run}: predictions_val.npz"}),
    "another's": Case(anothers, {"ensemble": "left out: {run}: predictions_val.npz doesn't fit its record"}),
    "shorter": Case(
        arrays(**{name: lambda part: part[:-1] for name in ("id", "label", "logits")}),
        {"ensemble": "doesn't fit its record: 268 images, expected 269"},
    ),
}
WEIGHTS = {
    "cut": Case(cut, {"predict": "not a readable safetensors file"}, {"predict": 2}),
    "empty": Case(text(""), {"predict": "an empty file"}, {"predict": 2}),
    "folder": Case(folder, {"predict": "no best.safetensors in it"}, {"predict": 2}),
    "flipped": Case(flipped, {"predict": "damaged: its numbers are not those that were written"}, {"predict": 2}),
    "another's": Case(anothers, {"predict": "of another run: its identity is"}, {"predict": 2}),
}
SWEEP = {
    "cut": Case(cut, {"train": "3 runs: 3 done", "report": "g: 3 runs", "status": "3 done"}),
    "odd": Case(
        text('{"asked": [1], "objectives": {"val_acc": ["maximize"], "params": 5}}'),
        {"train": "3 runs: 3 done", "report": "g: 3 runs", "status": "3 done"},
    ),
}
MULTIRUN = {
    name: Case(damage, {"report": "g: 3 runs", "train": "3 runs: 3 done"})
    for name, damage in (
        ("cut", cut),
        ("no YAML", text("a: [1\nb\n  c: {")),
        ("list", text("[1]")),
        ("deep", text("[" * 9999)),
    )
}
FILES = {
    f"{RUN}/record.json": RECORDS,
    f"{RUN}/history.csv": HISTORY,
    f"{RUN}/predictions_test.npz": TEST,
    f"{RUN}/predictions_val.npz": VAL,
    f"{RUN}/best.safetensors": WEIGHTS,
    f"{RUN}/mistakes.json": {"odd": Case(text('{"images": [5, {"id": 3}]}'), {"report": "g: 3 runs"})},
    "g/sweep.json": SWEEP,
    "g/multirun.yaml": MULTIRUN,
}
CASES = [
    pytest.param(file, case, id=f"{file}: {name}") for file, cases in FILES.items() for name, case in cases.items()
]


@pytest.mark.parametrize(("pattern", "case"), CASES)
def test_what_is_damaged_is_named_and_not_used(copied: Path, pattern: str, case: Case) -> None:
    (file,) = (copied / "outputs").glob(pattern)
    run = next((copied / "outputs").glob(RUN))
    sweep = str(run.parents[1])
    case.damage(file)
    Image.new("RGB", (8, 8)).save(copied / "a.png")
    page = ["--html", str(copied / "page.html")] if "record" not in pattern else []
    arguments = {
        "report": [sweep, *page],
        "status": [sweep],
        "ensemble": [sweep, "--out", str(copied / "made")],
        "predict": [str(run), str(copied / "a.png")],
        "train": [*command(copied), "seed=0,1,2", "sweep.name=g"],
        "plan": [*command(copied)[1:], "seed=0,1,2", "sweep.name=g"],
    }
    for door in [door for door in arguments if door in case.said]:
        result = call(door, *arguments[door])
        told = " ".join((result.out + result.err).split())
        assert "Traceback" not in told, told
        assert case.said[door].format(run=run) in told, f"{door}: {told}"
        assert result.code == (case.codes or {}).get(door, 0), f"{door}: {told}"
        assert door != "report" or not page or (copied / "page.html").exists()
    if "train" in case.said:
        assert "3 done" in call("status", sweep).out
