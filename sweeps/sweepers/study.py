"""An Optuna study that several controllers share and that outlives them: its storage, its count, its lost trials.

Optuna's own heartbeats run only inside study.optimize, and a journal has none, so each running trial carries its
controller's name and the time when that was last alive, as trial attributes, which every storage has.
"""

import contextlib
import os
import platform
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from sweeps.cancelling import CONTROLLERS
from sweeps.controller.finalize import in_use
from sweeps.controller.live_state import clear_dead
from sweeps.sweepers.journal import JOURNAL, mend
from sweeps.sweepers.optuna_private import is_enqueued, mark_waiting, take_up
from sweeps.sweepers.space import check_same
from sweeps.sweepers.storage import (
    backend,
    clock_offset_s,
    exclusive,
    file_of,
    name_in,
    storage_errors_told,
)
from training.errors import ConfigError
from training.run_folder import lock

BEAT_S = 20.0  # how often a running trial's time is renewed
DEAD_S = 120.0  # a trial of another host is lost when its time is older


@dataclass(frozen=True)
class Wanted:
    """The study that a command asks for. `named`: it gave the name as hydra.sweeper.study_name. `check`: raises
    ConfigError where earlier trials came from something else than what `space` describes."""

    name: str
    named: bool
    storage: Any
    folder: Path
    directions: list[str]
    space: dict[str, Any]
    check: Callable[[Study], None]
    read_before: Mapping[str, str]  # how earlier versions read the same images, by the fingerprint that this gave


def open_study(wanted: Wanted) -> Study:
    """Create or load the study. Raises ConfigError when it was made for another search space or other objectives."""
    folder = wanted.folder
    existed = folder.exists()
    try:
        file_of(wanted.storage, folder)  # a mistake in the URL comes first
        with contextlib.ExitStack() as held:
            with storage_errors_told(wanted.storage):  # two that make the tables of one database fall over each other
                held.enter_context(exclusive(wanted.storage, folder, wanted.name))
            if wanted.storage is None:
                mend(folder / JOURNAL)
            study = existing_study(wanted)  # refused, if so, before it is written to
            return study if study is not None else _create(wanted)
    except ConfigError:
        if not existed:
            shutil.rmtree(folder)
            with contextlib.suppress(OSError):
                folder.parent.rmdir()
        raise


def _create(wanted: Wanted) -> Study:
    with storage_errors_told(wanted.storage):
        where: Any = backend(wanted.storage, wanted.folder)
        ways: Any = wanted.directions
        study = optuna.create_study(study_name=wanted.name, storage=where, directions=ways)
        study.set_user_attr("search_space", wanted.space)
        study.set_metric_names(list(wanted.space["objective"]))  # for the axes of Optuna's pictures and dashboard
    return study


def existing_study(wanted: Wanted) -> Study | None:
    """The study if it exists, and nothing made where it doesn't. Raises ConfigError as open_study does."""
    file = file_of(wanted.storage, wanted.folder)
    if file is not None and not file.exists():
        return None
    name = name_in(wanted.storage, wanted.folder, wanted.name, wanted.named)
    try:
        with storage_errors_told(wanted.storage):
            study = optuna.load_study(study_name=name, storage=backend(wanted.storage, wanted.folder))
    except KeyError:
        return None
    return _checked(study, wanted)


def _checked(study: Study, wanted: Wanted) -> Study:
    name, before = study.study_name, [direction.name.lower() for direction in study.directions]
    if (known := study.user_attrs.get("search_space")) is not None:
        check_same(name, known, wanted.space, wanted.read_before)
    if before != wanted.directions:
        raise ConfigError(f"study {name} was made to {', '.join(before)}, not to {', '.join(wanted.directions)}")
    wanted.check(study)
    return study


class Membership:
    """This controller's part in a study: what it runs, and that it is alive."""

    def __init__(self, study: Study, folder: Path, storage: Any) -> None:
        self.study, self.folder, self.storage = study, folder, storage
        self.in_folder = storage is None  # the study lies in the sweep's folder, and so do all its controllers
        self.name = f"{platform.node()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self.trials: dict[int, Trial] = {}
        self.clock_offset_s = clock_offset_s(storage, folder) or 0.0
        self.started = self.now()

    def now(self) -> float:
        """In seconds, by the clock that all controllers share, whatever that of their hosts says."""
        return time.time() + self.clock_offset_s

    @contextlib.contextmanager
    def joined(self) -> Iterator[None]:
        """Hold this controller's lock: on this host its release tells others at once that it is gone. Beat."""
        over = threading.Event()
        folder = self.folder / CONTROLLERS / self.name
        with contextlib.ExitStack() as held:
            with lock(self.folder, wait_s=60):  # so that nobody takes a folder that is being made for a dead one's
                clear_dead(self.folder / CONTROLLERS)
                held.enter_context(lock(folder))
            thread = threading.Thread(target=self._beat, args=(over,), daemon=True)
            thread.start()
            try:
                yield
            finally:
                over.set()
                thread.join()
                shutil.rmtree(folder)

    def _beat(self, over: threading.Event) -> None:
        while not over.wait(BEAT_S):
            if (offset := clock_offset_s(self.storage, self.folder)) is not None:  # a clock may have been set
                self.clock_offset_s = offset
            for trial in list(self.trials.values()):
                with contextlib.suppress(Exception):  # it ended this moment, or the storage is busy: there is a next
                    trial.set_user_attr("alive", self.now())

    def _exclusive(self) -> contextlib.AbstractContextManager[None]:
        return exclusive(self.storage, self.folder, self.study.study_name)

    def ask(self, n_trials: int, sampler: Callable[[int], Any]) -> Trial | None:
        """A trial that waits (enqueued, or tried again), or a new one unless the study has `n_trials`. `sampler`: which
        to ask, by the number of trials so far."""
        with self._exclusive():  # one controller at a time counts and asks
            trials = self.study.get_trials(deepcopy=False)
            count, waiting = _count(trials), [one for one in trials if one.state is TrialState.WAITING]
            if not waiting and count >= n_trials:
                return None
            if waiting:
                mark_waiting(self.study, waiting[0], self._marks())
            else:  # first made and marked, then begun: no trial of ours is ever under way without our mark
                self.study.add_trial(create_trial(state=TrialState.WAITING, user_attrs=self._marks()))
                waiting = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
            self.study.sampler = sampler(count)
            trial = self.study.ask()
            if trial.number != waiting[0].number:  # another program was faster, and has it now
                mark_waiting(self.study, waiting[0], {"controller": ""})
            self._take(trial)
            return trial

    def enqueue(self, points: list[dict[str, Any]]) -> None:
        """Have these points tried before any other, once."""
        with self._exclusive():
            for item in points:
                self.study.enqueue_trial(item, skip_if_exists=True)

    def retry_failed(self) -> None:
        """Have the configuration of each failed trial tried once more, by a new trial that takes its place."""
        with self._exclusive():
            for failed in failed_trials(self.study):
                told, attributes = {"fixed_params": failed.params}, {"retries": failed.number}
                again = create_trial(state=TrialState.WAITING, system_attrs=told, user_attrs=attributes)
                self.study.add_trial(again)

    def adopt(self, sampler: Callable[[int], Any]) -> Trial | None:
        """A trial whose controller is gone, taken over with its number and folder; None where there is none. `sampler`:
        as for `ask`, since the controller may have died before it drew all parameters."""
        if not any(self._may_adopt(trial) for trial in self._running()):
            return None
        with self._exclusive():  # look again, since another controller may have been faster
            for frozen in self._running():
                if self._may_adopt(frozen):
                    self.study.sampler = sampler(frozen.number)
                    trial = take_up(self.study, frozen)
                    self._take(trial)
                    return trial
        return None

    def _take(self, trial: Trial) -> None:
        for key, value in self._marks().items():
            if trial.user_attrs.get(key) != value:  # each costs a write to the storage
                trial.set_user_attr(key, value)
        self.trials[trial.number] = trial

    def _marks(self) -> dict[str, Any]:
        """What says whose a trial is. The name comes last, since without it the others say nothing."""
        place = {} if self.in_folder else {"controllers": str((self.folder / CONTROLLERS).resolve())}
        return {"alive": self.now(), **place, "controller": self.name}

    def drop(self, trial: Trial) -> None:
        """The trial is over."""
        self.trials.pop(trial.number, None)

    def release(self, trial: Trial, cancelled: bool = False) -> None:
        """Leave a stopped trial to the next controller, at once; a cancelled one to one that begins later."""
        self.drop(trial)
        if cancelled:
            trial.set_user_attr("cancelled", self.now())
        trial.set_user_attr("alive", 0.0)

    def others_run(self) -> bool:
        """Whether other controllers that live have trials under way; those of other programs don't count."""
        return any(is_ours(trial) and not self._is_lost(trial) for trial in self._running())

    def _running(self) -> list[FrozenTrial]:
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return [trial for trial in running if trial.number not in self.trials]

    def _may_adopt(self, trial: FrozenTrial) -> bool:
        """One that somebody has cancelled since this controller began is for the next command."""
        return self._is_lost(trial) and trial.user_attrs.get("cancelled", 0.0) < self.started

    def _is_lost(self, trial: FrozenTrial) -> bool:
        """Only what carries our mark can be: what another program evaluates is its own, however long it takes."""
        if not is_ours(trial):
            return False
        owner, alive = trial.user_attrs["controller"], trial.user_attrs.get("alive", 0.0)
        if alive == 0.0:  # released, or its controller died between asking and taking
            return True
        if owner.rsplit("-", 2)[0] == platform.node():
            place = Path(trial.user_attrs.get("controllers", self.folder / CONTROLLERS))
            if self.in_folder or not place.exists():
                place = self.folder / CONTROLLERS  # of a study in this folder, which may have been moved since
            return not in_use(place / owner)
        return bool(self.now() - alive > DEAD_S)


def is_ours(trial: FrozenTrial) -> bool:
    """Whether a controller of finegrid works on this trial, or did."""
    return bool(trial.user_attrs.get("controller"))


def counted(study: Study) -> int:
    """Trials that count towards n_trials: done, pruned, diverged, finally failed, and those under way. A failed one
    that is tried again does not: the trial that does so takes its place."""
    return _count(study.get_trials(deepcopy=False))


def _count(trials: Sequence[FrozenTrial]) -> int:
    replaced = _replaced(trials)
    return sum(trial.state is not TrialState.WAITING and trial.number not in replaced for trial in trials)


def failed_trials(study: Study) -> list[FrozenTrial]:
    """Trials whose runs failed, and that no other trial has taken the place of. (One that diverged is no failure.)"""
    replaced = _replaced(trials := study.get_trials(deepcopy=False))
    failed = [trial for trial in trials if trial.state is TrialState.FAIL and trial.number not in replaced]
    return [trial for trial in failed if trial.user_attrs.get("status") == "failed"]


def _replaced(trials: Sequence[FrozenTrial]) -> set[Any]:
    return {trial.user_attrs.get("retries") for trial in trials}


@dataclass(frozen=True)
class Census:
    """What a study holds before a search: trials that count, failed ones, points that wait, and what others run."""

    there: int = 0
    failed: int = 0
    waiting: int = 0
    foreign: int = 0


def census(study: Study | None, points: Sequence[dict[str, Any]]) -> Census:
    """The census of a study that these points are to be enqueued in."""
    if study is None:
        return Census(waiting=len(points))
    trials = study.get_trials(deepcopy=False)
    new = sum(not is_enqueued(study, point) for point in points)
    waiting = sum(trial.state is TrialState.WAITING and "fixed_params" in trial.system_attrs for trial in trials)
    foreign = sum(trial.state is TrialState.RUNNING and not is_ours(trial) for trial in trials)
    return Census(counted(study), len(failed_trials(study)), waiting + new, foreign)
