"""Every door that a user's mistake can come in by, in this process, and what must hold of each mistake.

A mistake is one line on stderr that begins with `error: ` and says what is wrong, where, and what would be right; exit
code 2; and nothing left behind: not in the current folder, in the folder for temporary files, or beside the input.
"""

import contextlib
import importlib
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest
from conftest import ROOT, Result

from sweeps.launchers.temp_folder import mark_temp_folder
from training.errors import ConfigError

SEARCH = ["-m", "hydra/sweeper=optuna_async", "hydra.sweeper.n_trials=1"]


def train(*arguments: str) -> int:
    """python train.py ARGUMENTS"""
    module = importlib.import_module("train")
    with mock.patch.object(sys, "argv", [str(ROOT / "train.py"), *arguments]):
        return int(module.main())


def program(name: str) -> Callable[..., int]:
    """python -m NAME ARGUMENTS"""
    return lambda *arguments: int(importlib.import_module(name).main(list(arguments)))


def load(*folders: str) -> int:
    """finegrid.load(FOLDERS): a mistake is a ConfigError."""
    from finegrid import load

    try:
        load(*folders)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def load_model(folder: str) -> int:
    """finegrid.load_model(FOLDER): a mistake is a ConfigError."""
    from finegrid import load_model

    try:
        load_model(folder)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


DOORS: dict[str, Callable[..., int]] = {
    "train": train,
    "grid": lambda *arguments: train("-m", *arguments),
    "plan": lambda *arguments: train("-m", "sweep.plan=true", *arguments),
    "search": lambda *arguments: train(*SEARCH, *arguments),
    "lr_find": program("training.lr_find"),
    "screen": program("training.screen"),
    "predict": program("training.predict"),
    "export": program("training.export"),
    "ensemble": program("training.ensemble"),
    "soup": program("training.soup"),
    "reproduce": program("training.reproduce"),
    "compare": program("analysis.compare"),
    "report": program("analysis.report"),
    "load": load,
    "load_model": load_model,
}


@dataclass(frozen=True)
class Case:
    """A kind of bad input. `arguments`: of each of `doors`; `{}` in them is the folder of the inputs. `words`: what the
    line has to say, the key or the file and what would be right."""

    kind: str
    doors: str
    arguments: str | Sequence[str]
    words: str | Sequence[str]


def each(*cases: Case) -> list[object]:
    """A parameter set for each case and each of its doors."""
    return [
        pytest.param(door, one, id=f"{door}: {one.kind}: {one.arguments}"[:150])
        for one in cases
        for door in one.doors.split()
    ]


@contextlib.contextmanager
def captured() -> Iterator[tuple[Path, Path]]:
    """Everything that is written to stdout and stderr, by Python or below it, goes to these files."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        files = (Path(folder) / "out", Path(folder) / "err")
        for number, file in zip((1, 2), files, strict=True):
            stream = stack.enter_context(file.open("w"))
            before = os.dup(number)
            os.dup2(stream.fileno(), number)
            stack.callback(os.close, before)
            stack.callback(os.dup2, before, number)
            redirect = contextlib.redirect_stdout if number == 1 else contextlib.redirect_stderr
            stack.enter_context(redirect(stream))
        yield files


def call(door: str, *arguments: str) -> Result:
    """What a door says to these arguments."""
    with captured() as (out, err), mock.patch.dict(os.environ, HYDRA_FULL_ERROR="0"):
        try:
            code = DOORS[door](*arguments)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        sys.stdout.flush()
        sys.stderr.flush()
        return Result(code, out.read_text(), err.read_text())


def listing(*folders: Path) -> dict[str, tuple[int, int]]:
    """Size and time of all that lies below these folders."""
    found = {}
    for folder in folders:
        for parent, names, files in os.walk(folder):
            # torch's, for all processes; and the fork server's socket, which goes when this process ends
            names[:] = [name for name in names if not name.startswith(("torchinductor_", "pymp-"))]
            for name in [*names, *files]:
                state = os.lstat(f"{parent}/{name}")
                found[f"{parent}/{name}"] = (state.st_size, state.st_mtime_ns)
    return found


@dataclass(frozen=True)
class Place:
    """Where a case happens: an empty current folder and one for temporary files; the inputs, which stay as they are."""

    here: Path
    temporary: Path
    inputs: Path

    def refused(self, door: str, arguments: str | Sequence[str], words: str | Sequence[str]) -> str:
        """The line that `door` says. Anything more than that is a failure."""
        words = [words] if isinstance(words, str) else words
        given = arguments.split(" ") if isinstance(arguments, str) else arguments
        filled = [one.replace("{}", str(self.inputs)) for one in given if one or not isinstance(arguments, str)]
        before = listing(self.here, self.temporary, self.inputs)
        threads = set(threading.enumerate())
        result = call(door, *filled)
        assert result.code == 2, result
        *warnings, line = result.err.removesuffix("\n").split("\n")
        assert all(one.startswith("warning: ") for one in warnings), result.err
        assert line.startswith("error: "), result.err
        assert "Traceback" not in result.out and "error: " not in result.out, result.out
        assert not any(word in result.out for word in ("optimizer.lr=", "predictions in", "wrote")), result.out
        for word in words:
            assert word.replace("{}", str(self.inputs)) in line, line
        left = {
            path for path, state in listing(self.here, self.temporary, self.inputs).items() if before.get(path) != state
        }
        assert not left, f"left behind: {left}"
        assert {one for one in threading.enumerate() if not one.daemon} <= threads
        return line


@pytest.fixture
def place(tmp_path: Path, inputs: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A new one, with nothing remembered; `inputs` is the module's fixture."""
    temporary = Path(tempfile.mkdtemp(prefix="fg"))  # short, since sockets lie in it
    found = Place(tmp_path / "here", temporary, inputs)
    found.here.mkdir()
    monkeypatch.chdir(found.here)
    mark_temp_folder()  # that of this process, which outlives the test, lies where it would have lain
    monkeypatch.setenv("TMPDIR", str(found.temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("FINEGRID_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # no network
    yield found
    shutil.rmtree(temporary, ignore_errors=True)
