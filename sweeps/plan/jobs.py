"""From override lines to checked jobs: composed, named, sorted into what is to be done and what not. Starts nothing.

Both sweepers plan with this, so it holds under any launcher.
"""

import glob
import itertools
import shlex
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import HydraContext
from omegaconf import DictConfig

from sweeps.hydra_glue.arguments import quote_path
from sweeps.hydra_glue.compose import run_config
from sweeps.hydra_glue.composer import Composer
from training.code_version import same_results
from training.config import RunConfig
from training.data.dataset import open_dataset
from training.engine.latency import lacks_latency
from training.engine.prepare import Prepared, prepare
from training.errors import ConfigError, Impossible
from training.names import model_name
from training.record import DONE, read_record
from training.run_folder import RECORD, RESUME

State = Literal["new", "resume", "again", "done", "duplicate", "impossible"]
TO_RUN = ("new", "resume", "again")
WORDS = {
    "new": "new",
    "resume": "to resume",
    "again": "failed before and tried again",
    "done": "done",
    "duplicate": "the same as another",
    "impossible": "impossible",
}


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


def expand(runs: Sequence[str], arguments: Sequence[str]) -> list[list[str]]:
    """All override lists of a grid: each line of `runs` is a small grid, times `arguments`, which win over it.

    Raises Hydra's errors for a line that can't be parsed or a sweep that is no list of values.
    """
    parser = OverridesParser.create()
    jobs: list[list[str]] = []
    for line in runs or [""]:
        overrides = parser.parse_overrides([*map(quote_path, shlex.split(line)), *arguments])
        jobs += list(itertools.chain.from_iterable(BasicSweeper.split_arguments(overrides, None)))
    return jobs


class Planner:
    """Composes the jobs of one sweep. `soon`: called once, when a first job looks sound and the slow checks begin."""

    def __init__(self, context: HydraContext, config: DictConfig, soon: Callable[[], None] | None = None) -> None:
        self.composer = Composer(context, config)
        self.soon = soon

    def job(self, number: int, overrides: Sequence[str]) -> Job:
        """Compose, check and name one job. Raises ConfigError and Hydra's errors."""
        composed = self.composer.compose(number, overrides)
        before = HydraConfig.instance().cfg
        HydraConfig.instance().set_config(composed)
        try:
            run = run_config(composed)
        finally:
            HydraConfig.instance().cfg = before
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


def summary(jobs: Sequence[Job], slots: int) -> str:
    """The plan in one line: how many of each, and how long it will take where that is known."""
    counts = Counter[str](job.state for job in jobs)
    parts = [f"{counts[state]} {word}" for state, word in WORDS.items() if counts[state]]
    line = f"plan: {len(jobs)} run{'s' * (len(jobs) != 1)}: {', '.join(parts)}"
    minutes = estimate_minutes([job for job in jobs if job.state in TO_RUN], slots)
    return line if minutes is None else f"{line}; about {format_minutes(minutes)}"


def estimate_minutes(todo: Sequence[Job], slots: int) -> float | None:
    """How long these jobs will take: those of a model that is not known as long as the others on average."""
    pace = Pace()
    known = [minutes for minutes in map(pace.minutes, todo) if minutes is not None]
    return statistics.mean(known) * len(todo) / min(slots, len(todo)) if known else None


class Pace:
    """How long runs take, by finished ones of the same model in the sweep's folder."""

    def __init__(self) -> None:
        self.minutes_an_epoch: dict[Path, float | None] = {}

    def minutes(self, job: Job) -> float | None:
        """What this job will take, or None where that isn't known."""
        model = model_name(job.run.model._target_, job.run.model.name)
        runs = job.folder.parents[1] / f"{glob.escape(model)}-*"
        if runs not in self.minutes_an_epoch:
            records = [read_record(folder) for folder in runs.parent.glob(f"{runs.name}/seed=*")]
            done = [record for record in records if record is not None and record.status == "done"]
            rates = [one.time.minutes / one.epochs_run for one in done if one.time.minutes and one.epochs_run]
            self.minutes_an_epoch[runs] = statistics.median(rates) if rates else None
        rate = self.minutes_an_epoch[runs]
        return None if rate is None else rate * job.run.trainer.epochs


def format_minutes(minutes: float) -> str:
    """2 s, 3 min, 1 h 20 min."""
    if minutes < 1:
        return f"{60 * minutes:.0f} s"
    if minutes < 90:
        return f"{minutes:.0f} min"
    return f"{minutes // 60:.0f} h {minutes % 60:.0f} min"


def describe(job: Job) -> str:
    """A line for `sweep.plan=true`."""
    why = f" ({job.why})" if job.why else ""
    where = f" -> {job.prepared.subfolder}" if job.prepared is not None else ""
    return f"  #{job.number:<3} {WORDS[job.state]}{why}: {' '.join(job.overrides)}{where}"
