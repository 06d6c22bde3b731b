"""Images that change or go away while a sweep runs: the planned identity stays, and runs fail with that reason."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Door, run_folders
from outcome import record_of
from PIL import Image
from sweeping import Starter, start, trouble

__all__ = ["start"]


def image(file: Path, level: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(level).integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(file)


def make(root: Path) -> None:
    for number in range(24):
        image(root / "ab"[number % 2] / f"{number:02}.png", number)
    rows = [f"photos/{'ab'[number % 2]}/{number:02}.png,{'ab'[number % 2]}" for number in range(24)]
    (root.parent / "table.csv").write_text("\n".join(["path,label", *rows]) + "\n")


def swap_label(root: Path) -> None:
    table = root.parent / "table.csv"
    table.write_text(table.read_text().replace("00.png,a", "00.png,b"))


def replace(root: Path) -> None:
    for number in (2, 3):
        image(root / "ab"[number % 2] / f"{number:02}.png", 100 + number)


def empty(root: Path) -> None:
    for file in (root / "a").iterdir():
        file.unlink()


def cut_off(root: Path) -> None:
    file = root / "a" / "00.png"
    file.write_bytes(file.read_bytes()[:60])


def to_a_file(root: Path) -> None:
    root.rename(root.with_name("elsewhere"))
    root.write_text("moved")


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "replaced": (replace, "the images changed since the plan: 2 replaced by other pixels, first: a/02.png"),
    "added": (lambda root: image(root / "b" / "new.png", 7), "since the plan: 1 added, first: b/new.png"),
    "removed": (lambda root: (root / "a" / "00.png").unlink(), "since the plan: 1 removed, first: a/00.png"),
    "gone": (lambda root: root.rename(root.with_name("elsewhere")), "the images changed since the plan: "),
    "class gone": (lambda root: shutil.rmtree(root / "a"), "the images changed since the plan: "),
    "class renamed": (lambda root: (root / "a").rename(root / "c"), "the images changed since the plan: "),
    "class emptied": (empty, "the images changed since the plan: "),
    "cut off": (cut_off, "the images changed since the plan: "),
    "a file": (to_a_file, "the images changed since the plan: "),
    "relabelled": (swap_label, "since the plan: 1 in another class or split, first: photos/a/00.png"),
}
UNUSABLE = ("gone", "class gone", "class emptied", "cut off", "a file")  # the same command is refused then
FAST = ("replaced",)


def command_for(tmp_path: Path, change: str) -> list[str]:
    network = ["model._target_=sweep_parts.net", f"+model.kwargs.file={tmp_path / 'trouble.json'}"]
    data = f"data.csv={tmp_path}/table.csv" if change == "relabelled" else f"data.root={tmp_path}/photos"
    return ["data=folder", data, "data.size=8", "trainer.batch_size=4", "trainer.epochs=3", "debug.max_steps=2",
            "trainer.threads=1", "tracking=none", *network]  # fmt: skip


@pytest.mark.parametrize(
    "change", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in CHANGES]
)
def test_a_sweep_fails_where_its_images_changed(start: Starter, train: Door, tmp_path: Path, change: str) -> None:
    make(tmp_path / "photos")
    command = ["-m", *command_for(tmp_path, change), "seed=0,1,2", "hydra.launcher.slots=1", "sweep.name=s"]
    trouble(tmp_path, {"0": "hold 2"})
    running = start(*command)
    running.until("#0 started")
    ends = time.monotonic() + 120
    while not list((tmp_path / "outputs").glob("s/*/*/history.csv")):
        assert time.monotonic() < ends, running.out
        time.sleep(0.02)
    do, words = CHANGES[change]
    do(tmp_path / "photos")
    trouble(tmp_path, {})
    assert running.end() == 1, running.out
    folders = sorted(file.parent for file in (tmp_path / "outputs").rglob("record.json"))
    assert len({folder.parent for folder in folders}) == 1 and len(folders) == 3, "the planned identity stays"
    found = [record_of(folder) for folder in folders]
    assert found[0]["status"] == "done", "what it reads is kept for it"
    for record in found[1:]:
        assert (record["status"], record["failure"]["kind"]) == ("failed", "data")
        assert words in record["failure"]["message"]
    assert words in running.out
    again = train(*command)
    if change in UNUSABLE:
        assert again.code == 2 and "photos" in again.err and len(again.err.strip().splitlines()) == 1
        return
    assert again.code == 0 and "plan: 3 runs: 3 new" in again.out, again.err
    assert len({folder.parent for folder in run_folders(tmp_path / "outputs" / "s")}) == 2


@pytest.mark.parametrize("cache", ["none", "memory"])
def test_no_run_ends_well_on_a_mixture(start: Starter, tmp_path: Path, cache: str) -> None:
    make(tmp_path / "photos")
    trouble(tmp_path, {"*": "hold 2"})
    running = start(*command_for(tmp_path, "replaced"), f"data.cache={cache}", "sweep.name=s")
    ends = time.monotonic() + 120
    while not list((tmp_path / "outputs").glob("s/*/*/history.csv")):
        assert running.process.poll() is None and time.monotonic() < ends, running.out
        time.sleep(0.02)
    replace(tmp_path / "photos")
    image(tmp_path / "photos" / "a" / "new.png", 50)  # which this run never sees
    trouble(tmp_path, {})
    assert running.end() == 1, running.out
    (folder,) = run_folders(tmp_path / "outputs" / "s")
    failure = record_of(folder)["failure"]
    words = "the images changed while the run trained on them: 2 replaced by other pixels, first: a/02.png"
    assert failure["kind"] == "data" and words in failure["message"] and words in running.out
    shutil.rmtree(tmp_path / "photos")
