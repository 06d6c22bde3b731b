"""The report's door, `python -m analysis.report`: options, mistakes, what it imports."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from report_runs import HEAD, report_here, rows_of, write_demo, write_run


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    return write_demo(tmp_path)


def test_where_and_sort(demo: Path) -> None:
    def models(*arguments: str) -> list[str]:
        return [row["model"] for row in rows_of(report_here(demo, "--format", "csv", *arguments))]

    assert models("--sort", "model") == ["resnet18", "resnet50", "swin_t"]
    assert models("--sort", "lr") == ["swin_t", "resnet18", "resnet50"]
    assert models("--sort", "test_acc") == ["resnet18", "swin_t", "resnet50"]  # two without: by val_acc
    query = "'resnet' in model and `augment.flip` == 0 and lr < 1e-2"
    assert models("--where", query) == ["resnet18", "resnet50"]
    (row,) = rows_of(report_here(demo, "--format", "csv", "--where", "seed == 1 and val_macro_f1 > 97"))
    assert (row["seeds"], row["val_acc"], row["minutes"], row["status"]) == ("1", "99.0", "2.25", "done")
    nothing = report_here(demo, "--format", "csv", "--where", "best_epoch > 99")
    assert nothing.returncode == 0 and nothing.stdout.strip() == HEAD
    assert "none of the 5 runs" in nothing.stderr


def test_it_says_how_to_use_the_best_run(demo: Path) -> None:
    last = report_here(demo).stdout.splitlines()[-1]
    said, _, command = last.partition(": ")
    assert said == "Classify new images with the best run by val (of its configuration, 1 of 3 runs failed)"
    assert command.startswith("python -m training.predict ")
    best = command.split()[3]
    rows = rows_of(report_here(demo, "--format", "csv", "--where", "val_acc > 98.9"))
    assert len(rows) == 1 and Path(best).is_dir() and rows[0]["model"] in best


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["outputs/dmeo"], ["outputs/dmeo", "did you mean demo?"]),
        (["outputs/demo/notes.txt"], ["notes.txt is not a folder"]),
        (["empty"], ["no runs in empty", "record.json"]),
        (["--sort", "valacc"], ["valacc", "did you mean val_acc?"]),
        (["--where", "modle == 'resnet18'"], ["modle", "did you mean model?"]),
        (["--where", "lr >"], ["lr >", "can't be read"]),
        (["--where", "lr.to_pickle('F')"], ["neither true nor false"]),
        (["--where", "seed + 1"], ["neither true nor false"]),
        (["outputs/demo", "--html", "outputs/demo/notes.txt"], ["notes.txt is there and is no page"]),
        (["outputs/demo", "--interaction", "lr", "weights"], ["weights: not a setting that differs"]),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (demo / "notes.txt").write_text("mine")
    result = report_here(*arguments)
    assert result.returncode == 2 and result.stdout == ""
    assert len(result.stderr.splitlines()) == 1 and not [word for word in words if word not in result.stderr]
    assert (demo / "notes.txt").read_text() == "mine"


def test_torch_and_hydra_are_not_imported(tmp_path: Path) -> None:
    """What would take seconds; benchmarks.report measures the rest."""
    write_run(tmp_path / "sweep", "aaaaaaaaaa")
    code = (
        "import sys; from analysis.report import main; code = main(['sweep']); import analysis; analysis.load('sweep');"
        "sys.exit(code or 'torch' in sys.modules or 'hydra' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment).returncode == 0


def test_what_is_imported(tmp_path: Path) -> None:
    """pandas for --help, no statistics before there is something to judge."""
    code = "import sys; from analysis.report import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "sys.exit('scipy' in sys.modules or 'statsmodels' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    for number in range(300):
        write_run(tmp_path / "sweep", f"{number:010x}", lr=1 / (number + 1))
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    for arguments in ([], ["--format", "csv"]):
        command = [sys.executable, "-m", "analysis.report", "sweep", *arguments]
        process = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b"" and process.wait() == 0
        process.stderr.close()
