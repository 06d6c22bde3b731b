"""hydra/sweeper=grid, the default: all combinations of the values that the command line lists.

Extends Hydra's basic sweeper by `runs:` (a list of small grids), the plan, and an exit code.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from omegaconf import OmegaConf
from rich.console import Console

from sweeps.channel import Answer
from sweeps.controller.drive import Outcome, drive
from sweeps.controller.finalize import finalize
from sweeps.controller.sweep_file import add_aliases
from sweeps.controller.view import View, show_end
from sweeps.hydra_glue.private import BasicSweeper
from sweeps.launchers.launcher import Launcher, as_launcher
from sweeps.plan.applicable import check_launcher
from sweeps.plan.jobs import TO_RUN, Job, Planner, check_one_sweep, expand, fixed_lines, plan_grid
from sweeps.plan.summary import describe, notices, summary
from sweeps.stopping import StopRequest, SweepEnded
from training.console.progress import EpochReport
from training.data.pixel_cache import build_ahead, key
from training.record import Record
from training.run_folder import MULTIRUN


@dataclass
class GridConfig:
    """hydra/sweeper=grid"""

    _target_: str = "sweeps.sweepers.grid.GridSweeper"
    max_batch_size: int | None = None  # for Hydra's own launchers
    params: dict[str, str] | None = field(default_factory=dict)
    runs: list[str] = field(default_factory=list)  # override lines, each a small grid


ConfigStore.instance().store(group="hydra/sweeper", name="grid", node=GridConfig, provider="finegrid")


class GridSweeper(BasicSweeper):
    """Plans a grid, and has a launcher carry it out."""

    def __init__(self, max_batch_size: int | None, params: dict[str, str] | None, runs: list[str]) -> None:
        super().__init__(max_batch_size, params)
        self.runs = list(runs)

    def sweep(self, arguments: list[str]) -> Any:
        """Plan, carry out, show the table. Raises ConfigError before anything is written, SweepEnded after failures."""
        assert self.config is not None and self.hydra_context is not None and self.launcher is not None
        launcher = as_launcher(self.launcher)
        planner = Planner(self.hydra_context, self.config, launcher.warm_up if launcher else None)
        check_launcher(self.config)
        loader = self.hydra_context.config_loader
        jobs = plan_grid(planner, expand(self.runs, [*fixed_lines(self.params), *arguments], loader))
        folder = Path(str(self.config.hydra.sweep.dir))
        check_one_sweep(jobs, folder)
        slots = len(launcher.slots) if launcher else 1
        console = Console()
        plan_only = jobs[0].run.sweep.plan
        for line in [summary(jobs, slots), *(map(describe, jobs) if plan_only else ()), *notices(jobs)]:
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        if plan_only:
            return []
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, folder / MULTIRUN)
        add_aliases(folder, jobs)
        outcome = Outcome(request=StopRequest(max_hours=jobs[0].run.sweep.max_hours))
        carry_out(self.launcher, jobs, outcome, self.max_batch_size)
        return finish(console, folder, outcome)


class JobList:
    """A list of jobs as a source for `drive`."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.waiting = [job for job in jobs if job.state in TO_RUN]
        self.total = len(self.waiting)
        self.waiting.reverse()

    def next_job(self) -> Job | None:
        """The next of the list."""
        return self.waiting.pop() if self.waiting else None

    def on_epoch(self, job: Job, report: EpochReport) -> Answer:
        """A grid gives nothing up."""
        return "go"

    def on_end(self, job: Job, record: Record) -> None:
        """Nothing is learnt."""

    def on_stop(self, job: Job) -> None:
        """Nothing is lost."""


def carry_out(hydra_launcher: Any, jobs: Sequence[Job], outcome: Outcome, batch_size: int | None = None) -> None:
    """Run what is to be run of `jobs`: slot by slot where the launcher can, in batches under Hydra's own."""
    source = JobList(jobs)
    if not source.total:
        return
    launcher = as_launcher(hydra_launcher)
    if launcher is not None:
        build_caches(launcher, source.waiting)
        with View(source.total) as view:
            drive(launcher, source, view, outcome)
        return
    todo = source.waiting[::-1]
    size = batch_size or len(todo)
    for start in range(0, len(todo), size):
        if not outcome.request.is_made():
            launch_batch(hydra_launcher, todo[start : start + size], outcome)


def build_caches(launcher: Launcher | None, jobs: Sequence[Job]) -> None:
    """Decode the images of these jobs once for all slots, where they are on this machine; its progress can be seen."""
    if launcher is None or not launcher.capabilities.this_machine:
        return
    prepared = [job.prepared for job in jobs if job.prepared is not None]
    for one in {key(each.dataset, each.config.data): each for each in prepared}.values():
        build_ahead(one.dataset, one.config.data)


def launch_batch(hydra_launcher: Any, batch: Sequence[Job], outcome: Outcome) -> list[Record]:
    """Run a batch under a launcher of Hydra's own; gives the records."""
    returns = hydra_launcher.launch([list(job.overrides) for job in batch], initial_job_idx=batch[0].number)
    records = []
    for job, result in zip(batch, returns, strict=True):
        outcome.results[job.number] = result
        records.append(finalize(job, result))
        if records[-1].status == "failed":
            outcome.failed.append(job.folder)
    return records


def finish(console: Console, folder: Path, outcome: Outcome) -> list[list[JobReturn]]:
    """Show what came out. Raises SweepEnded when a run failed or the sweep was stopped."""
    show_end(console, folder, outcome.failed)
    if outcome.request.reason and (outcome.request.exit_code or not outcome.failed):
        raise outcome.request.as_error()
    if outcome.failed:
        raise SweepEnded(1, f"{len(outcome.failed)} of the runs failed; the same command again tries them once more")
    return [[outcome.results[number] for number in sorted(outcome.results)]]
