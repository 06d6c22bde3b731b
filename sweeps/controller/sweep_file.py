"""The sweep's own file: under which names its runs were asked for, and what a search with several objectives wants.

`weights=default` and `weights=imagenet1k_v1` are one configuration of a resnet18, and one run. Its record knows one of
the names; sweep.json in the sweep's folder keeps them all: {"asked": {"<slug>-<identity>/seed=0": ["default", ...]}},
and, for the report's Pareto mark, {"objectives": {"val_acc": "maximize", "params": "minimize"}}.
"""

from collections.abc import Iterable
from pathlib import Path

from sweeps.plan.jobs import Job
from training.run_folder import ASKED, lock, read_json, write_json


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
