"""Shared by all tests: the two public doors, as functions."""

import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

# Before torch is imported, here and in all processes that tests start: threads that wait sleep instead of spinning, so
# that several workers and their runs can share few cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")
# Lines as long as they are, whatever terminal the tests run in: rich wraps at the width, and paths can be long. What a
# narrow terminal shows is tested with a width of its own.
os.environ["COLUMNS"] = "400"
# The networks and data of the tests themselves, which their run folders name; what isn't trusted has tests of its own.
os.environ["FINEGRID_TRUST"] = "own_parts,family_parts"

# Tests run side by side, and must not wait for each other's slots.
DEFAULT_RUNTIME = Path(tempfile.gettempdir()) / f"finegrid-tests-{os.getpid()}"
os.environ["FINEGRID_RUNTIME"] = str(DEFAULT_RUNTIME)
os.environ.pop("FINEGRID_IN_SLOT", None)

ROOT = Path(__file__).parents[1]
QUICK = ["data.size=8", "trainer.batch_size=32", "debug.max_steps=2", "trainer.epochs=2", "trainer.threads=1"]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # of a shell's background job; children would ignore it too
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(DEFAULT_RUNTIME, ignore_errors=True)  # of module fixtures


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shuffle", type=int, metavar="SEED", help="run the tests in a random order, which SEED repeats")
    parser.addoption("--until", type=float, metavar="TIME", help="skip tests that begin later (seconds since 1970)")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    until = item.config.getoption("until")
    if until is not None and time.time() > until:
        pytest.skip("not run: no time was left (--until)")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """For -n auto: as many as cores, each of which a worker fills; at least two, since many tests wait for processes;
    at most eight, since each takes a gigabyte and imports torch anew."""
    return min(max(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1), 8)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With --shuffle: modules in random order, and in each its tests; what modules share is still made once."""
    seed = config.getoption("shuffle")
    if seed is None:
        return
    rank: dict[object, float] = {}
    draw = random.Random(seed)
    items.sort(key=lambda item: (rank.setdefault(item.path, draw.random()), rank.setdefault(item, draw.random())))


class Result(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str


Door = Callable[..., Result]


@pytest.fixture(autouse=True)
def runtime_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the sweeps of a test claim their slots."""
    folder = tmp_path_factory.mktemp("runtime")
    monkeypatch.setenv("FINEGRID_RUNTIME", str(folder))
    return folder


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Door:
    """`python train.py ARGUMENTS` in this process (which spares importing torch again), with outputs in tmp_path."""

    def call(*arguments: str) -> Result:
        import train as module

        monkeypatch.setattr(sys, "argv", [str(ROOT / "train.py"), f"sweep.root={tmp_path / 'outputs'}", *arguments])
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # main sets it, and the next test must not find it
        monkeypatch.setenv("FINEGRID_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(logging, "raiseExceptions", False)  # handlers of earlier calls have streams that are closed
        capfd.readouterr()
        try:
            code = module.main()
        except SystemExit as end:
            code = int(end.code or 0)
        return Result(code, *capfd.readouterr())

    return call


@pytest.fixture
def shell(tmp_path: Path) -> Door:
    """`python ARGUMENTS` as a process of its own, in the repository's folder."""

    def call(*arguments: str, **environment: str) -> Result:
        environment = {**os.environ, "FINEGRID_CACHE": str(tmp_path / "cache"), **environment}
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        return Result(done.returncode, done.stdout, done.stderr)

    return call


def run_folders(root: Path) -> list[Path]:
    """The run folders below `root`, sorted."""
    return sorted(path.parent for path in root.rglob("config.json"))
