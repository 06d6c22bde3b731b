"""`pip install .` into an environment without a checkout: the console command, and the configs inside."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from finegrid.command import PROGRAMS, main


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The console command of a fresh environment that has the wheel, and this environment's packages besides."""
    place = tmp_path_factory.mktemp("installed")
    source = place / "source"
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    for name in filter(None, tracked.decode().split("\0")):
        if (ROOT / name).is_symlink() or (ROOT / name).is_file():  # not what was removed and is not committed yet
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name, follow_symlinks=False)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    wheel = [*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(place), str(source)]
    subprocess.run(wheel, check=True)
    shutil.rmtree(source)
    (built,) = place.glob("finegrid-*.whl")
    home = place / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    subprocess.run([*pip, "--python", str(home), "install", "--quiet", "--no-deps", str(built)], check=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)}))
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home / "bin" / "finegrid"


def call(command: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`finegrid ARGUMENTS` in `folder`, where nothing leads to this checkout."""
    hidden = {"PYTHONPATH", "PYTHONHOME"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment["FINEGRID_CACHE"] = str(folder / "cache")
    line = [str(command), *arguments]
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, timeout=280)


QUICK = ("data=digits", "data.size=8", "trainer.epochs=1", "debug=two_steps", "tracking=none", "trainer.threads=1")


@pytest.mark.slow
def test_a_sweep_its_report_and_a_prediction(command: Path, tmp_path: Path) -> None:
    done = call(command, tmp_path, "train", "-m", "model=resnet18,resnet34", *QUICK)
    assert done.returncode == 0, done.stderr
    assert "checkout" not in done.stdout and str(ROOT) not in done.stdout
    assert "resnet34" in call(command, tmp_path, "report").stdout
    run = next((tmp_path / "outputs" / "grid").glob("resnet18*/seed=0"))
    Image.fromarray(np.zeros((8, 8, 3), dtype=np.uint8)).save(tmp_path / "new.png")
    told = call(command, tmp_path, "predict", str(run), "new.png", "--out", "out.csv")
    assert told.returncode == 0, told.stderr
    assert (tmp_path / "out.csv").read_text().splitlines()[0].startswith("ID")


@pytest.mark.slow
def test_recipes_and_configs_are_inside(command: Path, tmp_path: Path) -> None:
    planned = call(command, tmp_path, "train", "-m", "sweeps=smoke", "sweep.plan=true")
    assert planned.returncode == 0 and "6 runs" in planned.stdout, planned.stdout + planned.stderr
    shown = call(command, tmp_path, "train", "--help").stdout
    assert "finegrid train -m" in shown and "swin_v2_s" in shown and "python train.py [" not in shown
    assert not (tmp_path / "outputs").exists()


@pytest.mark.slow
def test_a_starting_folder_is_ready_for_its_first_sweep(command: Path, tmp_path: Path) -> None:
    assert call(command, tmp_path, "init", "study").returncode == 0
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(20):
            pixels = random.integers(0, 255, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    line = ["train", "-m", "--config-dir", "conf", "sweeps=first", "data.root=../photos", "weights=none"]
    planned = call(command, tmp_path / "study", *line, "sweep.plan=true")
    assert planned.returncode == 0 and "4 runs" in planned.stdout, planned.stdout + planned.stderr
    done = call(command, tmp_path / "study", *line, "data.size=8", "trainer.epochs=1", "debug=two_steps")
    assert done.returncode == 0, done.stdout + done.stderr
    records = [json.loads(file.read_text()) for file in (tmp_path / "study" / "outputs").rglob("record.json")]
    assert len(records) == 4 and {record["status"] for record in records} == {"done"}
    again = call(command, tmp_path, "init", "study")
    assert again.returncode == 2 and "there already" in again.stderr


@pytest.mark.slow
def test_modules_of_the_users_own_lie_where_the_command_is_given(command: Path, tmp_path: Path) -> None:
    (tmp_path / "my_nets.py").write_text(
        "from torch import nn\n\ndef net(num_classes):\n"
        "    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, num_classes))\n"
    )
    done = call(command, tmp_path, "train", "model._target_=my_nets.net", *QUICK)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("--help", 0, "usage: finegrid PROGRAM"),
        ("", 2, "usage: finegrid PROGRAM"),
        ("--version", 0, "finegrid "),
        ("reprot", 2, "did you mean report?"),
        ("qqq", 2, "expected one of init, train"),
        ("predict --help", 0, "run_folder"),
        ("predict nowhere x.png", 2, "x.png: no such"),
    ],
)
def test_the_command_in_a_checkout(
    line: str, code: int, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["finegrid", *line.split()])
    monkeypatch.setattr(sys, "path", [*sys.path])
    try:
        found = main()
    except SystemExit as end:  # argparse
        found = int(end.code or 0)
    told = "".join(capsys.readouterr())
    assert found == code and words in told, told


def test_every_program_is_known() -> None:
    """A file in training/ that can be called is one of the command's programs."""
    callable_files = {
        file.stem
        for file in (ROOT / "training").glob("*.py")
        if "__main__" in file.read_text() and file.stem != "moved"
    }
    assert callable_files <= set(PROGRAMS)
