"""`python -m analysis.next`: which further runs settle the question, and that its commands make these runs."""

import contextlib
import io
import json
import os
import re
import shlex
from pathlib import Path
from unittest import mock

import in_process
import numpy as np
import pytest
from conftest import QUICK, Door
from outcome import TINY
from report_runs import report_here, rows_of, run_with

from analysis import load
from analysis.next import main


def next_here(*arguments: str | Path) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with mock.patch.dict(os.environ, COLUMNS="160"), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return code, out.getvalue(), err.getvalue()


def proposal(*arguments: str | Path) -> str:
    code, out, err = next_here(*arguments)
    assert code == 0 and err == "", err
    return " ".join(out.split())


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(["hydra/launcher=in_process", "optimizer.lr=1e-3,2e-3", "seed=0,1"], marks=pytest.mark.slow),
        ["hydra/launcher=in_process", "sweeps=smoke"],
        pytest.param(["sweeps=tpe_resnet", "hydra.sweeper.n_trials=2"], marks=pytest.mark.slow),
    ],
)
def test_the_commands_make_further_seeds_of_the_same_rows(
    train: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    in_process.register()
    done = train("-m", *given, *QUICK, TINY, "tracking=none", "sweep.name=mine")
    assert done.code == 0, done.err
    for file in tmp_path.glob("outputs/mine/*/*/record.json"):
        record = json.loads(file.read_text())
        record["time"]["minutes"] = 1.0
        file.write_text(json.dumps(record))
    before = load("outputs/mine").groupby("identity").size()
    folders = {folder.name for folder in Path("outputs/mine").glob("*-*/")}
    out = next_here("outputs/mine", "--budget", "3min")[1]
    commands = [line for line in out.splitlines() if line.startswith("python train.py -m ")]
    assert commands and "3 more runs (about 3 min)" in " ".join(out.split())
    for line in commands:
        made = train(*shlex.split(line)[2:])
        assert made.code == 0, made.err
        assert "done" not in re.findall(r"plan: .*", made.out)[0], "the seeds are new ones"
    after = load("outputs/mine").groupby("identity").size()
    assert set(after.index) == set(before.index) and after.sum() == before.sum() + 3
    assert {folder.name for folder in Path("outputs/mine").glob("*-*/")} == folders
    rows = rows_of(report_here("outputs/mine", "--format", "csv"))
    assert sorted(int(row["seeds"]) for row in rows) == sorted(after.tolist()), "the report has gained these seeds"


def sweep_of(tmp_path: Path, right: dict[str, float], seeds: int, sd: float, n: int = 400) -> Path:
    """Rows with these accuracies, whose seeds differ by `sd` points; on images of their own difficulty."""
    generator = np.random.default_rng(1)
    hard = generator.random(n)
    for number, (name, accuracy) in enumerate(right.items()):
        for seed in range(seeds):
            share = (accuracy + sd * generator.normal()) / 100
            images = np.argsort(np.argsort(hard + 0.15 * generator.normal(size=n))) < round(share * n)
            run_with(tmp_path / "s", f"{number}aaaaaaaaa", seed, 80.0 - number, images, model=name)
    return tmp_path / "s"


def test_runs_go_to_those_that_can_be_the_best(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, {"resnet18": 90.0, "resnet34": 89.5, "resnet50": 70.0}, 3, 1.0)
    text = proposal(sweep, "--budget", "10min")  # of 1.25 minutes each
    assert "8 more runs (about 10 min)" in text and "its run folder doesn't tell how it was made" in text
    cells = {line.split()[0]: line.split() for line in next_here(sweep, "--budget", "10min")[1].splitlines() if line}
    assert "resnet50" not in cells, "it is out of the question"
    now, after = map(int, re.findall(r"probability of (\d+) %.* (\d+) % on average\.", text)[0])
    assert 50 <= now <= after <= 100


def test_a_command_is_of_overrides_alone(tmp_path: Path) -> None:
    """A run folder may come from anywhere: what is in it is quoted, and no option."""
    folder = sweep_of(tmp_path, {"resnet18": 90.0, "resnet34": 90.0}, 2, 1.0) / "resnet18-0aaaaaaaaa" / "seed=0"
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "hydra.yaml").write_text("hydra: {runtime: {}, overrides: {hydra: [--config-dir=x]}}\n")

    def commands(*overrides: str) -> list[list[str]]:
        (folder / ".hydra" / "overrides.yaml").write_text(json.dumps(overrides))
        out = next_here(tmp_path / "s", "--budget", "3min")[1]
        return [shlex.split(line) for line in out.splitlines() if line.startswith("python train.py")]

    (words,) = commands("model=resnet18", "data.root=my  photos; rm x", "seed=5", "sweep.name=other")
    assert words[2:5] == ["-m", "model=resnet18", "data.root=my  photos; rm x"]
    assert words[5:7] == [f"sweep.root={tmp_path}", "sweep.name=s"] and words[7].startswith("seed=2")
    assert commands("--config-dir=x", "model=resnet18") == commands("model=a\nb") == []


def test_each_command_stands_below_the_folder_that_it_is_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = sweep_of(tmp_path / "outputs", {"resnet18": 90.0, "resnet34": 90.0, "resnet50": 90.0}, 2, 1.0)
    places = {"resnet18": "/elsewhere", "resnet34": str(tmp_path), "resnet50": "/nowhere"}
    for name, cwd in places.items():
        (folder,) = sweep.glob(f"{name}-*/seed=0/")
        (folder / ".hydra").mkdir()
        (folder / ".hydra" / "hydra.yaml").write_text(f"hydra: {{runtime: {{cwd: {cwd}}}, overrides: {{hydra: []}}}}\n")
        (folder / ".hydra" / "overrides.yaml").write_text(json.dumps([f"model={name}"]))
    lines = [
        line for line in next_here(sweep, "--budget", "20min")[1].splitlines() if line.startswith(("(from", "python"))
    ]
    where, found = str(tmp_path), {}
    for line in lines:
        if line.startswith("(from"):
            where = line.split()[3].rstrip(",")
        else:
            found[re.findall(r"model=(\w+)", line)[0]] = where
            assert (f"sweep.root={tmp_path / 'outputs'}" in line) == (where != str(tmp_path)), "into the same sweep"
    assert len(found) > 1 and found == {name: places[name] for name in found}


def test_what_is_settled_needs_no_runs(tmp_path: Path) -> None:
    text = proposal(sweep_of(tmp_path, {"resnet18": 95.0, "resnet50": 60.0}, 3, 0.5))
    assert "resnet18 is the best with a probability of 100 %" in text and "no further runs are needed" in text


def test_more_test_images_not_seeds(tmp_path: Path) -> None:
    """Seeds that agree on all of a few images: other seeds say nothing new."""
    first, second = np.arange(60) >= 8, (np.arange(60) >= 5) & (np.arange(60) < 55)
    for seed in range(3):
        run_with(tmp_path / "s", "aaaaaaaaaa", seed, 90.0, first, model="resnet18")
        run_with(tmp_path / "s", "bbbbbbbbbb", seed, 89.0, second, model="resnet50")
    text = proposal(tmp_path / "s")
    assert "More test images, not seeds: with any number of seeds, these 60 test images leave it at" in text
    assert "more runs (" not in text and "train.py" not in text


def test_nothing_was_run_twice(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, {"resnet18": 90.0, "resnet34": 89.5, "resnet50": 70.0}, 1, 1.0)
    text = proposal(sweep)
    assert "First one more seed of the best two by val, resnet18 and resnet34 (about 2 min)" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "no such folder"),
        (["s", "--budget", "2x"], "expected a time such as 2h"),
        (["s", "--budget", "0h"], "expected a time such as 2h"),
        (["s", "--certainty", "40"], "from 50 to less than 100"),
        (["s"], "expected two or more to choose between"),
    ],
)
def test_a_mistake_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    sweep_of(tmp_path, {"resnet18": 90.0}, 2, 1.0)
    code, out, err = next_here(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1) and words in err
