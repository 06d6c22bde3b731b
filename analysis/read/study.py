"""The Optuna study behind a sweep, as its folder or database holds it."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from training.run_folder import MULTIRUN

JOURNAL = "study.journal"


@dataclass(frozen=True)
class StudyResult:
    """A study, what it optimizes first and which way, and whether its trials are random draws."""

    study: Any  # optuna.study.Study
    objective: str
    sign: int  # 1 where more is better, else -1
    random: bool

    @property
    def values(self) -> list[float]:
        """First objective's values of the finished trials, in the order of their numbers."""
        return [trial.values[0] for trial in self.trials]

    @cached_property
    def trials(self) -> list[Any]:
        """The finished trials, in the order of their numbers."""
        return [trial for trial in self.study.get_trials(deepcopy=False) if trial.state.name == "COMPLETE"]


def studies(folders: Iterable[Path]) -> list[StudyResult]:
    """The studies behind these sweep folders; one that can't be opened is passed over."""
    return [found for folder in folders if (found := open_study(folder)) is not None]


def open_study(sweep: Path) -> StudyResult | None:
    """The study of the sweep in this folder; None where there is none, or none that can be opened."""
    try:
        sweeper: Any = OmegaConf.select(OmegaConf.load(sweep / MULTIRUN), "hydra.sweeper")
        config: Any = OmegaConf.to_container(sweeper, resolve=False) if sweeper is not None else {}
    except (
        OSError,
        ValueError,
        AttributeError,
        RecursionError,
        OmegaConfBaseException,
        YAMLError,
    ):  # no config of Hydra's
        return None
    if not isinstance(config, dict):
        return None
    url = config.get("storage")
    if "sampler" not in config or not (isinstance(url, str) or (sweep / JOURNAL).exists()):
        return None
    import optuna  # here, since most reports have no study
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        storage = url if isinstance(url, str) else JournalStorage(JournalFileBackend(str(sweep / JOURNAL)))
        study = optuna.load_study(study_name=str(config.get("study_name") or sweep.name), storage=storage)
    except Exception:  # a database that is gone, a study of another name: the report does without
        return None
    objective = config.get("objective") or study.metric_names or "val_acc"  # null: trainer.monitor, as the study says
    first = str(objective if isinstance(objective, str) else objective[0])
    sampler = str((config.get("sampler") or {}).get("_target_", ""))
    sign = 1 if study.directions[0].name == "MAXIMIZE" else -1
    return StudyResult(study, first, sign, sampler.endswith("RandomSampler"))
