"""Hydra's own words: they work as its documentation says, or are refused in one line that keeps Hydra's reason."""

import re
from pathlib import Path

import pytest
from conftest import QUICK, ROOT, Door, run_folders
from outcome import TINY

SMALL = [*QUICK, TINY, "trainer.epochs=1", "tracking=none"]


def chosen(out: str, key: str) -> list[str]:
    return re.findall(rf"{key}=(\S+)", out)


@pytest.mark.parametrize(
    "sweep, wanted",
    [
        ("scheduler=glob(*)", ["cosine", "exponential", "none", "onecycle", "step"]),
        ("scheduler=glob(*e*)", ["cosine", "exponential", "none", "onecycle", "step"]),
        ("scheduler=glob([one*,st*])", ["onecycle", "step"]),
        ("scheduler=glob(*,exclude=[step,none])", ["cosine", "exponential", "onecycle"]),
    ],
)
def test_glob_in_a_grid(train: Door, sweep: str, wanted: list[str]) -> None:
    planned = train("-m", *SMALL, sweep, "sweep.plan=true")
    assert planned.code == 0, planned.err
    assert chosen(planned.out, "scheduler") == wanted
    in_a_line = train("-m", *SMALL, f"hydra.sweeper.runs=['{sweep}']", "sweep.plan=true")
    assert in_a_line.code == 0 and chosen(in_a_line.out, "scheduler") == wanted


@pytest.mark.parametrize("choice", ["disabled", "none", "stdout", "default"])
def test_job_logging(train: Door, tmp_path: Path, choice: str) -> None:
    result = train(*SMALL, f"hydra/job_logging={choice}", f"sweep.name={choice}")
    assert result.code == 0 and result.err == "", result
    assert ("epoch 1/1" in result.out) is (choice != "disabled")
    (folder,) = run_folders(tmp_path)
    assert (folder / "record.json").exists()


@pytest.mark.parametrize("choice", ["disabled", "stdout"])
def test_job_logging_of_a_sweep(train: Door, tmp_path: Path, choice: str) -> None:
    assert train("-m", *SMALL, "seed=0", f"hydra/job_logging={choice}").code == 0


@pytest.mark.parametrize("choice", ["disabled", "none", "default"])
def test_hydra_logging(train: Door, choice: str) -> None:
    planned = train("-m", *SMALL, "seed=0,1", f"hydra/hydra_logging={choice}", "sweep.plan=true")
    assert planned.code == 0 and planned.err == ""


LONG = "a" * 300


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["-m", "scheduler=glob(zzz*)"], ["scheduler=glob(zzz*): matches none of cosine, exponential"]),
        (["-m", "optimizer.lr=glob(*)"], ["optimizer.lr=glob(*)", "optimizer.lr is no group"]),
        (["-m", "seed=range(0,0)"], ["seed=range(0,0): lists no values"]),
        (["-m", "seed=range(3,1)"], ["seed=range(3,1): lists no values"]),
        (["-m", "seed=range(0,3,0)"], ["seed=range(0,3,0)", "must not be zero"]),
        (["-m", "seed=range(0,1e9)"], ["seed=range(0,1e9): makes more than 100000 runs"]),
        (["-m", "seed=choice()"], ["seed=choice()", "empty choice is not legal"]),
        (["-m", "seed=range(1,2,3,4)"], ["seed=range(1,2,3,4)", "too many positional arguments"]),
        (["seed=foo(1)"], ["seed=foo(1)", "Unknown function 'foo'", "range"]),
        (["seed=int(abc)"], ["seed=int(abc)", "invalid literal for int()"]),
        (
            ["-m", "model=resnet18,,resnet50"],
            ["model=resnet18,,resnet50: can't be read", "no value on one side of a comma"],
        ),
        (["model.name=a(b"], ["model.name=a(b: can't be read as KEY=VALUE", "no viable alternative"]),
        (["-m", "trainer.epochs=interval(1,4)"], ["trainer.epochs=int(interval(1,4))", "trainer.epochs=1,2,3"]),
        (["-m", "optimizer.lr=interval(1e-2,1e-4)"], ["optimizer.lr=interval(1e-2,1e-4): is for a search"]),
        (["optimizer.kwargs={eps:1e-6,eps:1e-5}"], ["eps stands twice"]),
        (["-m", "optimizer.kwargs={eps:1e-6,eps:1e-5}"], ["eps stands twice"]),
        (["-m", "model.kwargs={width:1},{a:{b:1,b:2}}"], ["b stands twice"]),
        (["-m", "hydra.sweeper.params.model=resnet18,resnet34"], ["on the command line write model=resnet18,resnet34"]),
        (["-m", "+hydra.sweeper.params.seed=range(0,3)"], ["on the command line write seed=range(0,3)"]),
        (["-m", "hydra.launcher.slots=1,2"], ["hydra.launcher.slots=1,2", "one value for the whole sweep"]),
        (["-m", "hydra/launcher=local,basic"], ["hydra/launcher=local,basic", "one value for the whole sweep"]),
        (["sweep.name=${oc.env:NO_SUCH}"], ["sweep.name: the environment variable NO_SUCH is not set"]),
        (["-m", "sweep.name=${oc.env:NO_SUCH}"], ["sweep.name: the environment variable NO_SUCH is not set"]),
        (["data=folder", "data.root=${oc.env:NO_SUCH}"], ["data.root: the environment variable NO_SUCH is not set"]),
        ([f"sweep.name={LONG}"], ["sweep.name=aaaa", "300 bytes"]),
        (["-m", f"sweep.name={LONG}", "seed=0,1"], ["sweep.name=aaaa", "300 bytes"]),
        ([f"sweep.root={LONG}/b"], ["sweep.root=aaaa", "300 bytes"]),
        (["data=folder", f"data.root={LONG}"], ["data.root=aaaa", "300 bytes"]),
        (["weights=checkpoint", f"weights.path=a/{LONG}"], ["weights.path=a/aaa", "300 bytes"]),
        (["-m", "seed=0,1", "--resolve"], ["--resolve: is only for --cfg"]),
        (["--resolve"], ["--resolve: is only for --cfg"]),
        (["--package", "optimizer"], ["--package optimizer: is only for --cfg"]),
        (["--multirun", "--cfg", "job"], ["only one of -m, --cfg"]),
        (["-m", "--info"], ["only one of -m, --cfg, --info"]),
        (["--info", "nonsense"], ["invalid choice: 'nonsense'", "plugins"]),
        (["--cfg", "nonsense"], ["invalid choice: 'nonsense'", "job"]),
        (["--experimental-rerun", "nowhere"], ["--experimental-rerun nowhere", ".hydra/config.pickle"]),
        (["hydra.mode=NOPE"], ["hydra.mode", "NOPE", "RUN or MULTIRUN"]),
        (["--config-name", "nope"], ["Cannot find primary config 'nope'"]),
        (["--config-dir", "/nonexistent"], ["/nonexistent"]),
    ],
    ids=lambda value: str(value)[:50],
)
def test_one_line_with_its_key_and_reason(train: Door, tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    result = train(*SMALL, *arguments)
    assert result.code == 2 and result.err.startswith("error: ") and result.err.count("\n") == 1, result
    assert all(word in result.err for word in words), result.err
    assert "Traceback" not in result.out and not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--cfg", "job"], ["optimizer:", "lr: 0.001"]),
        (["--cfg", "job", "--resolve"], ["name: runs"]),
        (["--cfg", "job", "--package", "optimizer"], ["_target_: torch.optim.AdamW"]),
        (["--cfg", "hydra"], ["sweeper:", "GridSweeper"]),
        (["--info", "defaults"], ["Defaults List"]),
        (["--info", "plugins"], ["Installed Hydra Plugins", "GridSweeper"]),
        (["-m", "+hydra.sweeper.params.seed='0,1'", "sweep.plan=true"], ["plan: 2 runs: 2 new"]),
        (["-m", "hydra.sweeper.params.optimizer.lr='0.1,0.2'", "sweep.plan=true"], ["plan: 2 runs: 2 new"]),
        (["-m", "hydra.sweeper.params={optimizer.lr:'0.1,0.2'}", "sweep.plan=true"], ["plan: 2 runs: 2 new"]),
        (["-m", "sweep.plan=true"], ["plan: 1 run: 1 new"]),
        (["hydra.mode=MULTIRUN", "seed=0,1", "sweep.plan=true"], ["plan: 2 runs: 2 new"]),
    ],
    ids=lambda value: str(value)[:50],
)
def test_what_works(train: Door, tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    result = train(*SMALL, *arguments)
    assert result.code == 0 and all(word in result.out for word in words), result
    assert not (tmp_path / "outputs").exists()


def test_no_warning_for_a_callback_of_the_users_own(shell: Door, tmp_path: Path) -> None:
    """Its `_target_` is in the user's own config, which may name what it likes."""
    callback = "+hydra.callbacks.own._target_=own_callback.Callback"
    arguments = [*SMALL, callback, f"sweep.root={tmp_path}"]
    result = shell("train.py", *arguments, PYTHONPATH=str(ROOT / "tests"))
    assert result.code == 0 and "whitelist" not in result.err and "called on_job_end" in result.out, result


@pytest.mark.parametrize("name", ["true", "False", "007", "1e3", "1_0", "inf"])
def test_a_sweeps_name_is_what_was_typed(train: Door, name: str) -> None:
    """Not what Hydra's grammar makes of it: True, 7, 1000.0."""
    shown = train("--cfg", "job", f"sweep.name={name}")
    assert shown.code == 0 and re.search(rf"  name: '?{name}'?\n", shown.out), shown.out


def test_such_a_name_in_a_sweep(train: Door, tmp_path: Path) -> None:
    assert train("-m", *SMALL, "seed=0", "sweep.name=true", "debug.max_steps=1").code == 0
    assert [folder.parts[-3] for folder in run_folders(tmp_path)] == ["true"]


def test_a_recipe_in_a_folder_of_the_users_own(train: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`finegrid init` makes one, and --config-dir is easily forgotten."""
    recipe = tmp_path / "conf" / "sweeps" / "first.yaml"
    recipe.parent.mkdir(parents=True)
    recipe.write_text("# @package _global_\nseed: 3\n")
    monkeypatch.chdir(tmp_path)
    forgotten = train("-m", *SMALL, "sweeps=first", "sweep.plan=true")
    words = "sweeps=first: conf/sweeps/first.yaml is read with --config-dir conf"
    assert (forgotten.code, forgotten.err) == (2, f"error: {words}\n")
    found = train("-m", "--config-dir", "conf", *SMALL, "sweeps=first", "sweep.plan=true")
    assert found.code == 0 and "plan: 1 run: 1 new" in found.out, found
