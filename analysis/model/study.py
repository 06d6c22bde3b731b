"""What an Optuna study says beyond its runs: which settings matter, what more trials bring, edges of its space."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from analysis.statistics.inference import expected_best
from training.run_folder import MULTIRUN

JOURNAL = "study.journal"
ENOUGH = 8  # finished trials, from which on importance is worth a line
EDGE = 0.05  # of a range, in which a best value counts as at its end
SHOWN = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True)
class Found:
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


def studies(folders: Iterable[Path]) -> list[Found]:
    """The studies behind these sweep folders; one that can't be opened is passed over."""
    return [found for folder in folders if (found := open_study(folder)) is not None]


def open_study(sweep: Path) -> Found | None:
    """The study that the sweep in this folder asked, or None where it asked none."""
    try:
        sweeper: Any = OmegaConf.select(OmegaConf.load(sweep / MULTIRUN), "hydra.sweeper")
        asked: Any = OmegaConf.to_container(sweeper, resolve=False) if sweeper is not None else {}
    except (OSError, ValueError, OmegaConfBaseException):
        return None
    url = asked.get("storage")
    if "sampler" not in asked or not (isinstance(url, str) or (sweep / JOURNAL).exists()):
        return None
    import optuna  # here, since most reports have no study
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        storage = url if isinstance(url, str) else JournalStorage(JournalFileBackend(str(sweep / JOURNAL)))
        study = optuna.load_study(study_name=str(asked.get("study_name") or sweep.name), storage=storage)
    except Exception:  # a database that is not there, a study of another name: the runs are told all the same
        return None
    objective = asked.get("objective") or study.metric_names or "val_acc"  # null: trainer.monitor, as the study says
    first = str(objective if isinstance(objective, str) else objective[0])
    sampler = str((asked.get("sampler") or {}).get("_target_", ""))
    sign = 1 if study.directions[0].name == "MAXIMIZE" else -1
    return Found(study, first, sign, sampler.endswith("RandomSampler"))


def progress(found: Found) -> str:
    """The expected best of so many random trials, or the best so far of trials that learn from each other."""
    values = found.values
    if len(values) < 3:
        return ""
    counts = [count for count in SHOWN if count < len(values)] + [len(values)]
    curve = best_curve(found)
    told = ", ".join(f"{curve[count - 1]:.2f} after {count}" for count in counts)
    what = "expected best (Dodge et al. 2019)" if found.random else "best so far"
    return f"Study {found.study.study_name}: {what} {found.objective} of its {len(values)} finished trials: {told}."


def best_curve(found: Found) -> list[float]:
    """The best value after 1, 2, ... trials: expected where they are random draws, else as it went."""
    signed = found.sign * np.array(found.values)
    if found.random:
        return [found.sign * expected_best(signed.tolist(), count) for count in range(1, len(signed) + 1)]
    return (found.sign * np.maximum.accumulate(signed)).tolist() if len(signed) else []


def importance(found: Found) -> dict[str, float]:
    """Share of the variance of the first objective that each setting explains (fANOVA, Hutter et al. 2014, ICML)."""
    varied = [name for name in found.study.get_trials(deepcopy=False)[0].params] if found.trials else []
    if len(found.trials) < ENOUGH or len(varied) < 2 or len(set(found.values)) < 2:
        return {}
    import optuna

    try:
        return dict(
            optuna.importance.get_param_importances(
                found.study,
                evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0),
                target=lambda trial: float(trial.values[0]),
            )
        )
    except (ValueError, RuntimeError):  # a space that changed from trial to trial
        return {}


def importance_line(found: Found) -> str:
    """Importance in words."""
    shares = importance(found)
    told = ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares.items())
    return f"What explains {found.objective} in the search (fANOVA): {told}." if told else ""


def edges(found: Found) -> list[str]:
    """Settings in which the best trial lies at an end of the range that was searched."""
    if not found.trials:
        return []
    best = max(found.trials, key=lambda trial: found.sign * trial.values[0])
    lines = []
    for name, space in best.distributions.items():
        low, high, value = getattr(space, "low", None), getattr(space, "high", None), best.params[name]
        if low is None or high is None or low == high:
            continue
        place = position(float(value), float(low), float(high), bool(getattr(space, "log", False)))
        if not EDGE < place < 1 - EDGE:
            lines.append(f"the best trial's {name}={value:g} is at the end of its range ({low:g} to {high:g})")
    return lines


def position(value: float, low: float, high: float, log: bool) -> float:
    """Where `value` is between `low` (0) and `high` (1), on the scale that was searched."""
    if log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return (value - low) / (high - low)
