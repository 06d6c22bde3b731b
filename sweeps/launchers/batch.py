"""Hydra's `launch(batch)`, made of the Launcher protocol, so that any sweeper can use any launcher."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hydra.core.utils import JobReturn
from omegaconf import DictConfig, OmegaConf

from sweeps.cancelling import mark_cancelled, name_of
from sweeps.hydra_glue.private import current_job, failed
from sweeps.launchers.launcher import Event, Launcher, has_room
from sweeps.stopping import RunCancelled, StopRequest, heed_signals
from training.run_folder import RunInUse


@dataclass(frozen=True)
class BatchJob:
    """A job of a sweeper that plans nothing."""

    number: int
    config: DictConfig

    @property
    def folder(self) -> Path:
        """The folder in which Hydra will run it."""
        with current_job(self.config):
            return Path(str(self.config.hydra.sweep.dir)) / str(OmegaConf.select(self.config, "hydra.sweep.subdir"))


def run_batch(launcher: Launcher, configs: Iterable[DictConfig]) -> list[JobReturn]:
    """Run these jobs, give their results in order. Raises SweepEnded when stopped before the last had ended."""
    waiting = [BatchJob(config.hydra.job.num, config) for config in configs][::-1]
    count = len(waiting)
    results: dict[int, JobReturn] = {}
    by_number = {job.number: job for job in waiting}
    request, told = StopRequest(), {""}  # what was said of other sweeps that use the slots
    with heed_signals(request, launcher.grace_s, print), contextlib.closing(launcher):
        while not request.is_due and (launcher.running or (waiting and not request.reason)):
            while (
                waiting and not request.reason and launcher.free_slot() is not None and has_room(launcher, waiting[-1])
            ):
                launcher.submit(waiting.pop())
            if waiting and not launcher.running and (line := getattr(launcher, "waits_for", "")) not in told:
                told.add(line)
                print(line, flush=True)
            for event in launcher.wait_any(0.5, retry=not request.reason):
                if event.kind == "stopped" and not request.reason:
                    results[event.handle.number] = _cancelled(by_number[event.handle.number])
                _take(event, launcher, request, results)
    if len(results) < count:
        raise request.as_error()
    return [results[number] for number in sorted(results)]


def _cancelled(job: BatchJob) -> JobReturn:
    """The result of a run that ended by SIGTERM to its process, or by `python -m sweeps.status --cancel`."""
    with contextlib.suppress(OSError, RunInUse):  # a full disk, say: it is unfinished all the same
        mark_cancelled(job.folder.parents[1], {name_of(job.folder): None})
    return failed(job.config, RunCancelled(None))


def _take(event: Event, launcher: Launcher, request: StopRequest, results: dict[int, JobReturn]) -> None:
    if event.kind == "epoch":
        launcher.answer(event.handle, "stop" if request.reason else "go")
    elif event.result is not None:
        results[event.handle.number] = event.result
