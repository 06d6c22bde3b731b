"""What a controller hands to a worker: the program of all runs, and one run of it. And what makes a run's process obey
its lease."""

import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudpickle
from hydra.core.hydra_config import HydraConfig
from hydra.types import TaskFunction
from omegaconf import DictConfig, OmegaConf

from sweeps.launchers.worker import Program
from sweeps.launchers.workers.board import holds
from sweeps.plan.demand import Demand
from training import run_folder
from training.device import Kind
from training.schema.checks import AUTO

LEASES = "FINEGRID_LEASES"  # the worker's own folder: for each run a file NUMBER, in which stands the path of its lease


@dataclass(frozen=True)
class WorkerProgram:
    """Of a board. `program`: pickled, to be read when `path` is where modules are looked for."""

    path: list[str]
    folder: str  # where relative paths begin
    program: bytes
    config: bytes  # of the sweep

    @classmethod
    def of(cls, program: Program, config: DictConfig) -> "WorkerProgram":
        """Of the controller that calls this."""
        path = [str(Path(entry).absolute()) for entry in sys.path]
        return cls(path, str(Path.cwd()), program.pickled(), cloudpickle.dumps(config))

    def opened(self) -> tuple[Program, DictConfig]:
        """In a worker: its modules can be imported from now on, and relative paths are the controller's."""
        sys.path += [entry for entry in self.path if entry not in sys.path]
        os.chdir(self.folder)
        program: Program = cloudpickle.loads(self.program)
        config: DictConfig = cloudpickle.loads(self.config)
        return Program(program.context, fenced(program.task_function), program.singletons), config


@dataclass(frozen=True)
class Assignment:
    """A run that is to be taken. `first_epoch_s`: what its first epoch takes, where records say so. `avoid`: workers
    that it has failed on. `precision`: what the plan has made of trainer.precision=auto, for `kinds` of devices."""

    number: int
    config: DictConfig
    folder: Path
    first_epoch_s: float | None = None
    avoid: frozenset[str] = field(default_factory=frozenset)
    demand: Demand | None = None
    precision: str | None = None
    kinds: tuple[Kind, ...] = ()

    @property
    def model(self) -> str:
        """What runs have in common whose epochs take alike."""
        model: Any = self.config.get("model")
        return str(model.get("name")) if isinstance(model, DictConfig) else ""


def settle_autos(run: Assignment, kind: Kind | None, slot_threads: int | None, fixed_threads: int | None) -> None:
    """In a worker: have a run's `auto`s be what the sweep has settled, where they would not be so here by themselves.
    `slot_threads`: of a slot on the CPU. (Else its config stays as it was asked for, as in its record.)"""
    alike = kind is not None and all((one.device, one.precision) == (kind.device, kind.precision) for one in run.kinds)
    if run.precision is not None and not alike:
        run.config.trainer.precision = run.precision
    fewer = slot_threads is not None and fixed_threads is not None and fixed_threads < slot_threads
    if fewer and OmegaConf.select(run.config, "trainer.threads") == AUTO:
        run.config.trainer.threads = fixed_threads


def write_lease(number: int, lease: Path) -> None:
    """In a worker: tell its run by which lease it has its folder."""
    (Path(os.environ[LEASES]) / str(number)).write_text(str(lease.absolute()))


def fenced(task: TaskFunction) -> TaskFunction:
    """`task`, whose process ends, with all that it started, when it is about to write into a run folder and has lost
    its lease: the run is another worker's now."""

    def obeys(config: DictConfig) -> Any:
        lease = Path((Path(os.environ[LEASES]) / str(HydraConfig.get().job.num)).read_text())

        def check() -> None:
            if holds(lease) is False:
                os.killpg(0, signal.SIGKILL)

        check()
        run_folder.before_write.append(check)
        try:
            return task(config)
        finally:
            run_folder.before_write.remove(check)

    return obeys
