"""What a sweep is at, read from its folder: run folders, the sweep's file, and what its living controllers say.

Light to import (no Hydra, no torch): `python -m sweeps.status` shows it.
"""

import math
import platform
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from sweeps.cancelling import CONTROLLERS, cancelled, holder, name_of
from sweeps.detached import SILENT_S, where_it_lives
from sweeps.forecast import Best, Forecast, Work, run_folders, with_unknown
from training.record import Record, read_beginning, read_record, unreadable
from training.run_folder import ASKED, CONFIG, HISTORY, RECORD, read_history, read_json

STATE, PLAN = "state.json", "plan.json"  # of a controller, see sweeps/controller/live_state.py
Status = Literal[
    "running", "waiting", "done", "pruned", "diverged", "failed", "cancelled", "interrupted", "not begun", "unreadable"
]
UNDER_WAY = ("running", "waiting")


@dataclass
class Controller:
    """A living process that carries out (a part of) a sweep. `jobs` by number: their runs, models and epochs."""

    folder: Path
    process: int
    host: str
    started: float
    slots: int
    hears: bool
    ending: str
    waits_for: str
    total: int | None
    ended: set[int]
    running: dict[int, dict[str, Any]]
    jobs: dict[int, dict[str, Any]]


@dataclass
class RunState:
    """One run. Epochs count from 1, `val_acc` is in per cent; None: not known. `note`: why it failed, for one."""

    name: str
    status: Status
    number: int | None = None
    slot: str | None = None
    process: int | None = None
    host: str | None = None
    epoch: int | None = None
    epochs: int | None = None
    val_acc: float | None = None
    seconds_left: float | None = None
    ending: bool = False  # it was asked to end after its epoch
    note: str = ""
    controller: Controller | None = field(default=None, repr=False)

    @property
    def identity(self) -> str:
        """Of its configuration, as its folder says."""
        return self.name.partition("/")[0].rpartition("-")[2]

    def to_json(self) -> dict[str, Any]:
        """All of it but the controller."""
        self.controller, known = None, self.controller
        content = asdict(self) | {"identity": self.identity}
        self.controller = known
        content.pop("controller")
        return {"run": content.pop("name")} | content


@dataclass
class SweepState:
    """A sweep as it is now."""

    folder: Path
    runs: list[RunState]
    controllers: list[Controller]
    seconds_left: float | None
    best: Best | None
    detached: str = ""  # where its controller is that has not begun yet

    @property
    def counts(self) -> Counter[str]:
        """Runs by status."""
        return Counter(run.status for run in self.runs)

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        controllers = [
            {"process": one.process, "host": one.host, "started": one.started, "slots": one.slots}
            | {"ending": one.ending, "waits_for": one.waits_for}
            for one in self.controllers
        ]
        return {
            "folder": str(self.folder),
            "counts": dict(self.counts),
            "seconds_left": self.seconds_left,
            "best": asdict(self.best) if self.best else None,
            "controllers": controllers,
            "detached": self.detached,
            "runs": [run.to_json() for run in self.runs],
        }


def read_sweep(folder: Path) -> SweepState:
    """The state of a sweep, whatever is in its files."""
    controllers = living_controllers(folder)
    marks, forecast = cancelled(folder), Forecast()
    runs: dict[str, RunState] = {}
    works: dict[str, Work] = {}
    for path in run_folders(folder):
        name = name_of(path)
        runs[name], works[name] = _from_disk(path, name, name in marks, forecast)
    asked = read_json(folder / ASKED).get("asked")
    for name in asked if isinstance(asked, dict) else ():
        runs.setdefault(str(name), RunState(str(name), "cancelled" if name in marks else "not begun"))
    for controller in controllers:
        _add_plan(controller, runs, works, marks)
    left = _seconds_left(controllers, runs, works, forecast)
    ordered = sorted(runs.values(), key=lambda run: (run.number is None, run.number or 0, run.name))
    detached = "" if controllers else where_it_lives(folder)
    return SweepState(folder, ordered, controllers, left, forecast.best, detached)


def _from_disk(path: Path, name: str, is_marked: bool, forecast: Forecast) -> tuple[RunState, Work]:
    record = read_record(path)
    if record is not None and record.status is not None:
        forecast.ended(name, record)
        failure = f"{record.failure.kind}: {record.failure.message}" if record.failure.kind else ""
        status: Any = record.status if record.status in Status.__args__ else "unreadable"  # type: ignore[attr-defined]
        epochs = record.settings.epochs
        run = RunState(name, status, epoch=record.epochs_run, epochs=epochs, val_acc=record.val.acc, note=failure)
        return run, Work(record.settings.model or "", epochs)
    if why := unreadable(path):
        return RunState(name, "unreadable", note=why), Work("", None)
    beginning = read_beginning(path) or Record()
    epochs = beginning.settings.epochs
    by = holder(path)
    if by is None:
        status = "cancelled" if is_marked else "interrupted" if (path / CONFIG).exists() else "not begun"
    else:
        status = "running"
    run = RunState(name, status, epochs=epochs)
    if by is not None:
        words = by.split()  # process 12 on host
        run.process = int(words[1]) if len(words) == 4 and words[1].isdigit() else None
        run.host = words[3] if len(words) == 4 else None
    _add_history(run, path, beginning, forecast)
    return run, Work(beginning.settings.model or "", epochs, run.seconds_left)


def _add_history(run: RunState, path: Path, beginning: Record, forecast: Forecast) -> None:
    """How far a run without a record has come."""
    rows = read_history(path)
    if not rows:
        return
    run.epoch, run.val_acc = int(rows[-1]["epoch"]), rows[-1].get("val_acc")
    if run.val_acc is not None and not math.isfinite(run.val_acc):
        run.val_acc = None  # which JSON doesn't know
    monitor = beginning.settings.monitor
    for row in rows:
        forecast.seen(run.name, monitor, row.get(monitor), beginning.config)
    seconds = [row["seconds"] for row in rows if "seconds" in row]
    if run.status == "running" and run.epochs and seconds:
        run.seconds_left = max(0, run.epochs - run.epoch) * sum(seconds) / len(seconds)


def _add_plan(controller: Controller, runs: dict[str, RunState], works: dict[str, Work], marks: Iterable[str]) -> None:
    """What a controller knows of its jobs."""
    for number, job in controller.jobs.items():
        name = str(job.get("run"))
        works.setdefault(name, Work(str(job.get("model")), _whole(job.get("epochs"))))
        run = runs.setdefault(name, RunState(name, "not begun"))
        run.number, run.controller = number, controller
        waits = number not in controller.ended and number not in controller.running and run.status != "running"
        if waits and name in marks:
            run.status = "cancelled"
        elif waits and controller.hears | (run.status not in ("done", "pruned", "diverged", "failed")):
            run.status, run.epochs, run.note = "waiting", run.epochs or _whole(job.get("epochs")), ""
    for number, entry in controller.running.items():
        name = str(entry.get("run"))
        run = runs.setdefault(name, RunState(name, "running"))
        run.status, run.number, run.controller, run.note = "running", number, controller, ""
        run.slot, run.host = str(entry.get("slot")), controller.host
        run.process = _whole(entry.get("process")) or run.process
        run.ending = bool(entry.get("ending")) or bool(controller.ending)
        run.epochs = run.epochs or _whole(entry.get("epochs"))
        run.epoch = max(run.epoch or 0, _whole(entry.get("epoch")) or 0)
        left, at = entry.get("seconds_left"), entry.get("at")
        if isinstance(left, int | float) and isinstance(at, int | float):
            run.seconds_left = max(0.0, left - (time.time() - at))


def _seconds_left(
    controllers: list[Controller], runs: dict[str, RunState], works: dict[str, Work], forecast: Forecast
) -> float | None:
    def work(run: RunState) -> Work:
        known = works.get(run.name, Work("", run.epochs))
        return Work(known.model, known.epochs or run.epochs, run.seconds_left, run.epoch or 0)

    running = [work(run) for run in runs.values() if run.status == "running"]
    waiting = [work(run) for run in runs.values() if run.status == "waiting"]
    for one in controllers:
        if one.total is not None and not one.jobs:  # a search
            waiting = with_unknown(running, waiting, one.total - len(one.ended) - len(one.running))
    if not running and not waiting:
        return None
    return forecast.seconds_left(running, waiting, max(1, sum(one.slots for one in controllers)))


def living_controllers(folder: Path) -> list[Controller]:
    """The controllers of a sweep that live."""
    found = []
    for file in sorted((folder / CONTROLLERS).glob(f"*/{STATE}")):
        state = read_json(file)
        here = state.get("host") == platform.node()
        try:
            lives = holder(file.parent) is not None if here else time.time() - file.stat().st_mtime < SILENT_S
            if lives:
                found.append(_controller(file.parent, state))
        except (OSError, KeyError, TypeError, ValueError, AttributeError):  # it ends at this moment, or is not ours
            continue
    return found


def _controller(folder: Path, state: dict[str, Any]) -> Controller:
    jobs = read_json(folder / PLAN).get("jobs", {})
    return Controller(
        folder=folder,
        process=int(state["process"]),
        host=str(state["host"]),
        started=float(state["started"]),
        slots=int(state["slots"]),
        hears=bool(state["hears"]),
        ending=str(state["ending"]),
        waits_for=str(state["waits_for"]),
        total=_whole(state["total"]),
        ended={int(number) for number in state["ended"]},
        running={int(number): dict(entry) for number, entry in state["running"].items()},
        jobs={int(number): dict(job) for number, job in jobs.items()},
    )


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def last_written(sweep_folder: Path) -> float:
    """When a run or a controller of this sweep wrote last; 0 where none has."""
    files = [run / name for run in run_folders(sweep_folder) for name in (RECORD, HISTORY, CONFIG)]
    files += (sweep_folder / CONTROLLERS).glob(f"*/{STATE}")
    times = [0.0]
    for file in files:
        try:
            times.append(file.stat().st_mtime)
        except OSError:
            continue
    return max(times)
