"""The process that works on a job, from the controller's side: how it ended, and its end with all that it started."""

import contextlib
import os
import signal
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess

from omegaconf import DictConfig

from sweeps.launchers.claims import INSIDE
from sweeps.launchers.fork_server import SERVER_DIED
from sweeps.launchers.launcher import Died, Handle
from sweeps.launchers.slots import MachineSlot
from sweeps.plan.demand import Demand
from training.errors import BeginAgain

PATIENCE_S = 10.0  # for a run that has told its end but doesn't go


@dataclass(frozen=True, eq=False)
class Task:
    """A job in its slot. `demand`: what it asks of a GPU, where that is known. `alone`: without neighbours, after it
    failed beside them. `no_graphs`: why it goes on without CUDA graphs, where it does."""

    handle: Handle
    slot: MachineSlot
    config: DictConfig
    demand: Demand | None = None
    epoch: int = 0  # the last of which it has told
    alone: bool = False
    no_graphs: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """Variables of its process beside those of its slot."""
        return {INSIDE: "1"} | ({BeginAgain.NO_GRAPHS: self.no_graphs} if self.no_graphs else {})


@dataclass(eq=False)
class RunProcess:
    """The process that works on a task: its channel, and what ends it when we let go. `mps`: it is a client of MPS."""

    task: Task
    process: ForkServerProcess
    connection: Connection
    lifeline: Connection
    attempt: int  # how often it was killed since its last epoch
    mps: bool = False
    epoch: int = 0
    told: float | None = None  # when it told of the memory that it keeps
    seconds_left: float = float("inf")  # by its last report
    started: float = field(default_factory=time.monotonic)
    ended: float = float("inf")  # when it told its end
    timed_out: bool = False

    def __post_init__(self) -> None:
        self.epoch = self.task.epoch

    @property
    def handle(self) -> Handle:
        """Of its job."""
        return self.task.handle

    @property
    def slot(self) -> MachineSlot:
        """Where it runs."""
        return self.task.slot

    @property
    def is_gone(self) -> bool:
        """Whether its process has ended."""
        return self.process.exitcode is not None

    def reap(self) -> None:
        """Wait until the process and all that it started are gone."""
        self.process.join(PATIENCE_S)
        if not self.is_gone:
            self.process.kill()
            self.process.join()
        with contextlib.suppress(OSError):  # ProcessLookupError: it had no children left
            os.killpg(self.process.pid or 0, signal.SIGKILL)
        self.connection.close()
        self.lifeline.close()

    def cause_of_death(self, timeout_s: float | None) -> Died:
        """Of what it died without a result."""
        code = self.process.exitcode
        if self.timed_out:
            minutes = (timeout_s or 0) / 60
            return Died("timeout", f"not finished after {minutes:g} minutes (hydra.launcher.timeout_minutes)")
        if code is not None and code < 0:
            return Died("killed", f"killed by {signal.Signals(-code).name}")
        if code == SERVER_DIED:
            return Died("killed", "killed with the server that it was forked from")
        return Died("exit", f"its process ended by itself with exit code {code}")


@dataclass
class Processes:
    """Those of one launcher. `leaving`: they have told their end, but may not be gone. `parked`: tasks without one,
    which go on when they can be alone on their card."""

    at_work: list[RunProcess] = field(default_factory=list)
    leaving: list[RunProcess] = field(default_factory=list)
    parked: list[Task] = field(default_factory=list)

    @property
    def handles(self) -> list[Handle]:
        """Of all jobs that have not ended."""
        return [run.handle for run in self.at_work] + [task.handle for task in self.parked]

    @property
    def busy(self) -> set[int]:
        """Numbers of the slots that are in use."""
        runs = [*self.at_work, *(run for run in self.leaving if not run.is_gone)]
        return {run.slot.number for run in runs} | {task.slot.number for task in self.parked}

    @property
    def closed(self) -> set[str]:
        """Cards on which no other run may begin."""
        return {task.slot.gpu for task in self.parked} | {run.slot.gpu for run in self.at_work if run.task.alone}

    def of(self, handle: Handle) -> RunProcess:
        """The process of a job."""
        return next(run for run in self.at_work if run.handle is handle)

    def has_company(self, run: RunProcess) -> bool:
        """Whether other runs are on its card, or were a moment ago."""
        others = [other for other in (*self.at_work, *self.leaving) if other is not run]
        return bool(run.slot.gpu) and not run.task.alone and any(one.slot.gpu == run.slot.gpu for one in others)

    def alone_now(self) -> list[Task]:
        """Parked tasks whose card is empty, one for each card; they are parked no more."""
        there = {run.slot.gpu for run in (*self.at_work, *self.leaving) if not run.is_gone}
        found: dict[str, Task] = {}
        for task in self.parked:
            if task.slot.gpu not in there:
                found.setdefault(task.slot.gpu, task)
        self.parked = [task for task in self.parked if task not in found.values()]
        return list(found.values())

    def kill_overdue(self, timeout_s: float | None) -> None:
        """Kill what has run for longer."""
        for run in self.at_work:
            if timeout_s is not None and time.monotonic() - run.started > timeout_s and not run.timed_out:
                run.timed_out = True
                run.process.kill()

    def reap_gone(self) -> None:
        """Clear up after those that have left, or that have told their end long ago."""
        for run in list(self.leaving):
            if run.is_gone or time.monotonic() - run.ended > PATIENCE_S:
                self.release(run)

    def tell_end(self, run: RunProcess) -> None:
        """A run has told its end."""
        run.ended = time.monotonic()
        self.at_work.remove(run)
        self.leaving.append(run)

    def release(self, run: RunProcess) -> None:
        """A run is over: wait until nothing of it is left."""
        if run in self.at_work:
            self.at_work.remove(run)
        if run in self.leaving:
            self.leaving.remove(run)
        run.reap()

    def empty(self, slot: MachineSlot | None = None) -> None:
        """Wait until what has ended in a slot, or in all, is gone."""
        for run in [run for run in self.leaving if slot is None or run.slot is slot]:
            self.release(run)

    def forget(self, handle: Handle) -> bool:
        """Drop a parked task; False where the job has none."""
        kept = [task for task in self.parked if task.handle is not handle]
        found, self.parked = len(kept) < len(self.parked), kept
        return found
