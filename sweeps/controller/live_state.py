"""What a controller is at, on the disk for `python -m sweeps.status`, and what that asks of it.

A folder of its own in the sweep's, `.controllers/<host>-<process>-<random>/`, held by a lock as long as the controller
lives, with plan.json (the jobs), state.json (what runs in which slot, what has ended) and requests. Whatever else the
status shows lies in the run folders. It goes when the controller ends; one that was killed leaves it to the next.
"""

import contextlib
import json
import os
import platform
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sweeps.cancelling import (
    CONTROLLERS,
    VARIABLE,
    asked_of_controller,
    cancelled,
    holder,
    mark_cancelled,
    name_of,
    unmark_cancelled,
)
from sweeps.forecast import work_of
from sweeps.launchers.launcher import Handle
from sweeps.plan.jobs import Job
from sweeps.sweep_state import PLAN, STATE
from training.console.progress import EpochReport
from training.run_folder import RunInUse, lock

WORK = ("model", "epochs")  # what the plan says of a run besides its folder
EVERY_S, BEAT_S = 0.2, 20.0  # state.json is written at most, and at least, as often


class LiveState:
    """Of one controller. `hears`: whether it looks at requests while runs are under way. Nothing here raises where the
    disk is full: the sweep goes on, unseen."""

    def __init__(self, sweep_folder: Path, slots: int, hears: bool = True) -> None:
        self.sweep_folder = sweep_folder
        self.folder = sweep_folder / CONTROLLERS / f"{platform.node()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self.state: dict[str, Any] = {
            "process": os.getpid(),
            "host": platform.node(),
            "started": time.time(),
            "slots": slots,
            "hears": hears,
            "ending": "",  # why, where it was asked to end
            "waits_for": "",  # who uses the slots that it waits for
            "total": None,
            "ended": [],
            "running": {},
        }
        self.written_at, self.changed, self.on_disk = 0.0, True, False
        self.marked: set[str] = set()  # runs that the sweep's file calls cancelled

    @contextlib.contextmanager
    def joined(self) -> Iterator["LiveState"]:
        """Be seen, until the end."""
        with contextlib.ExitStack() as held:
            with contextlib.suppress(OSError, RunInUse):
                with lock(self.sweep_folder, wait_s=60):  # so that nobody takes the new folder for a dead one's
                    clear_dead(self.sweep_folder / CONTROLLERS)
                    held.enter_context(lock(self.folder))
                self.on_disk = True
            self.marked = set(cancelled(self.sweep_folder))
            self.write()
            before = os.environ.get(VARIABLE)
            os.environ[VARIABLE] = str(self.folder.absolute())
            try:
                yield self
            finally:
                os.environ.pop(VARIABLE)
                if before is not None:
                    os.environ[VARIABLE] = before
                shutil.rmtree(self.folder, ignore_errors=True)
                with contextlib.suppress(OSError, RunInUse), lock(self.sweep_folder, wait_s=2):
                    self.folder.parent.rmdir()  # unless others are there

    def plan(self, jobs: Sequence[Job], total: int | None) -> None:
        """What is to be run, as far as that is known; `total`: how many runs. None of it is cancelled any more."""
        self.state["total"] = total
        works = {job.number: work_of(job.run) for job in jobs}
        known = {
            str(job.number): {"run": name_of(job.folder)} | {key: getattr(works[job.number], key) for key in WORK}
            for job in jobs
        }
        self._write(PLAN, {"jobs": known})
        unmark_cancelled(self.sweep_folder, [name_of(job.folder) for job in jobs])
        self.write()

    def submitted(self, handle: Handle) -> None:
        """A job is in its slot."""
        name = name_of(handle.folder)
        if name in self.marked:
            unmark_cancelled(self.sweep_folder, [name])
        self.state["running"][str(handle.number)] = {"run": name, "slot": handle.slot.name}
        self.begun(handle)

    def begun(self, handle: Handle) -> None:
        """Its process is at work, or another one now."""
        self.state["running"][str(handle.number)] |= {"process": handle.process, "slot": handle.slot.name}
        self.changed = True

    def epoch(self, handle: Handle, report: EpochReport, ending: bool) -> None:
        """An epoch is over. `ending`: and the run with it."""
        entry = {"epoch": report.epoch, "epochs": report.epochs, "seconds_left": report.seconds_left}
        self.state["running"][str(handle.number)] |= entry | {"at": time.time(), "ending": ending}
        self.changed = True

    def is_to_end(self, number: int) -> None:
        """Somebody has asked for the end of a run."""
        self.state["running"][str(number)]["ending"] = self.changed = True

    def left(self, number: int, ended: bool = True) -> None:
        """A job is not in its slot any more."""
        self.state["running"].pop(str(number), None)
        if ended:
            self.state["ended"].append(number)
        self.changed = True

    def say(self, key: str, value: Any) -> None:
        """`ending` or `waits_for`."""
        if self.state[key] != value:
            self.state[key] = value
            self.write()

    def requests(self) -> set[str]:
        """The numbers of jobs that shall end, and ALL."""
        return asked_of_controller(self.folder) if self.on_disk else set()

    def mark(self, epochs: dict[str, int | None]) -> None:
        """Write into the sweep's file that these runs were cancelled."""
        with contextlib.suppress(OSError, RunInUse):
            if epochs:
                mark_cancelled(self.sweep_folder, epochs)

    def tick(self) -> None:
        """Write what has changed, now and then."""
        age = time.monotonic() - self.written_at
        if age > BEAT_S or (self.changed and age > EVERY_S):
            self.write()

    def write(self) -> None:
        """Write the state now."""
        self.written_at, self.changed = time.monotonic(), False
        self._write(STATE, self.state)

    def _write(self, name: str, content: dict[str, Any]) -> None:
        """Whole or not at all; it need not outlive a power cut, so the disk is not waited for."""
        if not self.on_disk:
            return
        with contextlib.suppress(OSError):
            part = self.folder / f".{name}.part"
            part.write_text(json.dumps(content))
            part.replace(self.folder / name)


def clear_dead(controllers: Path) -> None:
    """Remove the folders of this host's controllers that were killed. Only for the holder of the sweep's lock."""
    for folder in controllers.glob(f"{platform.node()}-*-*"):
        ours = folder.name.rsplit("-", 2)[0] == platform.node()  # over a network the lock of others may not be seen
        if ours and holder(folder) is None:
            shutil.rmtree(folder, ignore_errors=True)
