"""The sweep's own file: under which names its runs were asked for, and what a search with several objectives wants.

`weights=default` and `weights=imagenet1k_v1` are one configuration of a resnet18, and one run. Its record knows one of
the names; sweep.json in the sweep's folder keeps them all: {"asked": {"<slug>-<identity>/seed=0": ["default", ...]}},
and, for the report's Pareto mark, {"objectives": {"val_acc": "maximize", "params": "minimize"}}. Where runs are carried
out on other machines, {"computes_on": [{"name": "a100", ...}]} is what trainer.precision=auto goes by, and
{"threads": 8} what trainer.threads=auto is on CPUs.
"""

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from sweeps.launchers.workers.kinds import as_json, from_json
from sweeps.plan.jobs import Job
from training.device import Kind
from training.run_folder import ASKED, RunInUse, lock, read_json, write_json

KINDS, THREADS = "computes_on", "threads"


def add_aliases(sweep_folder: Path, jobs: Iterable[Job], objectives: dict[str, str] | None = None) -> None:
    """Add the names of these jobs, and the objectives with their directions, to the sweep's file."""
    with lock(sweep_folder, wait_s=30):
        content = read_json(sweep_folder / ASKED)
        aliases = content["asked"] = found if isinstance(found := content.get("asked"), dict) else {}
        for prepared in [job.prepared for job in jobs if job.prepared is not None]:
            known = aliases.get(prepared.subfolder)
            names = aliases[prepared.subfolder] = known if isinstance(known, list) else []
            if prepared.config.weights.source not in names:
                names.append(prepared.config.weights.source)
        if objectives:
            content["objectives"] = objectives
        write_json(sweep_folder / ASKED, content)


def stored_kinds(sweep_folder: Path) -> tuple[Kind, ...]:
    """What this sweep's runs compute on, as the first command or worker has fixed it; nothing where none has."""
    found = read_json(sweep_folder / ASKED).get(KINDS)
    kinds = [from_json(one) for one in found] if isinstance(found, list) else []
    return tuple(kind for kind in kinds if kind is not None)


def store_kinds(sweep_folder: Path, kinds: Sequence[Kind], replace: bool = False) -> tuple[Kind, ...]:
    """Fix it, unless another controller was first (but with `replace`); gives what holds."""
    with lock(sweep_folder, wait_s=30):
        if (before := stored_kinds(sweep_folder)) and not replace:
            return before
        content = read_json(sweep_folder / ASKED)
        content[KINDS] = [as_json(kind) for kind in kinds]
        write_json(sweep_folder / ASKED, content)
    return tuple(kinds)


def stored_threads(sweep_folder: Path) -> int | None:
    """What trainer.threads=auto is in this sweep on CPUs of other machines; None where nothing has fixed it."""
    found = read_json(sweep_folder / ASKED).get(THREADS)
    return found if isinstance(found, int) and not isinstance(found, bool) and found >= 1 else None


def store_threads(sweep_folder: Path, threads: int) -> None:
    """Fix it, unless it is. Where that can't be written the next command asks anew."""
    with contextlib.suppress(OSError, RunInUse), lock(sweep_folder, wait_s=30):
        if stored_threads(sweep_folder) is None:
            write_json(sweep_folder / ASKED, read_json(sweep_folder / ASKED) | {THREADS: threads})
