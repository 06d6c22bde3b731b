"""`python -m sweeps.status`: what it shows of sweeps under way, and what becomes of runs that it ends."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import ROOT, Door, run_folders
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from sweeping import WAIT_S, Starter, results, small, start, trouble, without

from sweeps import status as program
from sweeps.sweep_state import read_sweep

__all__ = ["start"]
Status = Callable[..., dict[str, Any]]


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return tmp_path / "outputs" / "grid"


def now(sweep: Path) -> dict[str, Any]:
    """`python -m sweeps.status SWEEP --json`, in a process of its own."""
    command = [sys.executable, "-m", "sweeps.status", str(sweep), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def until(sweep: Path, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Look until it is so, and have the program tell it."""
    ends = time.monotonic() + WAIT_S
    while time.monotonic() < ends:
        if (sweep / "sweep.json").exists() and wanted(read_sweep(sweep).to_json()) and wanted(told := now(sweep)):
            return told
        time.sleep(0.1)
    raise AssertionError(f"never so: {now(sweep) if sweep.is_dir() else 'no sweep'}")


def by_seed(told: dict[str, Any]) -> dict[int, dict[str, Any]]:
    return {int(run["run"].rpartition("=")[2]): run for run in told["runs"]}


def statuses(told: dict[str, Any]) -> list[str]:
    return [run["status"] for _, run in sorted(by_seed(told).items())]


def with_record(sweep: Path) -> list[int]:
    """Seeds."""
    return sorted(int(file.parent.name.partition("=")[2]) for file in sweep.rglob("record.json"))


def ask(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    """The program in this process: exit code and what it says."""
    capfd.readouterr()
    code = program.main([str(argument) for argument in arguments])
    return code, *capfd.readouterr()


def one_has_begun(told: dict[str, Any]) -> bool:
    return any(run["status"] == "running" and run["epoch"] for run in told["runs"])


@pytest.mark.slow
def test_what_it_tells_of_a_grid_and_how_runs_are_cancelled(
    start: Starter, tmp_path: Path, sweep: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    trouble(tmp_path, {"0": "slow 3,hold 2", "1": "slow 3,hold 2", "2": "raise"})
    running = start(*small(tmp_path, 40), "seed=range(6)")
    told = until(sweep, lambda told: sum(bool(run["epoch"]) for run in told["runs"]) == 2)
    assert statuses(told) == ["running", "running", *["waiting"] * 4]
    first, second = (by_seed(told)[seed] for seed in (0, 1))
    assert {first["slot"], second["slot"]} == {"cpu 0", "cpu 1"}
    assert first["epochs"] == 40 and 1 <= first["epoch"] < 40 and 0 <= first["val_acc"] <= 100
    assert first["seconds_left"] > 0 and told["seconds_left"] > first["seconds_left"], "others come after it"
    assert told["best"]["name"] == "val_acc" and told["best"]["value"] >= first["val_acc"]
    (controller,) = told["controllers"]
    assert controller["process"] == running.process.pid and controller["slots"] == 2
    text = ask(capfd, sweep)[1]
    assert re.search(rf"#0 +running +cpu 0 +{first['process']} +\d+/40 +\d+\.\d\d +\d+ \w+ +\S+/seed=0\n", text), text
    assert "2 running, 4 waiting; about " in text and "best so far: val acc " in text

    assert ask(capfd, sweep, "--cancel", "#0", "--cancel", f"{first['run'][:-1]}5")[0] == 0
    os.kill(second["process"], signal.SIGTERM)
    trouble(tmp_path, {"2": "raise"})
    told = until(sweep, lambda told: statuses(told)[:2] == ["cancelled", "cancelled"])
    assert by_seed(told)[5]["status"] == "cancelled", "it had not begun"
    assert running.end() == 1, "the run with seed 2 has failed"
    told = now(sweep)
    assert (
        statuses(told) == ["cancelled", "cancelled", "failed", "done", "done", "cancelled"] and not told["controllers"]
    )
    assert "broken on purpose" in by_seed(told)[2]["note"]
    assert re.search(r"#1 cancelled: .*/seed=1  the same command takes it up again\n", running.out)
    assert "\n3 cancelled; the same command takes them up\n" in running.out
    assert "1 of the runs failed; the same command again tries them once more" in running.out
    assert with_record(sweep) == [2, 3, 4], "a cancelled run has none"
    assert not list(tmp_path.rglob(".cancel")) and not (sweep / ".controllers").exists()


def test_the_same_command_takes_cancelled_runs_up(start: Starter, train: Door, tmp_path: Path, sweep: Path) -> None:
    command = [*small(tmp_path, 6), "seed=range(3)"]
    trouble(tmp_path, {"*": "hold 2"})
    running = start(*command)
    told = until(sweep, one_has_begun)
    done = next(run for run in told["runs"] if run["epoch"])
    assert program.main([str(sweep), "--cancel", done["run"]]) == 0
    trouble(tmp_path, {})
    assert running.end() == 0, "a cancelled run is no failure"
    assert len(with_record(sweep)) == 2 and json.loads((sweep / "sweep.json").read_text())["cancelled"]
    again = train(*command)
    assert again.code == 0 and "plan: 3 runs: 1 to resume, 2 done" in again.out
    assert "cancelled" not in json.loads((sweep / "sweep.json").read_text())
    assert train(*command, "sweep.name=good").code == 0
    assert results(sweep) == results(sweep.with_name("good")), "bit for bit"


@pytest.mark.slow
def test_cancel_all(start: Starter, train: Door, tmp_path: Path, sweep: Path) -> None:
    trouble(tmp_path, {"*": "hold 2"})
    running = start(*small(tmp_path, 6), "seed=range(4)")
    until(sweep, one_has_begun)
    assert program.main([str(sweep), "--cancel-all"]) == 0
    trouble(tmp_path, {})
    assert running.end() == 130, running.out
    assert running.out.endswith("cancelled; the same command again goes on\n")
    assert statuses(now(sweep)) == ["cancelled"] * 4 and not list(sweep.rglob("record.json"))
    running.until_all_are_gone()


def trials(sweep: Path) -> list[str]:
    study = optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend(str(sweep / "study.journal"))))
    return [trial.state.name for trial in study.trials]


@pytest.mark.slow
def test_a_trial_that_is_cancelled_is_taken_up_by_the_next_command(
    start: Starter, train: Door, tmp_path: Path, sweep: Path
) -> None:
    search = ["hydra/sweeper=optuna_async", "hydra/sweeper/sampler=grid", "hydra.sweeper.n_trials=4"]
    command = [*small(tmp_path, 6), *search, "seed=choice(0,1,2,3)"]
    trouble(tmp_path, {"*": "slow 1,hold 2"})
    running = start(*command)
    told = until(sweep, lambda told: one_has_begun(told) and told["counts"]["running"] == 2)
    chosen = next(run for run in told["runs"] if run["status"] == "running")
    assert told["seconds_left"] > 0
    assert program.main([str(sweep), "--cancel", f"#{chosen['number']}"]) == 0
    trouble(tmp_path, {})
    assert running.end() == 0, running.out
    assert sorted(trials(sweep)) == ["COMPLETE"] * 3 + ["RUNNING"], "neither failed nor taken up by the same command"
    assert running.out.count(f"#{chosen['number']} started") == 1
    again = train(*command)
    assert again.code == 0 and f"#{chosen['number']} started" in again.out
    assert trials(sweep) == ["COMPLETE"] * 4 and len(with_record(sweep)) == 4


@pytest.mark.slow
def test_a_search_is_cancelled_as_a_whole(start: Starter, train: Door, tmp_path: Path, sweep: Path) -> None:
    search = ["hydra/sweeper=optuna_async", "hydra/sweeper/sampler=grid", "hydra.sweeper.n_trials=3"]
    command = [*small(tmp_path, 6), *search, "seed=choice(0,1,2)"]
    trouble(tmp_path, {"*": "hold 2"})
    running = start(*command)
    until(sweep, one_has_begun)
    assert program.main([str(sweep), "--cancel-all"]) == 0
    trouble(tmp_path, {})
    assert running.end() == 130, running.out
    assert train(*command).code == 0
    assert trials(sweep) == ["COMPLETE"] * 3


def single(tmp_path: Path, epochs: int) -> list[str]:
    return without(small(tmp_path, epochs), "-m", "hydra.launcher")


@pytest.mark.slow
def test_a_single_run(start: Starter, train: Door, tmp_path: Path) -> None:
    trouble(tmp_path, {"*": "hold 2"})
    runs = tmp_path / "outputs" / "runs"
    running = start(*single(tmp_path, 6))
    ends = time.monotonic() + WAIT_S
    while not list(runs.glob("*/*/history.csv")) and time.monotonic() < ends:
        time.sleep(0.1)
    (run,) = now(runs)["runs"]
    assert run["status"] == "running" and run["process"] == running.process.pid and run["epochs"] == 6
    assert program.main([str(runs), "--cancel", run["identity"]]) == 0
    trouble(tmp_path, {})
    assert running.end() == 130, running.out
    (run,) = now(runs)["runs"]
    assert run["status"] == "cancelled" and not list(runs.rglob("record.json"))
    assert running.out.endswith(f"cancelled after epoch {run['epoch']}; the same command again goes on\n")
    assert not list(runs.rglob(".cancel"))
    again = train(*single(tmp_path, 6))
    assert again.code == 0 and f"going on after epoch {run['epoch']} of 6" in again.out
    (run,) = now(runs)["runs"]
    assert run["status"] == "done" and "cancelled" not in json.loads((runs / "sweep.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("how", ["request", "SIGTERM", "all"])
def test_under_a_launcher_of_hydras_own(start: Starter, train: Door, tmp_path: Path, sweep: Path, how: str) -> None:
    own = without(small(tmp_path, 6), "hydra.launcher")
    command = [*own, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "seed=range(4)"]
    trouble(tmp_path, {"*": "hold 2"})
    running = start(*command)
    told = until(sweep, lambda told: sum(bool(run["epoch"]) for run in told["runs"]) == 2)
    assert statuses(told) == ["running", "running", "waiting", "waiting"]
    chosen = by_seed(told)[0]
    if how == "SIGTERM":
        os.kill(chosen["process"], signal.SIGTERM)
    else:
        asked = ["--cancel-all"] if how == "all" else ["--cancel", "#0", "--cancel", "#3"]
        assert program.main([str(sweep), *asked]) == 0
    trouble(tmp_path, {})
    code = running.end()
    assert by_seed(now(sweep))[0]["status"] == "cancelled"
    expected = {"request": [1, 2], "SIGTERM": [1, 2, 3], "all": []}[how]
    assert code == (130 if how == "all" else 0), running.out
    assert with_record(sweep) == expected
    assert "cancelled; the same command takes them up" in running.out
    assert train(*command).code == 0 and with_record(sweep) == [0, 1, 2, 3]


@pytest.mark.slow
def test_what_a_killed_controller_leaves_is_interrupted(start: Starter, tmp_path: Path, sweep: Path) -> None:
    trouble(tmp_path, {"*": "hold 2"})
    running = start(*small(tmp_path, 5), "seed=range(3)", "hydra.launcher.slots=1")
    until(sweep, one_has_begun)
    running.signal(signal.SIGKILL)
    running.end()
    running.until_all_are_gone()
    assert list((sweep / ".controllers").glob("*/state.json")), "it could not clear up"
    told = now(sweep)
    assert statuses(told) == ["interrupted", "not begun", "not begun"] and not told["controllers"]
    assert program.main([str(sweep), "--cancel-all"]) == 2


@pytest.fixture
def finished(train: Door, tmp_path: Path, sweep: Path) -> Path:
    assert train(*small(tmp_path, 1), "seed=0,1").code == 0
    return sweep


def test_mistakes_are_told_in_one_line(
    finished: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    (name,) = {folder.parent.name for folder in run_folders(finished)}
    for arguments, words in {
        (finished.with_name("gird"),): f"no such folder: {finished.with_name('gird')}; did you mean {finished}?",
        (tmp_path / "empty",): "empty is not the folder of a sweep",
        ("/",): "/ is not the folder of a sweep",
        (tmp_path / "outputs",): "outputs is not the folder of a sweep; in it are grid",
        (finished, "--cancel", "#7"): "--cancel #7: no such run; there is nothing that runs or waits",
        (
            finished,
            "--cancel",
            "seed=1",
        ): f"--cancel seed=1: {name}/seed=1 is done; there is nothing that runs or waits",
        (finished, "--cancel", ""): "--cancel : no such run; there is nothing that runs or waits",
        (finished, "--cancel-all"): f"--cancel-all: nothing runs or waits in {finished}",
    }.items():
        code, out, err = ask(capfd, *arguments)
        assert (code, out) == (2, "") and err.count("\n") == 1 and err.startswith("error: ") and words in err, err
    monkeypatch.chdir(tmp_path / "empty")
    assert ask(capfd) == (
        2,
        "",
        "error: no sweep under outputs/ yet: start one (python train.py -m ...), or name its folder\n",
    )
    monkeypatch.chdir(tmp_path)
    code, out, _ = ask(capfd)
    assert code == 0 and out.startswith("outputs/grid: 2 done; best so far: val acc "), "the newest"
    code, out, _ = ask(capfd, next(finished.glob("*/seed=1")))
    assert code == 0 and "2 done" in out, "a run's folder stands for its sweep"
    assert ask(capfd, finished, "--watch")[1].count("2 done") == 1, "it ends where nothing runs"


def test_nothing_heavy_is_imported(finished: Path) -> None:
    heavy = "{'torch', 'hydra', 'omegaconf', 'pandas', 'numpy'}"
    code = f"import sys; from sweeps.status import main; main(sys.argv[1:]); print({heavy} & {{*sys.modules}})"
    command = [sys.executable, "-c", code, str(finished)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\nset()\n")


def test_foreign_names_and_files_act_on_nothing(finished: Path, capfd: pytest.CaptureFixture[str]) -> None:
    odd = finished / "[bold]a\u202e\x1b[2J-0123456789" / "seed=0"
    odd.mkdir(parents=True)
    (odd / "record.json").write_text('{"status": "\\u001b[31m", "failure": {"kind": "x\\u202e", "message": "[/red]"}}')
    for text in ('{"status": 3}', "[]", '{"status": "done", "config": 7, "val": []}', "\0"):
        other = finished / f"b{len(text)}-0123456789" / "seed=0"
        other.mkdir(parents=True)
        (other / "record.json").write_text(text)
        (other / "history.csv").write_text("epoch,val_acc\n1,nan\nnan,3\n")
    for content in ('{"asked": [1], "cancelled": [2]}', '{"asked": {"\\u202e": 1}, "cancelled": {"x": 1}}', "7"):
        (finished / "sweep.json").write_text(content)
        code, out, err = ask(capfd, finished)
        assert code == 0 and not err and "5 unreadable, 2 done" in out
        assert not {"\x1b", "\u202e", "\0"} & set(out) and "[bold]a\\u202e\\u001b[2J-0123456789/seed=0" in out
        code, out, _ = ask(capfd, finished, "--json")
        assert code == 0 and "NaN" not in out


@pytest.mark.slow
def test_the_live_view_tells_the_time_left_and_the_best(tmp_path: Path) -> None:
    """On a terminal."""
    trouble(tmp_path, {"*": "slow 0.7"})
    controller, terminal = pty.openpty()
    command = [sys.executable, str(ROOT / "train.py"), *small(tmp_path, 3), "seed=range(3)", f"sweep.root={tmp_path}/o"]
    environment = {**os.environ, "FINEGRID_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT / "tests")}
    environment |= {"COLUMNS": "200", "LINES": "50", "TERM": "xterm-256color"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=terminal, stderr=terminal)
    os.close(terminal)
    shown, ends = b"", time.monotonic() + WAIT_S
    while time.monotonic() < ends:
        if select.select([controller], [], [], 0.5)[0]:
            try:
                shown += os.read(controller, 1 << 16)
            except OSError:  # it has ended
                break
    assert process.wait(WAIT_S) == 0
    os.close(controller)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    assert re.search(r"about \d+ (s|min) left; best so far: val acc [\d.]+ \(net-none-\S+/seed=\d\)", text), text
    before = text[: text.index("best so far")]
    assert "about" not in before.rpartition("started")[0], "nothing is said before there is a basis"
