"""How much of their time the slots of an engine are idle while runs wait, and what a run costs it.

Runs that sleep, three for each slot, of unequal lengths (benchmarks/cluster/sleeper.py). Looked at is the time from
when all slots have been in use until the last run begins; what is not slept in it is idle. `a run` is that time by the
runs that began in it. Workers have up to 8 slots each, as nodes of a cluster have. The engines take turns at each
number of slots, so that a change of the machine's speed hits all.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path

from benchmarks.cluster import slurm
from benchmarks.cluster.out import write
from benchmarks.cluster.sleeper import SPAN
from benchmarks.measure import ROOT, show

RUNS = 3  # of each slot
BAR = 1.5  # times local's idle share
LIMIT_S = 600.0
Prefix = list[str]
Shape = tuple[int, int]  # workers, and the slots of each


@contextlib.contextmanager
def plainly() -> Iterator[Prefix]:
    """On this machine as it is."""
    yield []


@contextlib.contextmanager
def in_slurm() -> Iterator[Prefix]:
    """On a login node of a Slurm of two nodes that lives as long."""
    with slurm.slurm_cluster() as cluster:
        os.environ["SLURM_CONF"] = cluster.environment()["SLURM_CONF"]
        try:
            yield cluster.command()
        finally:
            del os.environ["SLURM_CONF"]


@contextlib.contextmanager
def in_own_network() -> Iterator[Prefix]:
    """With a network of its own, which Ray would else open to others."""
    yield ["unshare", "-n", "-p", "-f", "--mount-proc", "--kill-child", "bash", "-c", 'ip link set lo up; "$@"', "lo"]


def no_ray() -> str:
    """Why there is no Ray here."""
    if find_spec("sweeps.launchers.workers.ray") is None:
        return "this finegrid has no hydra/launcher=ray_workers"
    return "" if find_spec("ray") else "ray missing (pip install 'finegrid[ray]')"


def workers(launcher: str, *more: str) -> Callable[[Shape], list[str]]:
    """The settings of a launcher with workers."""
    return lambda shape: [
        f"hydra/launcher={launcher}",
        f"hydra.launcher.workers={shape[0]}",
        f"hydra.launcher.slots={shape[1]}",
        *more,
    ]


# A cluster of its own, whose workers share the cores of this machine
RAY = ("hydra.launcher.address=local", "hydra.launcher.num_gpus=0", "hydra.launcher.num_cpus=0.01")


@dataclass(frozen=True)
class Engine:
    """`settings`: overrides for so many workers with so many slots each. `opened`: what the command stands behind.
    `why_not`: why there is none here; nothing where there is."""

    settings: Callable[[Shape], list[str]]
    opened: Callable[[], contextlib.AbstractContextManager[Prefix]] = field(default=plainly)
    why_not: Callable[[], str] = str


ENGINES = {
    "local": Engine(lambda shape: ["hydra/launcher=local", f"hydra.launcher.slots={shape[0] * shape[1]}"]),
    "folder_workers": Engine(workers("folder_workers")),
    "slurm_workers": Engine(workers("slurm_workers", "hydra.launcher.cpus_per_task=1"), in_slurm, slurm.why_not),
    "ray_workers": Engine(workers("ray_workers", *RAY), in_own_network, no_ray),
}


@dataclass(frozen=True)
class Idle:
    """Of slot time, in per cent; seconds of it a run; how many runs that counts; seconds until the first run began."""

    percent: float
    a_run_s: float
    runs: int
    first_s: float


def shape_of(slots: int) -> Shape:
    """Workers, and the slots of each."""
    width = max(1, min(8, slots // 2))
    return max(1, slots // width), width


def length_s(slots: int) -> float:
    """Of a run in the mean: so that few enough begin a second for two cores to start them."""
    return max(1.0, 0.2 * slots)


def measured(engine: Engine, prefix: Prefix, slots: int, seconds: float) -> Idle:
    """One sweep. Raises CalledProcessError, TimeoutExpired, AssertionError for runs that are missing."""
    runs = RUNS * slots if slots > 4 else 6 * slots
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, "-m", "benchmarks.cluster.sleeper", "-m", f"hydra.sweep.dir={folder}/sweep",
            *engine.settings(shape_of(slots)), f"+seconds={seconds}", f"+run={','.join(map(str, range(runs)))}",
        ]  # fmt: skip
        variables = {**os.environ, "FINEGRID_RUNTIME": f"{folder}/runtime", "PYTHONPATH": str(ROOT)}
        began = Path(folder).stat().st_mtime
        done = subprocess.run(
            [*prefix, *command], cwd=ROOT, env=variables, capture_output=True, text=True, check=False, timeout=LIMIT_S
        )
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr[-2000:])
        spans = sorted(json.loads(file.read_text()) for file in Path(folder, "sweep").glob(f"*/{SPAN}"))
        shutil.rmtree(Path(folder, "sweep"), ignore_errors=True)
    assert len(spans) == runs, f"{len(spans)} of {runs} runs came to their end"
    return idle_of(spans, slots, spans[0][0] - began)


def idle_of(spans: list[list[float]], slots: int, first_s: float = 0.0) -> Idle:
    """`spans`: when each run began and ended, sorted."""
    since, until = spans[slots - 1][0], spans[-1][0]
    busy = sum(max(0.0, min(end, until) - max(begin, since)) for begin, end in spans)
    idle, later = slots * (until - since) - busy, len(spans) - slots
    return Idle(100 * idle / (slots * (until - since)), idle / later, later, first_s)


def measure(counts: list[int], names: list[str], out: Path | None) -> None:
    """A table for each number of slots."""
    with contextlib.ExitStack() as stack:
        why = {name: ENGINES[name].why_not() for name in names}
        prefixes = {name: stack.enter_context(ENGINES[name].opened()) for name in names if not why[name]}
        for slots in counts:
            rows, local = [], None
            for name in names:
                if why[name]:
                    rows.append([name, f"none here: {why[name]}", "", "", ""])
                    continue
                found = measured(ENGINES[name], prefixes[name], slots, length_s(slots))
                local = found if name == "local" else local
                ratio = f"{found.percent / local.percent:.2f}" if local else ""
                rows.append([name, f"{found.percent:.1f}", ratio, f"{found.a_run_s:.2f}", f"{found.first_s:.1f}"])
                write(out, {"what": "idle", "engine": name, "slots": slots, **asdict(found)})
                print(slots, *rows[-1], flush=True)
            title = f"{slots} slots, runs of {length_s(slots):g} s in the mean (bar: {BAR} times local's)"
            show(title, ["engine", "idle, %", "/ local", "a run, s", "first run after, s"], rows)
