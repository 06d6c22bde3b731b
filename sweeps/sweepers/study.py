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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from sweeps.controller.finalize import in_use
from sweeps.sweepers.journal import JOURNAL, mend, open_journal
from sweeps.sweepers.optuna_private import take_up
from sweeps.sweepers.space import check_same
from training.errors import ConfigError
from training.run_folder import lock

CONTROLLERS = ".controllers"
BEAT_S = 20.0  # how often a running trial's time is renewed
DEAD_S = 120.0  # a trial of another host is lost when its time is older


def open_study(name: str, storage: Any, folder: Path, directions: list[str], space: dict[str, Any]) -> Study:
    """Create or load the study. Raises ConfigError when it was made for another search space or other objectives."""
    existed = folder.exists()
    try:
        with lock(folder, wait_s=60):  # two controllers that make the tables of one database fall over each other
            if storage is None:
                mend(folder / JOURNAL)
            study = existing_study(name, storage, folder, directions, space)  # refused, if so, before it is written to
            if study is None:
                study = _create(name, storage, folder, directions, space)
            return study
    except ConfigError:
        if not existed:
            shutil.rmtree(folder)
            with contextlib.suppress(OSError):
                folder.parent.rmdir()
        raise


def _create(name: str, storage: Any, folder: Path, directions: list[str], space: dict[str, Any]) -> Study:
    with _storage_errors_told():
        backend: Any = _backend(storage, folder)
        study = optuna.create_study(study_name=name, storage=backend, directions=directions)  # type: ignore[arg-type]
        study.set_user_attr("search_space", space)
        study.set_metric_names(list(space["objective"]))  # for the axes of Optuna's pictures and dashboard
    return study


def existing_study(name: str, storage: Any, folder: Path, directions: list[str], space: dict[str, Any]) -> Study | None:
    """The study if it exists, and nothing made where it doesn't. Raises ConfigError as open_study does."""
    file = _file(storage, folder)
    if file is not None and not file.exists():
        return None
    try:
        with _storage_errors_told():
            study = optuna.load_study(study_name=name, storage=_backend(storage, folder))
    except KeyError:
        return None
    return _checked(study, directions, space)


@contextlib.contextmanager
def _storage_errors_told() -> Iterator[None]:
    """A storage that can't be reached is the user's mistake."""
    try:
        yield
    except (SQLAlchemyError, ImportError) as error:
        raise ConfigError(f"hydra.sweeper.storage: {' '.join(str(error).split())}") from error


def _backend(storage: Any, folder: Path) -> Any:
    return open_journal(folder / JOURNAL) if storage is None else storage


def _file(storage: Any, folder: Path) -> Path | None:
    """The file that a study lies in; None for a database server."""
    if storage is None:
        return folder / JOURNAL
    url = make_url(storage)
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def _checked(study: Study, directions: list[str], space: dict[str, Any]) -> Study:
    name, before = study.study_name, [direction.name.lower() for direction in study.directions]
    if (known := study.user_attrs.get("search_space")) is not None:
        check_same(name, known, space)
    if before != directions:
        raise ConfigError(f"study {name} was made to {', '.join(before)}, not to {', '.join(directions)}")
    return study


class Membership:
    """This controller's part in a study: what it runs, and that it is alive."""

    def __init__(self, study: Study, folder: Path) -> None:
        self.study, self.folder = study, folder
        self.name = f"{platform.node()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self.trials: dict[int, Trial] = {}

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
            for trial in list(self.trials.values()):
                with contextlib.suppress(Exception):  # it ended this moment, or the storage is busy: there is a next
                    trial.set_user_attr("alive", time.time())

    def ask(self, n_trials: int, sampler: Callable[[int], Any]) -> Trial | None:
        """A new trial, unless the study has `n_trials`. `sampler`: which to ask, by the number of trials so far."""
        with lock(self.folder, wait_s=60):  # one controller at a time counts and asks
            count = counted(self.study)
            if count >= n_trials:
                return None
            self.study.sampler = sampler(count)
            trial = self.study.ask()
            self._take(trial)
            return trial

    def enqueue(self, points: list[dict[str, Any]]) -> None:
        """Have these points tried before any other, once."""
        with lock(self.folder, wait_s=60):
            for item in points:
                self.study.enqueue_trial(item, skip_if_exists=True)

    def adopt(self, sampler: Callable[[int], Any]) -> Trial | None:
        """A trial whose controller is gone, taken over with its number and folder; None where there is none. `sampler`:
        as for `ask`, since the controller may have died before it drew all parameters."""
        if not any(self._is_lost(trial) for trial in self._running()):
            return None
        with lock(self.folder, wait_s=60):  # look again, since another controller may have been faster
            for frozen in self._running():
                if self._is_lost(frozen):
                    self.study.sampler = sampler(frozen.number)
                    trial = take_up(self.study, frozen)
                    self._take(trial)
                    return trial
        return None

    def _take(self, trial: Trial) -> None:
        trial.set_user_attr("controller", self.name)
        trial.set_user_attr("alive", time.time())
        self.trials[trial.number] = trial

    def drop(self, trial: Trial) -> None:
        """The trial is over."""
        self.trials.pop(trial.number, None)

    def release(self, trial: Trial) -> None:
        """Leave a stopped trial to the next controller, at once."""
        self.drop(trial)
        trial.set_user_attr("alive", 0.0)

    def others_run(self) -> bool:
        """Whether other controllers that live have trials under way."""
        return any(not self._is_lost(trial) for trial in self._running())

    def _running(self) -> list[FrozenTrial]:
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return [trial for trial in running if trial.number not in self.trials]

    def _is_lost(self, trial: FrozenTrial) -> bool:
        owner, alive = trial.user_attrs.get("controller"), trial.user_attrs.get("alive", 0.0)
        if owner is None or alive == 0.0:  # released, or its controller died between asking and taking
            return True
        if owner.rsplit("-", 2)[0] == platform.node():
            return not in_use(self.folder / CONTROLLERS / owner)
        return bool(time.time() - alive > DEAD_S)


def clear_dead(controllers: Path) -> None:
    """Remove the folders of this host's controllers that were killed. Only for the holder of the sweep's lock."""
    for folder in controllers.glob(f"{platform.node()}-*-*"):
        ours = folder.name.rsplit("-", 2)[0] == platform.node()  # over a network the lock of others may not be seen
        if ours and not in_use(folder):
            shutil.rmtree(folder, ignore_errors=True)


def counted(study: Study) -> int:
    """Trials that count towards n_trials: done, pruned, diverged, finally failed, and those under way."""
    return sum(trial.state is not TrialState.WAITING for trial in study.get_trials(deepcopy=False))
