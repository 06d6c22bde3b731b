"""How many trials a second a study's storage takes, from one and from many controllers at the same time.

Controllers are processes, which ask, draw, report and tell as a search does (sweeps/sweepers/study.py: its locks, its
marks, its beats) and have no runs in between: what they can't do here no search can. Each table entry also counts the
trials: a number that two controllers got, or that nobody got, ends the benchmark with an error.
"""

import contextlib
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.samplers import RandomSampler
from optuna.trial import Trial

from benchmarks.cluster.out import write
from benchmarks.cluster.postgres import PASSWORD, postgres
from benchmarks.cluster.postgres import why_not as why_no_postgres
from benchmarks.measure import show
from sweeps.sweepers.search import hush_optuna
from sweeps.sweepers.storage import backend
from sweeps.sweepers.study import Membership, Wanted, open_study
from training.run_folder import RunInUse

LIMIT = 100_000  # trials, which no storage comes to


@contextlib.contextmanager
def journal() -> Iterator[str | None]:
    """The file in the sweep's folder, the default."""
    yield None


@contextlib.contextmanager
def sqlite() -> Iterator[str | None]:
    """A file of SQLite, as hydra-optuna-sweeper's documentation has it."""
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{folder}/studies.db"


@contextlib.contextmanager
def server() -> Iterator[str | None]:
    """A PostgreSQL of this machine, with fsync as it comes."""
    os.environ["PGPASSWORD"] = PASSWORD
    with postgres("on") as found:
        yield found.url


@dataclass(frozen=True)
class Kind:
    """A storage. `why_not`: why it can't be had here; nothing where it can."""

    opened: Callable[[], contextlib.AbstractContextManager[str | None]]
    why_not: Callable[[], str] = str


STORAGES = {"journal": Kind(journal), "sqlite": Kind(sqlite), "postgresql": Kind(server, why_no_postgres)}


def wanted(storage: str | None, folder: Path) -> Wanted:
    """The study of one table entry."""
    space: dict[str, Any] = {"objective": ["val_acc"], "search": {}, "settings": {}}
    return Wanted("measured", True, storage, folder, ["maximize"], space, lambda study: None, {})


def evaluate(trial: Trial, member: Membership) -> None:
    """What a search says of a trial of one epoch."""
    value = trial.suggest_float("lr", 1e-6, 1.0, log=True) + trial.suggest_int("layers", 1, 5)
    value += {"adam": 0.0, "sgd": 1.0}[trial.suggest_categorical("optimizer", ["adam", "sgd"])]
    trial.set_user_attr("run_folder", f"measured-{trial.number:08}/seed=0")
    trial.report(value, 1)
    member.drop(trial)
    member.study.tell(trial, value)


def control(storage: str | None, folder: Path, n_trials: int, seconds: float, gate: Any, told: Any) -> None:
    """Be one controller. Tells which trials it had, and how long each took."""
    hush_optuna()
    member = Membership(open_study(wanted(storage, folder)), folder, storage)
    found: list[tuple[int, float]] = []
    why = ""
    with member.joined():
        gate.wait()
        ends = time.monotonic() + seconds
        try:
            while (began := time.monotonic()) < ends:
                trial = member.adopt(drawn_at_random) or member.ask(n_trials, drawn_at_random)
                if trial is None:
                    break
                evaluate(trial, member)
                found.append((trial.number, time.monotonic() - began))
        except (RunInUse, OSError, StorageInternalError) as error:  # what a search would end with
            why = f"{type(error).__name__}: {' '.join(str(error).split())[:80]}"
        over = time.monotonic()
    told.put((found, over, why))


def drawn_at_random(count: int) -> RandomSampler:
    """The sampler, whatever there is already."""
    return RandomSampler()


@dataclass(frozen=True)
class Found:
    """Of one storage and number of controllers: trials a second, seconds that a trial took, controllers that gave up
    and why the first did."""

    a_second: float
    trials: int
    median_s: float
    longest_s: float
    gave_up: int = 0
    why: str = ""


def measured(storage: str | None, controllers: int, seconds: float, n_trials: int = LIMIT) -> Found:
    """So many controllers for so long. Raises AssertionError for trials that were lost or given out twice."""
    context = multiprocessing.get_context("fork")  # what is imported is imported once
    with tempfile.TemporaryDirectory() as folder:
        gate, told = context.Barrier(controllers + 1), context.Queue()
        arguments = (storage, Path(folder, "sweep"), n_trials, seconds, gate, told)
        processes = [context.Process(target=control, args=arguments, daemon=True) for _ in range(controllers)]
        for process in processes:
            process.start()
        while gate.n_waiting < controllers:
            assert all(process.is_alive() for process in processes), "a controller could not begin"
            time.sleep(0.05)
        gate.wait()
        began = time.monotonic()
        results = [told.get(timeout=seconds + 90) for _ in processes]
        for process in processes:
            process.join()
        study = optuna.load_study(study_name="measured", storage=backend(storage, Path(folder, "sweep")))
        states = [trial.state for trial in study.get_trials(deepcopy=False)]
        if storage is not None:
            optuna.delete_study(study_name="measured", storage=backend(storage, Path(folder)))
    numbers = sorted(number for found, *_ in results for number, _ in found)
    failed = [why for *_, why in results if why]
    lost = set(range(len(states))) - set(numbers)
    assert len(numbers) == len(set(numbers)) and len(lost) <= len(failed), "trials lost or double"
    took = [one for found, *_ in results for _, one in found] or [float("nan")]
    lasted = max(over for _, over, _ in results) - began
    return Found(
        len(numbers) / lasted, len(numbers), statistics.median(took), max(took), len(failed), next(iter(failed), "")
    )


def measure(controllers: list[int], kinds: list[str], seconds: float, out: Path | None) -> None:
    """A row for each storage."""
    rows = []
    for name in kinds:
        if why := STORAGES[name].why_not():
            rows.append([name, *[f"none here: {why}"] * len(controllers)])
            continue
        row = [name]
        with STORAGES[name].opened() as storage:
            for count in controllers:
                found = measured(storage, count, seconds)
                text = f"{found.a_second:.1f} ({1000 * found.median_s:.0f} ms, at most {found.longest_s:.1f} s)"
                row.append(text + (f"; {found.gave_up} gave up" if found.gave_up else ""))
                print(f"{name}, {count} controllers: {row[-1]} {found.why}", flush=True)
                write(out, {"what": "storages", "storage": name, "controllers": count, **asdict(found)})
        rows.append(row)
    title = f"Trials a second, by storage and controllers, {seconds:g} s each (a trial takes: median, longest)"
    show(title, ["storage", *(f"{count} controllers" for count in controllers)], rows)
