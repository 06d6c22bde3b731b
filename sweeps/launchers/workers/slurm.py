"""Workers as jobs of Slurm, submitted by submitit as arrays, one for each kind of job."""

import contextlib
import itertools
import os
import pickle
import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweeps.launchers.workers import board
from sweeps.launchers.workers.worker import serve
from training.errors import ConfigError
from training.schema.checks import need

LOOK_S = 5.0
CALL_S = 60.0  # for an answer of Slurm
KEYS = (
    "partition",
    "account",
    "qos",
    "timeout_min",
    "gres",
    "constraint",
    "mem_gb",
    "cpus_per_task",
    "setup",
    "sbatch",
)
OWN = ("workers", "gpu")  # keys of a block that sbatch doesn't get
ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Block:
    """A kind of job: so many workers of it. `gpu`: what they have, as hydra.launcher.gpu says it."""

    workers: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    gpu: str | None = None


def blocks_of(settings: Mapping[str, Any], workers: int) -> list[Block]:
    """The kinds of jobs that hydra.launcher asks for. Raises ConfigError."""
    common = {key: settings[key] for key in KEYS}
    found = []
    for own in settings["blocks"] or [{}]:
        for key in own:
            known = (*OWN, *KEYS)
            need(key in known, f"hydra.launcher.blocks: {key}: no such key; choose from {', '.join(known)}")
        given = {key: own[key] for key in own if key not in OWN}
        block = Block(own.get("workers", workers), {**common, **given}, own.get("gpu", settings["gpu"]))
        need(block.workers >= 1, f"hydra.launcher.blocks: workers={block.workers}: expected 1 or more")
        minutes = block.settings["timeout_min"]
        need(minutes >= 1, f"hydra.launcher.timeout_min={minutes}: expected 1 or more")
        found.append(block)
    return found


class SlurmEngine:
    """`settings`: of the launcher, for workers. Jobs, their output and what they came to lie in `.workers/slurm`."""

    def __init__(self, sweep_folder: Path, settings: Mapping[str, Any], blocks: Sequence[Block]) -> None:
        self.sweep_folder, self.settings = sweep_folder, dict(settings)
        self.order: Iterator[Block] = itertools.cycle([block for block in blocks for _ in range(block.workers)])
        self.jobs: list[Any] = []  # submitit's
        self.there, self.looked = 0, float("-inf")

    def start(self, count: int) -> None:
        """Submit so many more. Raises ConfigError for what Slurm refuses."""
        wanted = list(itertools.islice(self.order, count))
        for block in {id(one): one for one in wanted}.values():
            self._submit(block, sum(one is block for one in wanted))
        self.looked = float("-inf")

    def _submit(self, block: Block, count: int) -> None:
        import submitit
        from submitit.core.utils import FailedJobError

        folder = board.own_folder(self.sweep_folder) / "slurm"
        executor = submitit.SlurmExecutor(folder=folder, max_num_timeout=0)
        executor.update_parameters(**self._parameters(block, count))
        minutes = min(block.settings["timeout_min"], self.settings["worker_minutes"] or float("inf"))
        settings = {**self.settings, "worker_minutes": minutes}
        try:
            with executor.batch():
                jobs = [executor.submit(serve, self.sweep_folder.absolute(), settings) for _ in range(count)]
        except (FailedJobError, RuntimeError, OSError) as error:
            told = [line for line in str(error).splitlines() if "error:" in line] or [str(error)]
            raise ConfigError(f"hydra/launcher=slurm_workers: {' '.join(told[-1].split())}") from error
        self.jobs += jobs

    def _parameters(self, block: Block, count: int) -> dict[str, Any]:
        """As submitit calls them."""
        own = dict(block.settings)
        more = dict(own.pop("sbatch") or {})
        setup = [f"export PYTHONPATH={shlex.quote(str(ROOT))}${{PYTHONPATH:+:$PYTHONPATH}}", *(own.pop("setup") or ())]
        minutes, memory = own.pop("timeout_min"), own.pop("mem_gb")
        given = {key: value for key, value in own.items() if value is not None}
        if memory is not None:
            given["mem"] = f"{memory:g}GB"
        return {
            **given,
            "job_name": f"finegrid-{self.sweep_folder.name}",
            "time": minutes,
            "setup": setup,
            "array_parallelism": count,
            "signal_delay_s": round(self.settings["grace_s"]) + 5,
            "additional_parameters": more,
        }

    def alive(self) -> int:
        """How many of our jobs run or wait, as Slurm said last."""
        if not self.jobs or time.monotonic() - self.looked < LOOK_S:
            return self.there
        self.looked = time.monotonic()
        ids = ",".join(sorted({str(job.job_id).partition("_")[0] for job in self.jobs}))
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):  # Slurm doesn't answer: as before
            done = _call("squeue", "-h", "-r", "-j", ids, "-o", "%t")
            if not done.returncode:
                self.there = sum(state not in ("CG", "CD", "CA", "F", "TO") for state in done.stdout.split())
            elif "Invalid job id" in done.stderr:  # they ended long ago
                self.there = 0
        return self.there

    def dead(self) -> list[str]:
        """Nobody knows by name: beats tell."""
        return []

    def failed_starts(self) -> list[str]:
        """The last lines of what workers raised."""
        found = []
        for job in self.jobs:
            with contextlib.suppress(OSError, pickle.UnpicklingError, EOFError):
                kind, content = pickle.loads(Path(job.paths.result_pickle).read_bytes())
                if kind == "error":
                    found.append(str(content).strip().rpartition("\n")[2])
        return found

    def lack(self) -> str:
        """squeue tells why jobs wait."""
        return ""

    def give_up(self, name: str, told: Mapping[str, Any]) -> None:
        """Cancel its job."""
        if told.get("job"):
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                _call("scancel", str(told["job"]))
            self.looked = float("-inf")

    def stop(self, grace_s: float) -> None:
        """End all. Slurm sends SIGTERM, and SIGKILL after its KillWait."""
        ids = sorted({str(job.job_id).partition("_")[0] for job in self.jobs})
        if ids:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                _call("scancel", *ids)
        self.jobs.clear()


def _call(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, capture_output=True, text=True, timeout=CALL_S, check=False, env={**os.environ, "LC_ALL": "C"}
    )
