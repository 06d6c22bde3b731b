"""Lines of a log with names from anywhere: no character in them moves the cursor, changes a colour or turns text."""

import argparse
from pathlib import Path

from conftest import Door
from doors import captured
from outcome import TINY, only_run
from pictures import tree

from training.console.program import run_program

NAMES = ["c\x1b[31mat", "d\u202eog", "[red]fox"]
SHOWN = [r"c\u001b[31mat", r"d\u202eog", "[red]fox"]


def test_control_characters_in_names_are_written_out(train: Door, tmp_path: Path) -> None:
    root = tree(tmp_path / "images", dict.fromkeys(NAMES, 4))
    (root / NAMES[0] / "note\x1b[2J.t\x07xt").touch()
    done = train(TINY, "data=folder", f"data.root={root}", "data.size=8", "trainer.epochs=1", "tracking=none")
    assert done.code == 0, done.err
    written = (only_run(tmp_path / "outputs") / "run.log").read_text()
    for text in (written, done.out, done.err):
        assert not set(text) & set("\x1b\x07\u202e"), text
    for name in SHOWN:
        assert any(name in line for line in written.splitlines() if "data: 3 classes" in line), written


def test_names_that_are_not_utf_8_can_be_printed() -> None:
    parser = argparse.ArgumentParser()
    with captured() as (out, _):
        assert run_program(parser, lambda options: print("caf\udce9.onnx: written", flush=True), []) == 0
        assert out.read_text() == "caf\\udce9.onnx: written\n"
