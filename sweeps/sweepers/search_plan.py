"""The plan of a search in words: what its study holds, how long the trials take, and one point of its space."""

from collections.abc import Sequence

from sweeps.plan.jobs import Job
from sweeps.plan.summary import describe, estimate_minutes, format_minutes
from sweeps.sweepers.space import Space
from sweeps.sweepers.study import Census


def to_run(before: Census, n_trials: int) -> int:
    """How many trials a command will run: failed ones, then points that wait, even beyond n_trials."""
    return before.failed + max(n_trials - before.there, before.waiting)


def plan_line(name: str, before: Census, n_trials: int, first: Job, slots: int) -> str:
    """The plan in one line, and how long it will take where that is known. `name`: the study's."""
    minutes = estimate_minutes([first] * to_run(before, n_trials), slots)
    about = f"; about {format_minutes(minutes)}, if none is pruned" if minutes is not None else ""
    beyond = max(0, before.waiting - max(0, n_trials - before.there))
    parts = [
        f"; {before.failed} failed before and tried again" * bool(before.failed),
        f"; {before.waiting} enqueued" * bool(before.waiting),
        f", {beyond} of them beyond n_trials={n_trials}" * bool(beyond),
        f"; {before.foreign} under way in another program, left to it" * bool(before.foreign),
    ]
    return f"plan: study {name}: {n_trials} trials, of which {before.there} are there{''.join(parts)}{about}"


def point_lines(searched: Space, first: Job) -> Sequence[str]:
    """What `sweep.plan=true` adds: the dimensions that are searched, and one point of them."""
    dimensions = [f"  {key}: {distribution}" for key, distribution in searched.items()]
    return [*dimensions, describe(first).replace("#0  ", "one point of it,")]
