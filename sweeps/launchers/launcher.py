"""What a launcher is: slots, and an engine behind submit, wait_any, answer and cancel.

A launcher knows processes and devices, no hyperparameters. One of your own is a class that Hydra knows as a launcher
(hydra.plugins.launcher.Launcher: setup, launch) and that has what `Launcher` lists; `run_batch` in batch.py makes
Hydra's `launch` of it. What it can do beyond running a job to its end stands in its `capabilities`, and nobody asks for
its class. Hydra's own launchers (joblib, Slurm, Ray) have none of this: they run whole batches.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from hydra.core.utils import JobReturn
from omegaconf import DictConfig

from sweeps.channel import Answer
from training.console.progress import EpochReport


@dataclass(frozen=True)
class Capabilities:
    """What a launcher can do. Whatever it says no to is done without, and where that matters the user is told.

    How many runs at once it takes is no capability: count its `slots`.
    """

    channel: bool  # a run reports every epoch, waits for the answer, and obeys `stop`
    prune: bool  # and it obeys `prune`
    cancel: bool  # a run that has begun can be ended at once
    this_machine: bool  # runs read this machine's disks, so what is decoded here ahead serves them


class RunnableJob(Protocol):
    """What a launcher needs to know of a job."""

    @property
    def number(self) -> int:
        """Its number in the sweep."""

    @property
    def config(self) -> DictConfig:
        """Its composed config, with Hydra's node."""

    @property
    def folder(self) -> Path:
        """The run folder."""


class Slot(Protocol):
    """A place where one run can execute."""

    @property
    def number(self) -> int:
        """From 0 on."""

    @property
    def name(self) -> str:
        """What the live view calls it."""


@dataclass(eq=False)
class Handle:
    """A job in its slot, from submit to its end. `begun`: its process is at work, so stopping it may lose an epoch.
    `process`: its id on this machine, where it has one."""

    number: int
    folder: Path
    slot: Slot
    begun: bool = False
    process: int | None = None


@dataclass(frozen=True)
class Event:
    """Something that happened to a job. `stopped`: it obeyed the answer `stop`, or SIGTERM to its
    process. `retried`: killed, and begun again, or about to be; `note` says more. `told`: nothing, but `note` is for
    people."""

    kind: Literal["begun", "epoch", "ended", "stopped", "retried", "told"]
    handle: Handle
    report: EpochReport | None = None  # of an epoch; `answer` it
    result: JobReturn | None = None  # of an end
    note: str = ""


class Died(Exception):
    """A run ended without a result. `kind`: killed, timeout or exit."""

    def __init__(self, kind: Literal["killed", "timeout", "exit"], message: str) -> None:
        super().__init__(message)
        self.kind = kind

    def __reduce__(self) -> tuple[type["Died"], tuple[str, str]]:
        return Died, (self.kind, str(self))


class Launcher(Protocol):
    """Runs jobs in slots. Used by one thread; the controller calls `wait_any` until nothing is running.

    One that shares its slots with other programs may have, too, `waits_for`: who uses them, in words, where `free_slot`
    gave None for that. The controller goes on asking then.

    One whose slots differ by the job may have `place(job)`: choose the slot of a job that is submitted next, or False
    where there is none for it now (see `has_room`). `expect(job)`: which job is likely to come next, or None, so that
    it can be prepared while another ends. And `longest_first`: whether a grid shall begin with its longest
    runs.

    One that carries runs out on other machines may have `first_kind(goes_on)`: what device the first of them has, with
    `named_kinds`, where the user has said it, and `kinds`, which is set to what the plan goes by. And
    `submit_controller(command, variables, folder, output)`: have a sweep's controller be a job of its engine.
    """

    capabilities: Capabilities
    grace_s: float  # from SIGTERM to the end of all runs, in seconds

    @property
    def slots(self) -> Sequence[Slot]:
        """Its places; known once Hydra has called `setup`."""

    @property
    def running(self) -> Sequence[Handle]:
        """Jobs that were submitted and have not ended."""

    def warm_up(self) -> None:
        """Get ready in the background: jobs will come soon. Returns at once."""

    def free_slot(self) -> Slot | None:
        """A slot in which nothing runs."""

    def submit(self, job: RunnableJob) -> Handle:
        """Start a job in a free slot; its output goes to run.log in its folder."""

    def wait_any(self, timeout_s: float, retry: bool = True) -> Sequence[Event]:
        """What has happened, at the latest after `timeout_s` (or when a run ends, where it can't look sooner); often
        nothing. `retry`: whether runs that were killed may be started again."""

    def answer(self, handle: Handle, answer: Answer) -> None:
        """Let a run that reported an epoch go on, or end it. Only with the capability `channel`."""

    def cancel(self, handle: Handle) -> None:
        """Stop a job now; nothing more is heard of it. One that has begun only with the capability `cancel`."""

    def close(self) -> None:
        """Let go of everything. Runs that are under way are cancelled."""


def as_launcher(hydra_launcher: Any) -> Launcher | None:
    """Hydra's launcher by this protocol, or None for one that can only run whole batches."""
    if not isinstance(getattr(hydra_launcher, "capabilities", None), Capabilities):
        return None
    launcher: Launcher = hydra_launcher
    return launcher


def has_room(launcher: Launcher, job: RunnableJob) -> bool:
    """Whether a launcher with a free slot can take this job now."""
    place = getattr(launcher, "place", None)
    return place is None or bool(place(job))
