"""Lines of a log with names from anywhere: no character in them moves the cursor, changes a colour or turns text."""

from pathlib import Path

from conftest import Door
from outcome import TINY, only_run
from pictures import tree

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
