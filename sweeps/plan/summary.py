"""The plan in words: how many runs of each kind, how long they will take, a line for each."""

import glob
import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sweeps.plan.applicable import left_out
from sweeps.plan.finished_before import FinishedBefore
from sweeps.plan.jobs import TO_RUN, Job
from sweeps.plan.longer import longer_than_finished
from training.record import read_record
from training.schema.settings import model_name

WORDS = {
    "new": "new",
    "resume": "to resume",
    "again": "failed before and tried again",
    "done": "done",
    "duplicate": "the same as another",
    "impossible": "impossible",
}


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
        network = job.run.model
        model = model_name(network._target_, network.name, network.accepts)
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


def notices(jobs: Sequence[Job]) -> list[str]:
    """What isn't as it seems: keys that don't apply to some runs, and runs that are finished ones with more epochs."""
    longer, finished = [], FinishedBefore()
    for job in jobs:
        if job.state == "new" and job.prepared is not None and (line := longer_than_finished(job.prepared, finished)):
            longer.append(f"#{job.number} {line}")
    return [*left_out(jobs), *longer, *licences(jobs)]


def licences(jobs: Sequence[Job]) -> list[str]:
    """Of the initial weights, a line for each licence that is told."""
    weights: dict[str, dict[str, None]] = {}
    for prepared in (job.prepared for job in jobs if job.prepared is not None):
        if prepared.licence is not None:
            name = f"{prepared.config.model.name.partition('.')[0]}.{prepared.resolved.weights.lower()}"
            weights.setdefault(prepared.licence, {})[name] = None
    return [f"weights under the licence {licence}: {', '.join(names)}" for licence, names in weights.items()]


def describe_all(jobs: Sequence[Job]) -> list[str]:
    """The lines of `sweep.plan=true`: what all runs have in common once, then each run."""
    fixed = [one for one in jobs[0].overrides if all(one in job.overrides for job in jobs)] if len(jobs) > 1 else []
    common = [f"  all runs: {' '.join(fixed)}"] if fixed else []
    reasons: dict[str, list[Job]] = {}
    for job in jobs:
        reasons.setdefault(job.why, []).append(job)
    several = {why: of for why, of in reasons.items() if why.partition(": ")[2] and len(of) > 1}
    below = [f"  of {_numbers(of)}: {why}" for why, of in several.items()]
    return [*common, *(describe(job, fixed, brief=job.why in several) for job in jobs), *below]


def _numbers(jobs: Sequence[Job]) -> str:
    """#0, #1, #2, #3, #4 and 7 more."""
    first = ", ".join(f"#{job.number}" for job in jobs[:5])
    return first if len(jobs) <= 5 else f"{first} and {len(jobs) - 5} more"


def describe(job: Job, said: Sequence[str] = (), brief: bool = False) -> str:
    """A run of the plan in a line, without the overrides that are `said` already. `brief`: without what follows the
    colon of its reason, which is told once for all runs that share it."""
    reason = job.why.partition(": ")[0] if brief else job.why
    why = f" ({reason})" if reason else ""
    without = f", without {', '.join(job.left_out)}" if job.left_out else ""
    where = f" -> {job.prepared.subfolder}" if job.prepared is not None else ""
    own = "".join(f" {one}" for one in job.overrides if one not in said)
    return f"  #{job.number:<3} {WORDS[job.state]}{without}{why}:{own}{where}"
