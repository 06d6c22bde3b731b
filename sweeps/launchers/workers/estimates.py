"""What a controller knows of a run before it begins: how long its first epoch takes, what it asks of a GPU."""

import contextlib
import time
from collections.abc import Sequence
from typing import Any

from sweeps.launchers.launcher import RunnableJob
from sweeps.launchers.workers.assignment import Assignment
from sweeps.plan.demand import Demand, Demands
from sweeps.plan.summary import Pace
from training.device import Kind
from training.schema.checks import AUTO

NEW_S = 60.0  # how old what was read from records may be


class Estimates:
    """`asks_gpu`: whether what runs ask of a GPU matters, which takes a moment to find out."""

    def __init__(self, asks_gpu: bool) -> None:
        self.demands = Demands() if asks_gpu else None
        self.pace, self.read = Pace(), time.monotonic()

    def assignment(self, job: RunnableJob, kinds: Sequence[Kind] = ()) -> Assignment:
        """A job as workers get it. `kinds`: of devices, for which its plan has settled trainer.precision=auto."""
        planned: Any = job if getattr(job, "prepared", None) is not None else None
        seconds = self._first_epoch_s(planned) if planned is not None else None
        demand = self._demand(planned) if planned is not None else None
        settled = kinds and planned is not None and planned.run.trainer.precision == AUTO
        precision = planned.prepared.resolved.precision if settled else None
        return Assignment(
            job.number, job.config, job.folder, seconds, demand=demand, precision=precision, kinds=tuple(kinds)
        )

    def _first_epoch_s(self, job: Any) -> float | None:
        if time.monotonic() - self.read > NEW_S:
            self.pace, self.read = Pace(), time.monotonic()
        minutes = self.pace.minutes(job)
        return None if minutes is None else 60 * minutes / job.run.trainer.epochs

    def _demand(self, job: Any) -> Demand | None:
        with contextlib.suppress(Exception):  # of a network that can't be looked at: the run will tell
            return self.demands.of(job) if self.demands is not None else None
        return None
