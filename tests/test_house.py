"""The house: rooms, what each may import, how much a folder shows. docs/architecture.md draws it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

MOST_FILES = 19  # Python files that a folder shows: about fifteen
# Each floor may import from those before it in its list, and a room from itself; rooms on one floor are strangers.
FLOORS = {
    "training": [
        ["training ground"],
        ["training.schema"],
        ["training"],
        ["training.console", "training.provenance"],
        ["training.data.files", "training.data.pixels", "training.data.near_copies"],
        ["training.data"],
        ["training.models"],
        ["training.engine.techniques", "training.engine.tracking", "training.engine.hardware"],
        ["training.engine"],
        ["training.finished", "training.screening"],
        ["training.auditing", "training.reproducing"],
        ["training programs"],
    ],
    "sweeps": [
        ["sweeps"],
        ["sweeps.hydra_glue"],
        ["sweeps.plan"],
        ["sweeps.launchers.gpu"],
        ["sweeps.launchers"],
        ["sweeps.launchers.workers"],
        ["sweeps.controller"],
        ["sweeps.sweepers"],
        ["sweeps names"],
    ],
    "analysis": [
        ["analysis.read", "analysis.statistics"],
        ["analysis.model"],
        ["analysis.show"],
        ["analysis.show.page"],
        ["analysis.pair"],
        ["analysis"],
    ],
}
# Files in the folder of a house that stand on its top floor: programs, and the names that configs and users hold.
PROGRAMS = ("predict", "export", "ensemble", "soup", "screen", "lr_find", "zoo", "audit", "reproduce")
GROUND = ("errors",)  # files in the folder of a house that everything may import
NAMES = {"training": ("sources",), "sweeps": ("grid", "local", "optuna_async", "status")}
# Between the houses: who may import what of another.
OUTSIDE = {
    "training": ("analysis.statistics",),
    "training programs": ("analysis.statistics", "sweeps.plan", "sweeps.hydra_glue"),
    "analysis": ("training",),  # its own files: record, errors, code_version
    "sweeps": ("training", "analysis.statistics"),
}
SHOWS = {("sweeps.controller", "analysis")}  # a sweep ends with its table


def python_files() -> list[Path]:
    return sorted(file for house in FLOORS for file in (ROOT / house).rglob("*.py"))


def room_of(file: Path) -> str:
    """`training.data`, or for a file of a house itself `training`, `training programs`, `sweeps names`."""
    parts = file.relative_to(ROOT).parent.parts
    if len(parts) > 1:
        return ".".join(parts)
    house = parts[0]
    if house == "training" and file.stem in PROGRAMS:
        return "training programs"
    if house == "training" and file.stem in GROUND:
        return "training ground"
    if file.stem in NAMES.get(house, ()):
        return "training programs" if house == "training" else f"{house} names"
    return house


def imports(file: Path) -> Iterator[Path]:
    """The files of ours that a file imports, anywhere in it; what is imported for types alone counts too."""
    for node in ast.walk(ast.parse(file.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            for place in (ROOT / (name.replace(".", "/") + ".py"), ROOT / name.replace(".", "/") / "__init__.py"):
                if place.is_file() and place.relative_to(ROOT).parts[0] in FLOORS:
                    yield place


def allowed(room: str, other: str) -> bool:
    house, other_house = room.split(".")[0].split()[0], other.split(".")[0].split()[0]
    if house != other_house:
        return (room, other) in SHOWS or other.startswith(OUTSIDE.get(room, OUTSIDE[house]))
    floors = {name: number for number, floor in enumerate(FLOORS[house]) for name in floor}
    return room == other or floors[other] < floors[room]


def test_imports_run_one_way() -> None:
    wrong = []
    for file in python_files():
        for other in imports(file):
            rooms = room_of(file), room_of(other)
            package = other.name == "__init__.py" and other.parent in file.parents
            if not package and not allowed(*rooms):
                wrong.append(f"{file.relative_to(ROOT)} ({rooms[0]}) imports {other.relative_to(ROOT)} ({rooms[1]})")
    assert not wrong, "\n".join(wrong)


def test_analysis_takes_only_plain_files_of_training() -> None:
    """What `analysis` imports must not import torch."""
    heavy = {"data", "models", "engine", "finished", "screening", "auditing", "reproducing"}
    light = {"run_names.py"}  # which run folder a user means
    wrong = [
        f"{file.relative_to(ROOT)} imports {other.relative_to(ROOT)}"
        for file in (ROOT / "analysis").rglob("*.py")
        for other in imports(file)
        if other.relative_to(ROOT).parts[0] == "training"
        and heavy & {*other.relative_to(ROOT).parts}
        and other.name not in light
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("package", ["training", "sweeps", "analysis", "finegrid"])
def test_each_folder_says_what_it_is(package: str) -> None:
    for file in (ROOT / package).rglob("__init__.py"):
        text = ast.get_docstring(ast.parse(file.read_text())) or ""
        assert text, f"{file}: no docstring"
        if file.parent != ROOT / package and file.parent.name != "page":
            assert "May import: " in text, f"{file}: doesn't say what it may import"


def test_no_folder_shows_too_much() -> None:
    """(The choices of a config group are a list that one looks a name up in.)"""
    for house in (*FLOORS, "tests"):
        for folder in [ROOT / house, *(path for path in (ROOT / house).rglob("*/") if "__pycache__" not in path.parts)]:
            files = [path.name for path in folder.iterdir() if path.suffix in (".py", ".yaml")]
            assert len(files) <= MOST_FILES, f"{folder} shows {len(files)} files"


def test_every_room_is_on_a_floor() -> None:
    known = {room for floors in FLOORS.values() for floor in floors for room in floor}
    assert {room_of(file) for file in python_files()} <= known
