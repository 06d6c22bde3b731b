"""What a worker does: takes runs from a board by leases, has them carried out in its slots, tells and obeys."""

import contextlib
import os
import platform
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweeps.channel import Answer
from sweeps.hydra_glue.private import set_singletons
from sweeps.launchers.launcher import Event, Handle, has_room
from sweeps.launchers.local import LocalLauncher
from sweeps.launchers.workers import board
from sweeps.launchers.workers.assignment import Assignment, WorkerProgram, settle_autos, write_lease
from sweeps.launchers.workers.kinds import as_json, kind_of_slots
from training.device import Kind

POLL_S = 0.05
QUICK_S, QUICK_FOR_S = 0.01, 1.0  # where an answer or a run is about to come, and for how long that is expected
SOON_S = 10.0  # a worker ends when nothing is left, or no controller was there for so long
FRESH_S = 60.0  # so long a worker has just begun
Settings = dict[str, Any]


@dataclass(eq=False)
class Lease:
    """A run that this worker has. `asked`: the number of its last epoch message, until that is answered."""

    key: str
    file: Path
    run: Assignment
    handle: Handle
    told: int = 0
    asked: int | None = None
    stopping: bool = False  # because of this worker's end, not of the controller's answer
    began: float = field(default_factory=time.monotonic)


class Worker:
    """One process, for one board at a time. `settings`: of the launcher that started it; `ends`: a time.monotonic()."""

    def __init__(self, sweep_folder: Path, name: str, settings: Settings) -> None:
        self.root, self.name, self.settings = board.own_folder(sweep_folder), name, settings
        self.parent = os.getppid() if settings.get("with_parent") else None
        minutes = settings.get("worker_minutes")
        self.started = time.monotonic()
        self.ends = self.started + 60 * minutes if minutes else float("inf")
        self.grace_s, self.lost_s = float(settings["grace_s"]), float(settings["lost_s"])
        self.beat = board.Beat(self.root / board.MEMBERS / name, self.describe)
        self.watch = board.Watch()
        self.board: Path | None = None
        self.launcher: LocalLauncher | None = None
        self.kind: Kind | None = None  # what it computes on
        self.leases: list[Lease] = []
        self.epoch_s: dict[str, float] = {}  # the longest epoch seen, by model
        self.leaving = ""  # why
        self.deadline = float("inf")
        self.idle_since = time.monotonic()
        self.told = float("-inf")  # when this worker told something that is answered, by a word or a run

    def describe(self) -> dict[str, Any]:
        """What its beat says."""
        slots = [slot.name for slot in self.launcher.slots] if self.launcher else []
        left = None if self.ends == float("inf") else round(self.ends - time.monotonic())
        host: dict[str, Any] = {"host": platform.node(), "process": os.getpid(), "job": slurm_job()}
        host["threads"] = self._threads_of_slots()
        host["kind"] = as_json(self.kind) if self.kind else None
        return {**host, "slots": slots, "running": len(self.leases), "seconds_left": left, "leaving": self.leaving}

    def leave(self, why: str, within_s: float) -> None:
        """Take nothing more; what runs is given back after its epoch, or when the time is over."""
        self.leaving = self.leaving or why
        self.deadline = min(self.deadline, time.monotonic() + within_s)

    def serve(self) -> None:
        """Until there is nothing to do, or the time is over."""
        (self.root / board.MEMBERS).mkdir(exist_ok=True)
        self.beat.start()
        try:
            while self._goes_on():
                self.beat.turn()
                self._turn()
        finally:
            self._close_board(self.leaving or "its worker ends")
            self.beat.stop()
            board.tidy(self.root)

    def _goes_on(self) -> bool:
        now = time.monotonic()
        if now > self.ends - 2 * self.grace_s and not self.leaving:
            self.leave("its worker's time ends", self.ends - now - self.grace_s / 2)
        if self.parent is not None and os.getppid() != self.parent:
            return False
        if self.leases:
            self.idle_since = now
            return now < self.deadline
        idle_s = self.settings["idle_s"] if self._may_get_more() else min(SOON_S, self.settings["idle_s"])
        return not self.leaving and now - self.idle_since < idle_s

    def _may_get_more(self) -> bool:
        """Whether a controller that lives has further runs to give out."""
        if self.board is None or not self._is_alive(self.board):
            return False
        return bool((self.watch.seen[self.board / board.BEAT].content or {}).get("more"))

    def _is_alive(self, folder: Path | None) -> bool:
        """Whether a board's controller lives: its beat has changed, and not long ago."""
        return folder is not None and self.watch.lives(folder / board.BEAT, self.lost_s)

    def _turn(self) -> None:
        if self.board is not None and (not self._is_alive(self.board) or self._is_wanted_elsewhere()):
            self._close_board("")
        if self.board is None and not self._open_board():
            time.sleep(4 * POLL_S)
            return
        assert self.board is not None and self.launcher is not None
        if (self.board / board.ASIDE / self.name).exists():
            self.leave("its worker is set aside", 4 * self.grace_s)
        self._obey()
        if not self.leaving:
            self._take_runs()
        for event in self.launcher.wait_any(self._pause_s()):
            self._tell(event)
        if not self.leases:
            time.sleep(self._pause_s())

    def _pause_s(self) -> float:
        """Until the next look at the board. A run that has told an epoch, or a slot without one, waits meanwhile."""
        assert self.launcher is not None
        waits = len(self.leases) < len(self.launcher.slots) or any(lease.asked is not None for lease in self.leases)
        return QUICK_S if waits and time.monotonic() - self.told < QUICK_FOR_S else POLL_S

    def _open_board(self) -> bool:
        """Begin to serve a controller that lives, one whose runs wait where there is one."""
        folders = [self.root / board.BOARDS / name for name in board.names(self.root / board.BOARDS)]
        for folder in sorted(filter(self._is_alive, folders), key=lambda one: not board.names(one / board.TODO)):
            with contextlib.suppress(OSError):
                content: WorkerProgram | None = board.read_pickled(folder / board.PROGRAM)
                if content is not None:
                    self._set_up(folder, content)
                    return True
        return False

    def _is_wanted_elsewhere(self) -> bool:
        """Whether this worker has nothing to do, while the runs of another controller wait."""
        if self.leases or self.leaving or time.monotonic() - self.idle_since < 1.0:
            return False
        others = (self.root / board.BOARDS / name for name in board.names(self.root / board.BOARDS))
        return any(one != self.board and self._is_alive(one) and board.names(one / board.TODO) for one in others)

    def _set_up(self, folder: Path, content: WorkerProgram) -> None:
        program, config = content.opened()
        set_singletons(program.singletons)
        local = {key: self.settings[key] for key in ("slots", "slots_per_gpu", "mps", "devices", "retries")}
        seconds = {key: self.settings[key] for key in ("timeout_minutes", "grace_s")}
        launcher = LocalLauncher(**local, **seconds, wait=True)
        launcher.setup(hydra_context=program.context, task_function=program.task_function, config=config)
        launcher.warm_up()
        with contextlib.suppress(RuntimeError, OSError, subprocess.SubprocessError):  # its runs will say what is wrong
            self.kind = self.kind or kind_of_slots([slot.gpu for slot in launcher.slots if slot.gpu])
        self.launcher, self.board, self.idle_since = launcher, folder, time.monotonic()
        self.beat.soon()

    def _close_board(self, why: str) -> None:
        """Give everything back. Without a reason there is nobody to give it to."""
        if self.launcher is not None:
            for lease in list(self.leases):
                self._give_back(lease, why)
            self.launcher.close()
        self.board, self.launcher, self.idle_since = None, None, time.monotonic()

    def _obey(self) -> None:
        """Do what the controller says of the runs that this worker has."""
        assert self.board is not None and self.launcher is not None
        for lease in list(self.leases):
            held = board.holds(lease.file)
            if held is False or (held is None and time.monotonic() - self.beat.written > self.lost_s / 2):
                self._end(lease)  # it is another's, or will be
            elif self.leaving and not lease.handle.begun:
                self._give_back(lease, self.leaving)
            elif lease.asked is not None:
                self._hear(lease, self.board / board.DOWN / f"{lease.key}.{lease.asked:06}")

    def _hear(self, lease: Lease, file: Path) -> None:
        """The answer to a run's last epoch, where there is one by now."""
        with contextlib.suppress(OSError):
            answer: Answer | None = board.read_pickled(file)
            if answer is not None:
                lease.asked = None
                board.drop(file)
                self._answer(lease, answer)

    def _answer(self, lease: Lease, answer: Answer) -> None:
        assert self.launcher is not None
        if answer == "go":
            seconds = self.epoch_s.get(lease.run.model, 0.0)
            if not self.leaving and time.monotonic() + seconds > self.ends - self.grace_s:
                self.leave("its worker's time ends", self.ends - time.monotonic() - self.grace_s / 2)
            lease.stopping = bool(self.leaving)
            answer = "stop" if lease.stopping else "go"
        if any(handle is lease.handle for handle in self.launcher.running):
            self.launcher.answer(lease.handle, answer)
        lease.began = time.monotonic()

    def _take_runs(self) -> None:
        assert self.board is not None and self.launcher is not None
        if self._threads_of_slots() is not None and not (self.board / board.THREADS).exists():
            return  # the controller fixes them by the first of us
        for key in board.names(self.board / board.TODO):
            if self.launcher.free_slot() is None:
                return
            file = self.board / board.TODO / key
            run: Assignment | None = board.read_pickled(file)
            if run is None or self.name in run.avoid or not self._has_time(run):
                continue
            lease = self.board / board.TAKEN / f"{key}.{self.name}"
            if has_room(self.launcher, run) and board.take(file, lease):
                self._start(key, lease, run)

    def _has_time(self, run: Assignment) -> bool:
        """Whether a run's first epoch can end in the time left."""
        now = time.monotonic()
        known = self.epoch_s.get(run.model, run.first_epoch_s)
        return can_end(known, self.ends - self.grace_s - now, now - self.started)

    def _start(self, key: str, file: Path, run: Assignment) -> None:
        assert self.launcher is not None
        assert self.board is not None
        threads = self._threads_of_slots()
        fixed: int | None = None
        with contextlib.suppress(OSError):  # the board may go this moment
            fixed = int((self.board / board.THREADS).read_text())
        settle_autos(run, self.kind, threads, fixed)
        write_lease(run.number, file)
        self.leases.append(Lease(key, file, run, self.launcher.submit(run)))

    def _threads_of_slots(self) -> int | None:
        """CPU threads of a run in one of the slots; None where these are on GPUs, so that they decide no bits."""
        slots = self.launcher.slots if self.launcher is not None else []
        return None if any(slot.gpu for slot in slots) else min((slot.threads for slot in slots), default=None)

    def _tell(self, event: Event) -> None:
        lease = next(one for one in self.leases if one.handle is event.handle)
        if event.kind == "begun":
            self._say(lease, "begun", event.handle.slot.name)
        elif event.kind == "epoch" and event.report is not None:
            seconds = time.monotonic() - lease.began
            self.epoch_s[lease.run.model] = max(seconds, self.epoch_s.get(lease.run.model, 0.0))
            self._say(lease, "epoch", event.report)
            lease.asked = lease.told
        elif event.kind == "retried":
            lease.asked = None
            self._say(lease, "retried", event.note)
        elif event.kind == "stopped" and lease.stopping:
            self._say(lease, "returned", self.leaving)
            self.leases.remove(lease)
        else:
            self._say(lease, event.kind, event.result)
            self.leases.remove(lease)
        self.told = time.monotonic()

    def _say(self, lease: Lease, what: str, content: object) -> None:
        """Tell the controller, unless the lease is over."""
        assert self.board is not None
        lease.told += 1
        if board.holds(lease.file) is not False:
            with contextlib.suppress(FileNotFoundError):  # the board is gone
                board.put_pickled(self.board / board.UP / f"{lease.key}.{lease.told:06}", (what, content))

    def _end(self, lease: Lease) -> None:
        assert self.launcher is not None
        self.leases.remove(lease)
        if any(handle is lease.handle for handle in self.launcher.running):
            self.launcher.cancel(lease.handle)

    def _give_back(self, lease: Lease, why: str) -> None:
        self._end(lease)
        with contextlib.suppress(OSError):
            self._say(lease, "returned", why)


def slurm_job() -> str | None:
    """What Slurm calls the job of this process, where it has one. (The number alone of an array's last task is that of
    the whole array.)"""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def can_end(epoch_s: float | None, left_s: float, lived_s: float) -> bool:
    """Whether an epoch that takes so long can end in the time left, as far as is known. A worker that has just begun
    takes any run: none will have more time for it."""
    return epoch_s is None or lived_s < FRESH_S or epoch_s < left_s
