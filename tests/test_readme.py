"""Every command of the README works, in the order in which they stand there."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import QUICK, ROOT, Door
from digit_images import write_digits

DOWNLOADED = "-imagenet1k_v1-"  # in the names of folders
SLOW = {"make demo", ".venv/bin/python train.py -m model=resnet18,resnet50 sweep.name=demo"}  # .ci/run has them


def commands() -> list[str]:
    """The lines of the bash blocks."""
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def test_readme_is_short_and_its_links_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 150
    for name in re.findall(r"`((?:docs|conf|training|sweeps|analysis)/[\w./]+)`|\((docs/[\w.]+)\)", text):
        assert (ROOT / "".join(name)).exists(), name


def test_slow_commands_are_run_by_ci() -> None:
    assert set(commands()) >= SLOW
    assert "make demo" in (ROOT / ".ci" / "run").read_text()
    assert "train.py -m model=resnet18,resnet50 sweep.name=demo" in (ROOT / "Makefile").read_text()


def words_of(command: str) -> list[str]:
    words = shlex.split(command)
    assert words[0] == ".venv/bin/python"
    return words[1:]


def options_of(module: str) -> set[str]:
    """What its --help says."""
    shown = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(re.findall(r"--[\w-]+", shown.stdout))


def test_commands_are_understood(train: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of train.py are planned on a few real images; the options of the others are there."""
    monkeypatch.chdir(tmp_path)
    write_digits(tmp_path / "photos", range(2), 4, 2, 2)
    plans = ""
    for command in commands():
        if not command.startswith(".venv/bin/python"):
            continue
        match words_of(command):
            case ["train.py", "-m", *words]:
                planned = train("-m", *words, "sweep.plan=true")
                assert planned.code == 0 and "plan: " in planned.out, f"{command}\n{planned.err}"
                plans += planned.out
            case ["train.py", "--help"]:
                assert train("--help").code == 0
            case ["-m", module, *words]:
                options = {word for word in words if word[:2] == "--"}
                assert options <= (options_of(module) if options else set()), command
            case other:
                raise AssertionError(f"{other}: what kind of a command is this?")
    patterns = re.findall(r"outputs/\w+/(\S+-)\*/seed=0", "\n".join(commands()))
    assert patterns and all(f" {name}" in plans for name in patterns), "folders that a command before makes"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_commands(tmp_path: Path) -> None:
    """With a few real images, and with fewer steps where a command trains."""
    write_digits(tmp_path / "photos", range(2), 12, 4, 4)
    shutil.copytree(tmp_path / "photos" / "test" / "0", tmp_path / "unlabelled")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FINEGRID_CACHE": str(tmp_path / "cache")}
    ran = 0
    for command in commands():
        if command in SLOW or "outputs/demo" in command:
            continue
        command = command.replace("weights=none,default", "weights=none").replace(DOWNLOADED, "-none-")  # no network
        words = words_of(command)
        if "train.py" in words and "-m" in words and "sweep.plan=true" not in words:
            words += QUICK
        words = [sys.executable, *(str(ROOT / word) if word == "train.py" else word for word in words)]
        words = [str(*tmp_path.glob(word)) if "*" in word else word for word in words]
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        ran += 1
    assert ran >= 7
    assert (tmp_path / "ID_result.csv").read_text().count("\n") == 5
