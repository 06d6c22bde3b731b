"""From override lines to checked jobs: composed, named, sorted into what is to be done and what not. Starts nothing.

Both sweepers plan with this, so it holds under any launcher.
"""

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from hydra.types import HydraContext
from omegaconf import DictConfig

from sweeps.hydra_glue.arguments import quote_path
from sweeps.hydra_glue.compose import run_config
from sweeps.hydra_glue.composer import Composer
from sweeps.hydra_glue.private import current_job, grid_of, parse_overrides
from training.code_version import same_results
from training.config import RunConfig
from training.data.dataset import open_dataset
from training.engine.latency import lacks_latency
from training.engine.prepare import Prepared, prepare
from training.errors import ConfigError, Impossible
from training.record import DONE, read_record
from training.run_folder import RECORD, RESUME

State = Literal["new", "resume", "again", "done", "duplicate", "impossible"]
TO_RUN = ("new", "resume", "again")


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
    found: int | None = None  # when the record that lay there was written, in ns

    @property
    def folder(self) -> Path:
        """The run folder."""
        assert self.prepared is not None
        return self.prepared.folder


def fixed_lines(params: Mapping[str, Any] | None) -> list[str]:
    """The override lines of hydra.sweeper.params."""
    return [f"{key}={value}" for key, value in (params or {}).items()]


def expand(runs: Sequence[str], arguments: Sequence[str]) -> list[list[str]]:
    """All override lists of a grid: each line of `runs` is a small grid, times `arguments`, which win over it.

    Raises Hydra's errors for a line that can't be parsed or a sweep that is no list of values.
    """
    jobs: list[list[str]] = []
    for line in runs or [""]:
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise ConfigError(f"hydra.sweeper.runs: {line}: {str(error).lower()}") from error
        overrides = parse_overrides([*map(quote_path, words), *arguments])
        jobs += grid_of(overrides)
    return jobs


class Planner:
    """Composes the jobs of one sweep. `soon`: called once, when a first job looks sound and the slow checks begin."""

    def __init__(self, context: HydraContext, config: DictConfig, soon: Callable[[], None] | None = None) -> None:
        self.composer = Composer(context, config)
        self.soon = soon

    def job(self, number: int, overrides: Sequence[str]) -> Job:
        """Compose, check and name one job. Raises ConfigError and Hydra's errors."""
        composed = self.composer.compose(number, overrides)
        with current_job(composed):
            run = run_config(composed)
        if self.soon is not None and not run.sweep.plan:
            open_dataset(run.data)
            self.soon()
            self.soon = None
        try:
            prepared = prepare(run)
        except Impossible as error:
            return Job(number, tuple(overrides), composed, run, None, "impossible", str(error))
        found = written(prepared.folder)
        return Job(number, tuple(overrides), composed, run, prepared, state_of(prepared), found=found)


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
    """All jobs of a grid. Raises ConfigError, for an impossible one too unless sweep.impossible=skip."""
    jobs: list[Job] = []
    seen: dict[str, int] = {}
    for number, overrides in enumerate(override_lists):
        job = planner.job(number, overrides)
        if job.state == "impossible" and job.run.sweep.impossible == "error":
            line = " ".join(overrides)
            raise ConfigError(f"{job.why} (in `{line}`; sweep.impossible=skip leaves such runs out)")
        if job.prepared is not None and (first := seen.setdefault(job.prepared.subfolder, number)) != number:
            job = replace(job, state="duplicate", why=f"#{first}")
        jobs.append(job)
    return jobs
