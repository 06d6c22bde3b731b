"""The best configurations of a study once more, with further seeds: the best of one seed is partly luck."""

from collections.abc import Sequence

from optuna.trial import FrozenTrial

from sweeps.plan.jobs import Job, Planner
from sweeps.sweepers.space import SearchSpace


def confirming_jobs(
    planner: Planner, space: SearchSpace, best: Sequence[FrozenTrial], seeds: Sequence[int], first_number: int
) -> list[Job]:
    """These trials with each of these seeds, numbered from `first_number` on. Raises ConfigError."""
    jobs: list[Job] = []
    for trial in best:
        values = {key: value for key, value in trial.params.items() if key != "seed"}
        lines = [line for line in space.overrides(values) if not line.startswith("seed=")]
        for seed in seeds:
            jobs.append(planner.job(first_number + len(jobs), [*lines, f"seed={seed}"]))
    return jobs
