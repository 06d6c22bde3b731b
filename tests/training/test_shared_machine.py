"""Whatever else runs on the machine costs its share: in no process do threads that wait for each other spin."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import QUICK, ROOT, Door, run_folders
from outcome import TINY

VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


def python(tmp_path: Path, *arguments: str, **variables: str) -> None:
    """In an environment where nobody has said how threads wait."""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment |= {"FINEGRID_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT / "tests")}
    environment |= {"FINEGRID_TRUST": "environment_parts"} | variables
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def told(file: Path) -> list[tuple[str | None, str | None]]:
    """Of each process that built a network, the variables; the file is removed."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    file.unlink()
    return sorted({line["process"]: (line[VARIABLES[0]], line[VARIABLES[1]]) for line in lines}.values(), key=str)


@pytest.mark.slow
def test_how_threads_wait_in_every_process_that_computes(tmp_path: Path) -> None:
    file = tmp_path / "environments"
    network = ["model._target_=environment_parts.net", f"+model.kwargs.file={file}", f"sweep.root={tmp_path / 'o'}"]
    command = ["train.py", *QUICK, "tracking=none", *network]
    python(tmp_path, *command)
    assert {*told(file)} == {("PASSIVE", "0")}
    (folder,) = run_folders(tmp_path / "o" / "runs")
    for launcher in (["hydra.launcher.slots=2"], ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]):
        python(tmp_path, *command, "-m", "seed=1,2", *launcher, f"sweep.name={len(launcher)}")
        found = told(file)
        assert len(found) >= 3 and {*found} == {("PASSIVE", "0")}, "the plan's process, and those of the runs"
    image = next((ROOT / "docs").glob("*.png"))
    python(tmp_path, "-m", "training.predict", str(folder), str(image), "--out", str(tmp_path / "predicted.csv"))
    assert {*told(file)} == {("PASSIVE", "0")}


LOOK = """
import json, os, pathlib, sys
class Look:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            variables = [os.environ.get(name) for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")]
            pathlib.Path(os.environ["TOLD"]).write_text(json.dumps(variables))
            os._exit(0)
sys.meta_path.insert(0, Look())
"""


def test_it_is_said_before_any_program_imports_torch(train: Door, tmp_path: Path) -> None:
    """Each is started as people start it, and ends as it begins to import torch."""
    assert train(*QUICK, TINY, "trainer.epochs=1", "tracking=none").code == 0
    (folder,) = run_folders(tmp_path / "outputs")
    image = next((ROOT / "docs").glob("*.png"))
    commands = {
        "sweep": ["train.py", "-m", *QUICK, "seed=0,1"],
        "command": ["-m", "finegrid.command", "train", *QUICK],
        "predict": ["-m", "training.predict", str(folder), str(image), "--out", str(tmp_path / "predicted.csv")],
        "export": ["-m", "training.export", str(folder), "--to", "torch"],
        "screen": ["-m", "training.screen", *QUICK],
        "lr_find": ["-m", "training.lr_find", *QUICK],
        "notebook": ["-c", "import finegrid, torch"],
    }
    (tmp_path / "sitecustomize.py").write_text(LOOK)
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment |= {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "FINEGRID_CACHE": str(tmp_path / "cache")}
    running = {
        name: subprocess.Popen(
            [sys.executable, *command], cwd=tmp_path if name == "notebook" else ROOT, stderr=subprocess.PIPE, text=True,
            env=environment | {"TOLD": str(tmp_path / f"{name}.json")},
        )
        for name, command in commands.items()
    }  # fmt: skip
    errors = {name: process.communicate()[1] for name, process in running.items()}
    for name in commands:
        assert (tmp_path / f"{name}.json").exists(), f"{name} imports no torch: {errors[name]}"
        assert json.loads((tmp_path / f"{name}.json").read_text()) == ["PASSIVE", "0"], name


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ("PASSIVE", "0")),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, ("ACTIVE", None)),
        ({"OMP_WAIT_POLICY": "ACTIVE", "GOMP_SPINCOUNT": "7"}, ("ACTIVE", "7")),
        ({"GOMP_SPINCOUNT": "7"}, ("PASSIVE", "7")),
    ],
)
def test_what_the_user_has_set_stays(given: dict[str, str], expected: tuple[str, str | None]) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES} | given
    code = "import os, sys, training; print(os.environ['OMP_WAIT_POLICY'], os.environ.get('GOMP_SPINCOUNT'))"
    code += "; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == [*map(str, expected)], done.stderr
