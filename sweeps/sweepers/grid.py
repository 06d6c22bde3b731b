"""hydra/sweeper=grid, the default: all combinations of the values that the command line lists.

Extends Hydra's basic sweeper by `runs:` (a list of small grids), the plan, and an exit code.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from omegaconf import OmegaConf
from rich.console import Console

from sweeps.cancelling import ALL
from sweeps.channel import Answer
from sweeps.controller import detach
from sweeps.controller.drive import Outcome, drive
from sweeps.controller.finalize import finalize
from sweeps.controller.live_state import LiveState
from sweeps.controller.sweep_file import add_aliases
from sweeps.controller.view import View, show_end
from sweeps.controller.weights_budget import budget_of
from sweeps.hydra_glue.private import BasicSweeper, in_quotes, returned
from sweeps.launchers.launcher import Launcher, as_launcher
from sweeps.plan.applicable import check_launcher
from sweeps.plan.data_notices import data_notices
from sweeps.plan.demand import Demands
from sweeps.plan.jobs import TO_RUN, Job, Planner, check_one_sweep, expand, fixed_lines, plan_grid
from sweeps.plan.summary import describe_all, notices, summary
from sweeps.stopping import CANCELLED, RunCancelled, StopRequest, SweepEnded
from sweeps.sweepers.elsewhere import Elsewhere
from training.console.progress import EpochReport
from training.console.table import visible
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
        launcher, folder = as_launcher(self.launcher), Path(str(self.config.hydra.sweep.dir))
        if detach.wanted(self.config) and detach.attach(folder):
            return []
        with contextlib.closing(Elsewhere(launcher, folder)) as elsewhere:
            return self._sweep(arguments, launcher, folder, elsewhere)

    def _sweep(self, arguments: list[str], launcher: Launcher | None, folder: Path, elsewhere: Elsewhere) -> Any:
        assert self.config is not None and self.hydra_context is not None
        detaches = detach.wanted(self.config)
        soon = launcher.warm_up if launcher and not detaches else None
        planner = Planner(self.hydra_context, self.config, soon, elsewhere.kinds)
        check_launcher(self.config)
        lines = expand(self.runs, [*fixed_lines(self.params), *arguments], self.hydra_context.config_loader)
        jobs = plan_grid(planner, lines)
        check_one_sweep(jobs, folder)
        plan_only = jobs[0].run.sweep.plan
        if not plan_only and not detaches:
            jobs = elsewhere.decide(planner, jobs, lambda: plan_grid(planner, lines))
        slots = len(launcher.slots) if launcher else 1
        console = Console()
        described = describe_all(jobs) if plan_only else ()
        for line in [summary(jobs, slots), *elsewhere.notices(jobs), *described, *notices(jobs), *data_notices(jobs)]:
            console.print(visible(line), markup=False, highlight=False, soft_wrap=True)
        if plan_only:
            return []
        if detaches and any(job.state in TO_RUN for job in jobs):
            detach.detach(launcher, folder)
            return []
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, folder / MULTIRUN)
        add_aliases(folder, jobs)
        elsewhere.keep()
        budget = budget_of(jobs[0].run, (job.run for job in jobs))
        outcome = Outcome(request=StopRequest(max_hours=jobs[0].run.sweep.max_hours), budget=budget)
        budget.announce()
        budget.apply()
        carry_out(self.launcher, jobs, outcome, self.max_batch_size)
        return finish(console, folder, outcome)


class JobList:
    """A list of jobs as a source for `drive`."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.waiting = [job for job in jobs if job.state in TO_RUN]  # numbers and files keep the grid's order
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

    def on_cancel(self, job: Job) -> None:
        """The next command finds it unfinished."""

    def planned(self) -> list[Job]:
        """Those that have not been given out."""
        return self.waiting[::-1]


def carry_out(hydra_launcher: Any, jobs: Sequence[Job], outcome: Outcome, batch_size: int | None = None) -> None:
    """Run what is to be run of `jobs`: slot by slot where the launcher can, in batches under Hydra's own."""
    source = JobList(jobs)
    if not source.total:
        return
    todo = source.planned()
    launcher, sweep_folder = as_launcher(hydra_launcher), todo[0].folder.parents[1]
    if launcher is not None:
        build_caches(launcher, todo)
        if getattr(launcher, "longest_first", False):
            source = JobList(todo := Demands().longest_first(todo))
        with View(source.total, sweep_folder, todo, len(launcher.slots)) as view:
            drive(launcher, source, view, outcome, sweep_folder)
        return
    size = batch_size or len(todo)
    with LiveState(sweep_folder, size, hears=False).joined() as live:
        live.plan(todo, len(todo))
        for start in range(0, len(todo), size):
            if not outcome.request.is_made():
                launch_batch(hydra_launcher, todo[start : start + size], outcome, live)


def build_caches(launcher: Launcher | None, jobs: Sequence[Job]) -> None:
    """Decode the images of these jobs once for all slots, where they are on this machine; its progress can be seen."""
    if launcher is None or not launcher.capabilities.this_machine:
        return
    prepared = [job.prepared for job in jobs if job.prepared is not None]
    for one in {key(each.dataset, each.config.data): each for each in prepared}.values():
        build_ahead(one.dataset, one.config.data)


def launch_batch(hydra_launcher: Any, batch: Sequence[Job], outcome: Outcome, live: LiveState) -> list[Record | None]:
    """Run a batch under a launcher of Hydra's own; gives the records, None for a run that was cancelled."""
    lines = [[*job.overrides, planned_folder(job)] for job in batch]
    returns = hydra_launcher.launch(lines, initial_job_idx=batch[0].number)
    records: list[Record | None] = []
    for job, result in zip(batch, returns, strict=True):
        live.left(job.number)
        if isinstance(returned(result), RunCancelled):
            outcome.cancelled.append(job.folder)
            records.append(None)
            continue
        if outcome.keeps_results:
            outcome.results[job.number] = result
        record = finalize(job, result)
        records.append(record)
        if record.status == "failed":
            outcome.failed.append(job.folder)
    if outcome.budget is not None:
        outcome.budget.apply()
    live.write()
    if ALL in live.requests():
        outcome.request.make("cancelled", CANCELLED)
    return records


def planned_folder(job: Job) -> str:
    """The override that gives a job the folder that it was planned with, whatever happens to its images meanwhile."""
    assert job.prepared is not None
    return f"hydra.sweep.subdir={in_quotes(job.prepared.subfolder)}"


def finish(console: Console, folder: Path, outcome: Outcome) -> list[list[JobReturn]]:
    """Show what came out. Raises SweepEnded when a run failed or the sweep was stopped."""
    if outcome.budget is not None:
        outcome.budget.apply()  # what a run that was in use has kept
        if removed := outcome.budget.summary():
            console.print(removed, markup=False, highlight=False, soft_wrap=True)
    show_end(console, folder, outcome.failed)
    if outcome.cancelled:
        console.print(f"{len(outcome.cancelled)} cancelled; the same command takes them up", highlight=False)
    if outcome.request.reason and (outcome.request.exit_code or not outcome.failed):
        raise outcome.request.as_error()
    if outcome.failed:
        raise SweepEnded(1, f"{len(outcome.failed)} of the runs failed; the same command again tries them once more")
    return [[outcome.results[number] for number in sorted(outcome.results)]]
