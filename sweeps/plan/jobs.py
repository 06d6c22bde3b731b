"""From override lines to checked jobs: composed, named, sorted into what is to be done and what not. Starts nothing.

Both sweepers plan with this, so it holds under any launcher.
"""

import dataclasses
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from hydra.core.config_loader import ConfigLoader
from hydra.types import HydraContext
from omegaconf import DictConfig

from sweeps.hydra_glue.arguments import quoted
from sweeps.hydra_glue.compose import run_config
from sweeps.hydra_glue.composer import Composer
from sweeps.hydra_glue.private import current_job, grid_of, parse_overrides
from sweeps.plan.applicable import check_used, ignored_keys, on_this_machine, to_drop, without
from training.config import RunConfig
from training.data.dataset import open_dataset
from training.device import Kind, check_threads
from training.engine.latency import lacks_latency
from training.engine.prepare import Prepared, prepare
from training.errors import ConfigError, Impossible
from training.models.weights import not_checked
from training.provenance.code_version import same_results
from training.record import DONE, read_record
from training.run_folder import RECORD, RESUME

State = Literal["new", "resume", "again", "done", "duplicate", "impossible"]
TO_RUN = ("new", "resume", "again")
WAYS_OUT = "sweep.impossible=skip leaves such runs out; hydra.sweeper.runs lists small grids of what goes together"


@dataclass(frozen=True)
class Job:
    """One run of a sweep, composed and checked. An impossible one has no `prepared`, and says why."""

    number: int
    overrides: tuple[str, ...]
    config: DictConfig  # with its hydra node
    run: RunConfig
    prepared: Prepared | None
    state: State
    why: str = ""
    left_out: tuple[str, ...] = ()  # keys that don't apply to its choices
    found: int | None = None  # when the record that lay there was written, in ns

    @property
    def folder(self) -> Path:
        """The run folder."""
        assert self.prepared is not None
        return self.prepared.folder


def fixed_lines(params: Mapping[str, Any] | None) -> list[str]:
    """The override lines of hydra.sweeper.params."""
    return [f"{key}={value}" for key, value in (params or {}).items()]


def expand(runs: Sequence[str], arguments: Sequence[str], loader: ConfigLoader | None = None) -> list[list[str]]:
    """All override lists of a grid: each line of `runs` is a small grid, times `arguments`, which win over it.
    `loader`: knows the choices of config groups, for glob().

    Raises Hydra's errors for a line that can't be parsed or a sweep that is no list of values, ConfigError for one
    without values.
    """
    jobs: list[list[str]] = []
    for line in runs or [""]:
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise ConfigError(f"hydra.sweeper.runs: {line}: {str(error).lower()}") from error
        overrides = parse_overrides([*map(quoted, words), *arguments], loader)
        jobs += grid_of(overrides)
    return jobs


class Planner:
    """Composes the jobs of one sweep. `soon`: called once, when a first job looks sound and the slow checks begin.
    `kinds`: on what runs are carried out elsewhere, as of training.device.resolve_compute."""

    def __init__(
        self,
        context: HydraContext,
        config: DictConfig,
        soon: Callable[[], None] | None = None,
        kinds: Sequence[Kind] | None = None,
    ) -> None:
        self.composer = Composer(context, config)
        self.soon, self.kinds = soon, kinds

    def job(self, number: int, overrides: Sequence[str]) -> Job:
        """Compose, check and name one job. Raises ConfigError and Hydra's errors."""
        composed = self.composer.compose(number, overrides)
        dropped = to_drop(composed)
        if dropped:
            overrides = without(overrides, dropped)
            composed = self.composer.compose(number, overrides)
        with current_job(composed):
            run = run_config(composed)
        if on_this_machine(composed):
            check_threads(run.trainer.threads)
        ignored = (*dropped, *ignored_keys(run))
        if self.soon is not None and not run.sweep.plan:
            open_dataset(run.data)
            self.soon()
            self.soon = None
        try:
            prepared = prepare(run, kinds=self.kinds)
            why = not_checked(run.model, prepared.resolved.weights) if run.sweep.plan else ""
        except Impossible as error:
            return Job(number, tuple(overrides), composed, run, None, "impossible", str(error), ignored)
        found, state = written(prepared.folder), state_of(prepared)
        return Job(number, tuple(overrides), composed, run, prepared, state, why, ignored, found)


def state_of(prepared: Prepared) -> State:
    """What lies in the run folder: a result, a beginning, a failure, nothing."""
    folder = prepared.folder
    record = read_record(folder)
    if record is not None and record.status in DONE:
        current = same_results(record.code_version)
        if prepared.config.sweep.stale == "rerun" and not current:
            return "new"
        return "resume" if lacks_latency(prepared.config, record) else "done"
    if record is not None and record.status == "failed":
        return "again"
    return "resume" if (folder / RESUME).exists() else "new"


def written(folder: Path) -> int | None:
    """When the record in a run folder was written, in ns; None where there is none."""
    try:
        return (folder / RECORD).stat().st_mtime_ns
    except OSError:
        return None


def plan_grid(planner: Planner, override_lists: Iterable[Sequence[str]]) -> list[Job]:
    """All jobs of a grid. Raises ConfigError, for an impossible one too unless sweep.impossible=skip, and where all
    are."""
    jobs: list[Job] = []
    seen: dict[str, int] = {}
    for number, overrides in enumerate(override_lists):
        job = planner.job(number, overrides)
        if job.state == "impossible" and job.run.sweep.impossible == "error":
            line = " ".join(overrides)
            raise ConfigError(f"{job.why} (in `{line}`; {WAYS_OUT})")
        if job.prepared is not None and (first := seen.setdefault(job.prepared.subfolder, number)) != number:
            job = replace(job, state="duplicate", why=f"#{first}")
        jobs.append(job)
    if all(job.state == "impossible" for job in jobs):
        raise ConfigError(f"no run of this grid is possible: {jobs[0].why}")
    check_used(jobs, "run of this grid")
    return jobs


def check_one_sweep(jobs: Sequence[Job], folder: Path) -> None:
    """All runs of a grid lie in one folder and go by the same settings of sweep.*. Raises ConfigError."""
    first = dataclasses.asdict(jobs[0].run.sweep)
    for job in jobs:
        own = dataclasses.asdict(job.run.sweep)
        for key, value in own.items():
            if value != first[key]:
                raise ConfigError(
                    f"sweep.{key} is {first[key]} for one run of this grid and {value} for another, but a sweep has "
                    "one: start one sweep for each"
                )
    sweep = jobs[0].run.sweep
    wanted = Path(sweep.root) / sweep.name
    if folder.absolute() != wanted.absolute():
        raise ConfigError(
            f"runs lie in {wanted} (sweep.root/sweep.name), and hydra.sweep.dir is {folder}: set sweep.root and "
            "sweep.name for the whole sweep, not in hydra.sweeper.params or runs, and leave hydra.sweep.dir as it is"
        )
