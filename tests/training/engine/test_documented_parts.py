"""docs/own-parts.md: the example of a loss, a metric, a technique and a schedule works as it stands there."""

import re
import shlex
from pathlib import Path

import pytest
from conftest import QUICK, ROOT, Door
from outcome import TINY, history_of, only_run, record_of

DOC = (ROOT / "docs" / "own-parts.md").read_text()


def test_the_documented_example(train: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```py\n(.*?)```", DOC, re.DOTALL)
    (block,) = re.findall(r"```sh\n(.*?)```", DOC, re.DOTALL)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "my_training.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path / "mine")
    commands = [shlex.split(line) for line in block.splitlines()]
    assert len(commands) == 4 and all(words[:2] == ["python", "train.py"] for words in commands)
    for number, words in enumerate(commands):
        done = train(*QUICK, TINY, "tracking=none", f"sweep.name={number}", *words[2:])
        assert done.code == 0, done.err
    folders = [only_run(tmp_path / "outputs" / str(number)) for number in range(4)]
    assert record_of(folders[0])["config"]["loss"]["_target_"] == "my_training.margin"
    assert record_of(folders[1])["test"]["top3"] >= record_of(folders[1])["test"]["acc"]
    assert "val_top3" in history_of(folders[1])[0]
    assert folders[3].parent.name.startswith("tiny-none-adamw-lr0.001-triangle-")
