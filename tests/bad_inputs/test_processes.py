"""The same in processes of their own, one mistake for each door: what the tables see in this process is what a shell
sees."""

from pathlib import Path

import pytest
from conftest import ROOT, Door

COMMANDS = {
    "report": (["-m", "analysis.report", "nowhere", "--where", "lr >"], "no such folder: nowhere"),
    "train": (["train.py", "trainer.epochs=ten"], "trainer.epochs=ten: expected a whole number"),
    "predict": (["-m", "training.predict", "nowhere", "images", "--scoers"], "did you mean --scores?"),
}
SLOW = {
    "grid": (["train.py", "-m", "trainer.epochs=1,ten"], "trainer.epochs=ten: expected a whole number"),
    "recipe": (["train.py", "-m", "sweeps=smok"], "did you mean smoke?"),
    "search": (["train.py", "-m", "hydra/sweeper=optuna_async", "modle=choice(a,b)"], "modle: no such key"),
    **{
        name: (["-m", f"training.{name}", "--no-such-option"], "the following arguments are required")
        for name in ("export", "ensemble", "soup")
    },
    "screen": (["-m", "training.screen", "model=resnet81"], "did you mean resnet18?"),
    "lr_find": (["-m", "training.lr_find", "--steps", "0"], "--steps 0: expected 10 or more"),
}


@pytest.mark.parametrize("name", [*COMMANDS, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_a_process_ends_with_2_and_one_line(shell: Door, tmp_path: Path, name: str) -> None:
    arguments, words = (COMMANDS | SLOW)[name]
    root = [f"sweep.root={tmp_path / 'outputs'}"] if arguments[0] == "train.py" else []
    before = {path for path in ROOT.iterdir() if path.name != "__pycache__"}
    result = shell(*arguments, *root)
    assert result.code == 2 and "Traceback" not in result.out + result.err, result
    assert result.err.startswith("error: ") and result.err.count("\n") == 1 and words in result.err, result.err
    assert not (tmp_path / "outputs").exists()
    assert {path for path in ROOT.iterdir() if path.name != "__pycache__"} == before
