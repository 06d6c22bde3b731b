"""Sweeps on a Slurm under test: started inside it, waited for, killed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from slurm_parts import Slurm, skip_without, slurm_cluster, why_not
from sweeping import small, without

WAIT_S = 180.0
KILL_NODE = """
node=$(readlink /proc/$(cat $DIR/run/slurmd-$NODE.pid)/ns/uts)
for own in /proc/[0-9]*/ns/uts; do
  if [ "$(readlink $own)" = "$node" ]; then echo $own | cut -d/ -f3; fi
done | xargs kill -9
"""


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    """Two nodes, for the tests of a file."""
    skip_without(why_not())
    with slurm_cluster() as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def no_jobs_left(slurm: Slurm) -> Iterator[None]:
    """Each test finds an empty cluster."""
    yield
    slurm.call("scancel", "-u", "root")
    until(lambda: not slurm.jobs(), "jobs stay")


def until(what: Callable[[], object], why: str | Callable[[], str] = "") -> None:
    """Wait for it."""
    ends = time.monotonic() + WAIT_S
    while not what():
        assert time.monotonic() < ends, why() if callable(why) else why
        time.sleep(0.2)


class Sweep:
    """`python train.py ARGUMENTS` inside the cluster."""

    def __init__(self, slurm: Slurm, tmp_path: Path, arguments: Sequence[str]) -> None:
        self.slurm, self.file = slurm, tmp_path / f"out{time.monotonic_ns()}.txt"
        command = [sys.executable, str(ROOT / "train.py"), *arguments, f"sweep.root={tmp_path / 'outputs'}"]
        environment = {**slurm.environment(), "FINEGRID_CACHE": str(tmp_path / "cache")}
        environment |= {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "FINEGRID_RUNTIME": str(tmp_path / "runtime")}
        with self.file.open("w") as out:
            self.process = subprocess.Popen(
                slurm.command(*command), cwd=ROOT, env=environment, stdout=out, stderr=out, start_new_session=True
            )

    @property
    def out(self) -> str:
        """What it has said so far."""
        return self.file.read_text()

    def until(self, text: str) -> None:
        """Wait until it has said this."""
        until(lambda: text in self.out or self.process.poll() is not None, lambda: self.out)
        assert text in self.out, f"never said {text}:\n{self.out}"

    def end(self) -> int:
        """Wait for its end; gives the exit code."""
        return self.process.wait(WAIT_S)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send the controller a signal: to its group, since its parent here is what has entered the cluster."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


Start = Callable[..., Sweep]


@pytest.fixture
def start(slurm: Slurm, tmp_path: Path) -> Iterator[Start]:
    """`python train.py ARGUMENTS` inside the cluster, not waited for."""
    started: list[Sweep] = []

    def call(*arguments: str) -> Sweep:
        started.append(Sweep(slurm, tmp_path, arguments))
        return started[-1]

    yield call
    for sweep in started:
        sweep.kill()
        sweep.process.wait()


def command(tmp_path: Path, *settings: str, epochs: int = 3) -> list[str]:
    """A sweep named slurm on two workers of one GPU, which isn't used."""
    launcher = ["hydra/launcher=slurm_workers", "hydra.launcher.workers=2", "hydra.launcher.gres=gpu:1"]
    launcher += ["hydra.launcher.cpus_per_task=1", "hydra.launcher.devices=cpu", "hydra.launcher.timeout_min=30"]
    return [*without(small(tmp_path, epochs), "hydra.launcher"), "sweep.name=slurm", *launcher, *settings]


def local(tmp_path: Path, epochs: int = 3) -> list[str]:
    """The same runs by the local launcher, named local."""
    return [*small(tmp_path, epochs), "sweep.name=local"]


def has_begun(sweep: Path, count: int) -> bool:
    """Whether so many runs have told an epoch."""
    return sum(file.read_text().count("\n") > 1 for file in sweep.glob("*/seed=*/history.csv")) >= count


def members(sweep: Path) -> list[dict[str, Any]]:
    """What the workers that are there say of themselves."""
    found = []
    for file in (sweep / ".workers" / "members").glob("[!.]*"):
        with contextlib.suppress(FileNotFoundError):
            found.append(json.loads(file.read_text()))
    return found


def lose(slurm: Slurm, node: str) -> None:
    """A node is down from one moment to the next, with all that runs there; then Slurm hears of it."""
    slurm.call("bash", "-c", KILL_NODE.replace("$NODE", node).replace("$DIR", str(slurm.folder)))
    down = slurm.call("scontrol", "update", f"nodename={node}", "state=down", "reason=lost")
    assert down.returncode == 0, down.stderr


def bring_back(slurm: Slurm, node: str) -> None:
    """Start a node that was lost."""
    slurm.call("unshare", "-u", "bash", "-c", f"hostname {node}; slurmd -N {node}")
    slurm.call("scontrol", "update", f"nodename={node}", "state=resume")
    until(lambda: slurm.call("sinfo", "-h", "-n", node, "-t", "idle", "-o", "%D").stdout.strip() == "1", slurm.log)
