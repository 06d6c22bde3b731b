"""train.py with `hydra/launcher=instant` besides: runs that are over at once, to measure what their controller does.

python -m benchmarks.cluster.instant -m hydra/launcher=instant ...

Each run tells three epochs and leaves a record in its folder, as any run does; what it "measured" follows from its
number. Nothing is trained, no process is started.
"""

import itertools
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

import train
from sweeps.channel import Answer
from sweeps.controller.finalize import _beginning
from sweeps.hydra_glue.composer import Composer
from sweeps.launchers.batch import run_batch
from sweeps.launchers.launcher import Capabilities, Event, Handle
from sweeps.plan.jobs import Job
from training.console.progress import EpochReport
from training.errors import Pruned
from training.record import timestamp, write_record
from training.schema.record_parts import Scores, Times

EPOCHS = 3


@dataclass
class InstantConfig:
    """hydra/launcher=instant"""

    _target_: str = "benchmarks.cluster.instant.InstantLauncher"
    slots: int = 2


@dataclass(frozen=True)
class Place:
    """Where nothing runs for long."""

    number: int

    @property
    def name(self) -> str:
        """What the live view calls it."""
        return f"instant {self.number}"


class InstantLauncher(Launcher):
    """Says of each job what a launcher would say, at once."""

    capabilities = Capabilities(channel=True, prune=True, cancel=True, this_machine=False)
    grace_s = 0.0

    def __init__(self, slots: int) -> None:
        self.slots = [Place(number) for number in range(slots)]
        self.told: dict[Handle, Iterator[Event]] = {}
        self.ended: set[Handle] = set()

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Nothing is run, so nothing is remembered."""
        self.composer = Composer(hydra_context, config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Hydra's interface."""
        return run_batch(self, self.composer.batch(initial_job_idx, job_overrides))

    def warm_up(self) -> None:
        """There is nothing to warm up."""

    @property
    def running(self) -> list[Handle]:
        """Jobs that were submitted and have not ended."""
        return list(self.told)

    def free_slot(self) -> Place | None:
        """A slot without a job."""
        taken = {handle.slot.number for handle in self.told}
        return next((slot for slot in self.slots if slot.number not in taken), None)

    def submit(self, job: Job) -> Handle:
        """Have a job's events told."""
        slot = self.free_slot()
        assert slot is not None, "submit needs a free slot"
        handle = Handle(job.number, job.folder, slot)
        self.told[handle] = self._events(handle, job)
        return handle

    def _events(self, handle: Handle, job: Job) -> Iterator[Event]:
        handle.begun, started = True, timestamp()
        yield Event("begun", handle)
        draw, epoch, status = random.Random(job.number), 0, "pruned"
        for epoch in range(1, EPOCHS + 1):
            yield Event("epoch", handle, report=EpochReport(epoch, EPOCHS, 90 + draw.random(), 0.3, 100.0, 0.1))
            if handle in self.ended:
                break
        else:
            status = "done"
        scores = Scores(acc=90 + draw.random(), loss=0.3, n=100)
        record = replace(
            _beginning(job), status=status, epochs_run=epoch, best_epoch=epoch, val=scores, test=scores,
            time=Times(started=started, finished=timestamp(), minutes=0.001),
        )  # fmt: skip
        job.folder.mkdir(parents=True, exist_ok=True)
        write_record(job.folder, record)
        result = JobReturn(overrides=list(job.overrides), cfg=job.config, status=JobStatus.COMPLETED)
        result.return_value = scores.acc if status == "done" else Pruned(epoch)
        yield Event("ended", handle, result=result)

    def wait_any(self, timeout_s: float, retry: bool = True) -> list[Event]:
        """The next event of each job."""
        if not self.told:
            time.sleep(timeout_s)
        events = list(itertools.chain.from_iterable(itertools.islice(one, 1) for one in list(self.told.values())))
        for event in events:
            if event.kind == "ended":
                self._forget(event.handle)
        return events

    def _forget(self, handle: Handle) -> None:
        self.told.pop(handle, None)
        self.ended.discard(handle)

    def answer(self, handle: Handle, answer: Answer) -> None:
        """Let a job go on, or end it."""
        if answer != "go":
            self.ended.add(handle)

    def cancel(self, handle: Handle) -> None:
        """Tell nothing more of it."""
        self._forget(handle)

    def close(self) -> None:
        """Forget all."""
        self.told.clear()


def main() -> int:
    """Make the launcher known, and be train.py."""
    from benchmarks.cluster.instant import InstantConfig, InstantLauncher  # by the name that configs give, not __main__

    Plugins.instance().register(InstantLauncher)
    ConfigStore.instance().store(group="hydra/launcher", name="instant", node=InstantConfig)
    return train.main()


if __name__ == "__main__":
    sys.exit(main())
