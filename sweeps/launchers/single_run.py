"""A run without -m beside others on one machine: it starts when it is told to, with the CPU cores that they leave.

Two trainings that each use all cores stall each other: threads of one step wait for each other, some by spinning, while
the other run has their cores (docs/sweeps.md has figures). So trainer.threads=auto is what claims of sweeps (claims.py)
and earlier single runs leave, at least one. A single run's file is of the same kind; sweeps don't wait for it.
"""

import contextlib
import logging
import os
from collections.abc import Iterator

from sweeps.launchers.claims import CLAIM, INSIDE, SINGLE, Need, OwnedFile, Owner, exclusive, living, new_name
from sweeps.launchers.slots import cpu_cores
from training.config import TrainerConfig
from training.device import may_have_gpu, resolve_threads
from training.schema.checks import AUTO

VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")

log = logging.getLogger(__name__)


@contextlib.contextmanager
def beside_others(config: TrainerConfig, name: str, resumed: bool) -> Iterator[None]:
    """Settle how many CPU threads `auto` is for the run `name` in this process, and say so to later ones while it
    lasts. A `resumed` run keeps the threads that it began with. On a GPU, in a slot of a sweep, or where the folder for
    that can't be used, nothing happens. Raises ConfigError for a FINEGRID_RUNTIME that can't be used."""
    on_cpu = config.device == "cpu" or (config.device == AUTO and not may_have_gpu())
    if not on_cpu or os.environ.get(INSIDE):
        yield
        return
    before = {variable: os.environ.get(variable) for variable in VARIABLES}
    file = None
    try:
        with contextlib.suppress(OSError), exclusive() as folder:
            if folder is not None:
                others = [*living(folder, CLAIM), *living(folder, SINGLE)]
                threads = _threads(config.threads, others, resumed)
                content = Owner(os.getpid(), name, (Need("cpu", threads, cpu_cores()),))
                file = OwnedFile(folder / new_name(SINGLE), content)
        yield
    finally:
        if file is not None:
            file.remove()
        for variable, value in before.items():
            os.environ.pop(variable, None)
            if value is not None:
                os.environ[variable] = value


def _threads(wanted: int | str, others: list[Owner], resumed: bool) -> int:
    """How many this run has; for `auto` written where resolve_threads finds it."""
    most = resolve_threads(wanted)
    unused = Need("cpu", most, cpu_cores()).left([need for owner in others for need in owner.needs])
    left = max(1, min(most, round(unused)))
    if wanted != AUTO or resumed or left == most:
        return most
    os.environ.update(dict.fromkeys(VARIABLES, str(left)))
    who = "; ".join(dict.fromkeys(owner.text for owner in others))
    log.info(
        f"{left} of {most} CPU threads, as others train on this machine: {who}. trainer.threads={most} takes all, "
        "which makes each of them slower"
    )
    return left
