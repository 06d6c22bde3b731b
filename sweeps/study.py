"""An Optuna study that several controllers share and that outlives them: its storage, its count, its lost trials.

Optuna's own heartbeats run only inside study.optimize, and a journal has none, so each running trial carries its
controller's name and the time when that was last alive, as trial attributes, which every storage has.
"""

import contextlib
import json
import os
import platform
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from training.errors import ConfigError
from training.record import RunInUse, lock

JOURNAL = "study.journal"
CONTROLLERS = ".controllers"
BEAT_S = 20.0  # how often a running trial's time is renewed
DEAD_S = 120.0  # a trial of another host is lost when its time is older
COUNTED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


def open_study(
    name: str, storage: Any, folder: Path, sampler: Any, pruner: Any, directions: list[str], space: dict[str, Any]
) -> Study:
    """Create or load the study. Raises ConfigError when it was made for another search space or other objectives."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    backend: Any = storage
    if storage is None:
        folder.mkdir(parents=True, exist_ok=True)
        backend = JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
    study = optuna.create_study(
        study_name=name,
        storage=backend,
        sampler=sampler,
        pruner=pruner,
        directions=directions,  # type: ignore[arg-type]
        load_if_exists=True,
    )
    there = [direction.name.lower() for direction in study.directions]
    if there != directions:
        raise ConfigError(
            f"study {name} was made to {', '.join(there)}, not to {', '.join(directions)}: {_way_out(name)}"
        )
    known = study.user_attrs.get("search_space")
    if known is None:
        study.set_user_attr("search_space", space)
    elif known != space:
        raise ConfigError(
            f"the search space of study {name} has changed: {_difference(known, space)}; {_way_out(name)}"
        )
    return study


def _way_out(name: str) -> str:
    return f"choose another sweep.name (or hydra.sweeper.study_name), or remove study {name}"


def describe_space(distributions: dict[str, BaseDistribution], fixed: dict[str, Any], objective: list[str]) -> Any:
    """What must not change under a study, as JSON."""
    space: dict[str, Any] = {name: json.loads(distribution_to_json(item)) for name, item in distributions.items()}
    return {"objective": objective, "search": space, "fixed": {key: str(value) for key, value in fixed.items()}}


def _difference(old: dict[str, Any], new: dict[str, Any]) -> str:
    for part in ("objective", "search", "fixed"):
        if old.get(part) == new.get(part):
            continue
        if part == "objective":
            return f"objective was {', '.join(old[part])}, now {', '.join(new[part])}"
        for key in {**old[part], **new[part]}:
            if old[part].get(key) != new[part].get(key):
                return f"{key} was {_short(old[part].get(key))}, now {_short(new[part].get(key))}"
    return "it was made by another version"


def _short(value: Any) -> str:
    if isinstance(value, dict) and "attributes" in value:
        shown = {key: item for key, item in value["attributes"].items() if item not in (None, False)}
        return ", ".join(f"{key} {item}" for key, item in shown.items())
    return "not there" if value is None else str(value)


class Membership:
    """This controller's part in a study: what it runs, and that it is alive."""

    def __init__(self, study: Study, folder: Path) -> None:
        self.study, self.folder = study, folder / CONTROLLERS
        self.name = f"{platform.node()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self.mine: dict[int, Trial] = {}
        self.last_beat = 0.0

    @contextlib.contextmanager
    def joined(self) -> Iterator[None]:
        """Hold this controller's lock: on this host its release tells others at once that it is gone."""
        with lock(self.folder / self.name):
            try:
                yield
            finally:
                for file in (self.folder / self.name).iterdir():
                    file.unlink()
                (self.folder / self.name).rmdir()

    def take(self, trial: Trial) -> None:
        """Mark a trial as run by this controller."""
        trial.set_user_attr("controller", self.name)
        trial.set_user_attr("alive", time.time())
        self.mine[trial.number] = trial

    def drop(self, trial: Trial) -> None:
        """The trial is over, or left for whoever comes next."""
        self.mine.pop(trial.number, None)

    def release(self, trial: Trial) -> None:
        """Leave a stopped trial to the next controller, at once."""
        trial.set_user_attr("alive", 0.0)
        self.drop(trial)

    def beat(self) -> None:
        """Renew the time of all trials of ours, every BEAT_S."""
        if time.monotonic() - self.last_beat < BEAT_S:
            return
        self.last_beat = time.monotonic()
        for trial in self.mine.values():
            trial.set_user_attr("alive", time.time())

    def adopt(self) -> Trial | None:
        """A trial whose controller is gone, now ours, with its number and folder; None where there is none."""
        lost = [frozen for frozen in self._running() if self._is_lost(frozen)]
        if not lost:
            return None
        with lock(self.folder, wait_s=60):  # one controller at a time looks again and takes
            for frozen in self._running():
                if self._is_lost(frozen):
                    trial = Trial(self.study, frozen._trial_id)
                    self.take(trial)
                    return trial
        return None

    def _running(self) -> list[FrozenTrial]:
        return [
            trial
            for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            if trial.number not in self.mine
        ]

    def _is_lost(self, trial: FrozenTrial) -> bool:
        owner = trial.user_attrs.get("controller")
        if owner is None:  # just asked for, or its controller died between two steps
            started = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
            return time.time() - started > DEAD_S
        if trial.user_attrs.get("alive", 0.0) == 0.0:
            return True
        if owner.startswith(f"{platform.node()}-"):
            return not _held(self.folder / owner)
        return bool(time.time() - trial.user_attrs["alive"] > DEAD_S)


def _held(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    try:
        with lock(folder):
            return False
    except RunInUse:
        return True


def counted(study: Study) -> int:
    """Trials that count towards n_trials: done, pruned, diverged, finally failed, and those under way."""
    trials = study.get_trials(deepcopy=False)
    return sum(_counts(trial) for trial in trials)


def _counts(trial: FrozenTrial) -> bool:
    if trial.state is TrialState.RUNNING:
        return True
    return trial.state in COUNTED and not trial.user_attrs.get("surplus", False)


def is_surplus(study: Study, trial: Trial, n_trials: int) -> bool:
    """Whether controllers that asked at the same moment made one trial too many, and it is this one."""
    earlier = [item for item in study.get_trials(deepcopy=False) if item.number <= trial.number and _counts(item)]
    return len(earlier) > n_trials
