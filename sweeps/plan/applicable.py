"""Keys that don't apply to the choices of one run: left out of it, and told. A grid of `weights=none,checkpoint
weights.path=FILE` means the path for those runs that have a checkpoint.
"""

import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from sweeps.hydra_glue.private import parse_overrides
from training.config import RunConfig
from training.errors import ConfigError
from training.schema.checks import need

if TYPE_CHECKING:
    from sweeps.plan.jobs import Job

# A run with these would be refused: each key with the choice that it is for.
APPLIES = {"weights.path": "weights=checkpoint", "data.fold": "data.folds=K"}
REMOTE = ("SlurmLauncher", "RayLauncher", "RayAWSLauncher", "FolderWorkersLauncher")  # their runs are on other machines


def to_drop(composed: DictConfig) -> list[str]:
    """The keys of APPLIES that are set and don't apply."""
    dropped = []
    for key, condition in (("weights.path", "weights.source"), ("data.fold", "data.folds")):
        chosen = OmegaConf.select(composed, condition)
        applies = chosen == "checkpoint" if key == "weights.path" else chosen is not None
        if not applies and OmegaConf.select(composed, key) is not None:
            dropped.append(key)
    return dropped


def without(overrides: Sequence[str], keys: Iterable[str]) -> list[str]:
    """The override lines with these keys at null."""
    kept = [line for line in overrides if parse_overrides([line])[0].key_or_group not in keys]
    return [*kept, *(f"{key}=null" for key in keys)]


def check_used(jobs: Iterable["Job"], whose: str) -> None:
    """Raise ConfigError for a key of APPLIES that none of these jobs can use: it was set for something. `whose`: what
    they are, "run of this grid"."""
    jobs = list(jobs)
    for key, condition in APPLIES.items():
        if all(key in job.left_out for job in jobs):
            raise ConfigError(f"{key} is only for {condition}, which no {whose} has")


def ignored_keys(run: RunConfig) -> list[str]:
    """Keys that are set, that no choice of this run looks at, and that the identity leaves out, too."""
    model = run.model
    ignored = [key for key in ("drop_path", "dropout") if getattr(model, key) is not None and key not in model.accepts]
    found = [f"model.{key}" for key in ignored]
    if run.scheduler._target_ is None and run.scheduler.kwargs:
        found.append("scheduler.kwargs")
    return found


def check_launcher(config: DictConfig) -> None:
    """Raise ConfigError where runs can't be handed to the launcher from here."""
    slurm = str(OmegaConf.select(config, "hydra.launcher._target_")).endswith("SlurmLauncher")
    need(not slurm or shutil.which("srun") is not None, "hydra/launcher=submitit_slurm: there is no srun here")


def left_out(jobs: Iterable["Job"]) -> list[str]:
    """What is left out of which share of the runs, a line for each key."""
    jobs = list(jobs)
    counts = Counter(key for job in jobs for key in job.left_out)
    return [f"{key} doesn't apply to {count} of these runs, and is left out there" for key, count in counts.items()]


def left_out_of_search(corners: Sequence["Job"]) -> list[str]:
    """The same for the corners of a search space, which are not runs."""
    counts = Counter(key for job in corners for key in job.left_out)
    whole = {len(corners): "any trial"}
    return [
        f"{key} doesn't apply to {whole.get(count, 'some of the choices')}, and is left out there"
        for key, count in counts.items()
    ]


def on_this_machine(composed: DictConfig) -> bool:
    """Whether runs are carried out here, so that this machine's cores count."""
    target = str(OmegaConf.select(composed, "hydra.launcher._target_"))
    return not target.endswith(REMOTE)
