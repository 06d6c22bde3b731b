"""Sweeps on one machine share its slots: a run claims what its slot uses (CPU cores, a GPU or a part of one).

A claim is a file in a folder of the user's (runtime_folder.py) that its owner holds by flock, so that a dead owner
frees it at once. It lasts as long as a run is in the slot. Who finds nothing free leaves a ticket, a file of the same
kind; tickets are served in their order, and whoever has just had a slot comes last. So sweeps take turns, run by run,
and one that needs all cores is not starved by others that need one. All of it is looked at under one lock.

Only sweeps of hydra/launcher=local claim. A run without -m doesn't wait: it starts when it is told to (single_run.py).
"""

import contextlib
import fcntl
import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sweeps.launchers.runtime_folder import runtime_folder

INSIDE = "FINEGRID_IN_SLOT"  # in the environment of runs: a sweep that one of them starts has its slot already
CLAIM, TICKET, SINGLE, MUTEX = "claim-", "ticket-", "single-", "mutex"
PATIENCE_S = 2.0  # for the mutex, which is held for milliseconds
STALE_S = 10.0  # a ticket whose owner has not looked for so long (a stopped process) is passed over
ROUNDING = 1e-6


@dataclass(frozen=True)
class Need:
    """What a run in a slot uses: of `resource` (cpu, or a GPU) an `amount`. `cores`: those that it may use, of the
    CPU; a GPU has an amount of 1."""

    resource: str
    amount: float
    cores: tuple[int, ...] = ()

    def fits(self, others: Sequence["Need"]) -> bool:
        """Whether there is enough left beside these."""
        return self.amount <= self.left(others) + ROUNDING

    def left(self, others: Sequence["Need"]) -> float:
        """How much of what this may use these leave."""
        left = float(len(self.cores)) if self.cores else 1.0
        for other in others:
            if other.resource == self.resource:
                shared = len(set(self.cores) & set(other.cores)) if self.cores else 1.0
                left -= min(other.amount, shared)
        return left


@dataclass(frozen=True)
class Owner:
    """A claim or ticket of a living process. `order`: which ticket is served first."""

    process: int
    sweep: str
    needs: tuple[Need, ...]
    order: int = 0
    name: str = field(default="", compare=False)  # of its file

    @property
    def text(self) -> str:
        """For people."""
        return f"process {self.process} ({'run' if self.name.startswith(SINGLE) else 'sweep'} {self.sweep})"


@dataclass
class Claims:
    """Those of one sweep, by the numbers of its slots. `needs`: what each slot uses. Raises ConfigError for a
    FINEGRID_RUNTIME that can't be used."""

    sweep: str
    needs: Mapping[int, Need]
    held: dict[int, "OwnedFile"] = field(default_factory=dict)
    waits_for: str = ""  # in words: who uses the slots that were asked for last
    problem: str = ""  # why nothing can be claimed
    folder: Path | None = None
    ticket: "OwnedFile | None" = None
    asked: bool = False  # since the last `end_of_turn`
    took: bool = False

    def __post_init__(self) -> None:
        if os.environ.get(INSIDE):
            return
        try:
            self.folder = runtime_folder()
        except OSError as error:
            self.problem = f"slots are not shared with other sweeps: {error}"

    def take(self, free: Sequence[int]) -> int | None:
        """Claim one of these slots of ours; None where others use them all, or wait for them longer than we do."""
        self.asked, self.waits_for = True, ""
        if not free:
            return None
        if self.folder is None:
            return free[0]
        try:
            with exclusive() as folder:
                return self._take(folder, free)
        except OSError as error:  # a full disk, say
            self.problem = f"slots are not shared with other sweeps: {error}"
            return free[0]

    def _take(self, folder: Path | None, free: Sequence[int]) -> int | None:
        if folder is None:
            self.waits_for = f"waits for {self.folder}/{MUTEX}, which another sweep holds"
            return None
        claims, ahead = living(folder, CLAIM), self._ahead(folder)
        taken = [need for owner in (*claims, *ahead) for need in owner.needs]
        for number in free:
            if self.needs[number].fits(taken):
                content = Owner(os.getpid(), self.sweep, (self.needs[number],))
                self.held[number], self.took = OwnedFile(folder / new_name(CLAIM), content), True
                return number
        wanted = tuple({self.needs[number]: None for number in free})  # each of them would do
        if self.ticket is None:
            order = max([time.time_ns(), *(owner.order + 1 for owner in ahead)])
            self.ticket = OwnedFile(folder / new_name(TICKET), Owner(os.getpid(), self.sweep, wanted, order))
        self.ticket.look_alive(wanted)
        self.waits_for = self._in_words(claims, ahead, len(free))
        return None

    def _in_words(self, claims: Sequence[Owner], ahead: Sequence[Owner], count: int) -> str:
        resources = {need.resource for need in self.needs.values()}
        ours = {file.path.name for file in self.held.values()}
        users = [one for one in claims if one.name not in ours and {need.resource for need in one.needs} & resources]
        names = dict.fromkeys(one.text for one in users)
        names |= dict.fromkeys(one.text for one in ahead)  # whose turn it is first
        are = "is" if count == 1 else "are"
        return f"waits for a slot: {count} of {len(self.needs)} {are} used by {'; '.join(names)}"

    def may_keep(self, number: int) -> bool:
        """Whether a claim may serve another run: nobody waits for what it uses."""
        if number not in self.held:
            return False
        self.asked = True
        if self.folder is None or not any(self.folder.glob(f"{TICKET}*")):
            return True
        resource = self.needs[number].resource
        with contextlib.suppress(OSError), exclusive() as folder:
            waiting = self._ahead(folder) if folder is not None else []
            return not any(need.resource == resource for owner in waiting for need in owner.needs)
        return True

    def _ahead(self, folder: Path) -> list[Owner]:
        """Whose tickets come before ours."""
        mine = self.ticket.content.order if self.ticket else None
        tickets = living(folder, TICKET, STALE_S)
        return sorted((one for one in tickets if mine is None or one.order < mine), key=lambda one: one.order)

    def none_is_free(self) -> str:
        """Why no run could begin now; empty where one could."""
        got = self.take(list(self.needs))
        why = self.waits_for if got is None else ""
        self.close()
        return why

    def release(self, number: int) -> None:
        """Nothing runs in this slot any more."""
        if number in self.held:
            self.held.pop(number).remove()

    def end_of_turn(self) -> None:
        """What could be filled is filled: who had a turn, or wants none, gives its ticket back."""
        if self.ticket is not None and (self.took or not self.asked):
            self.ticket.remove()
            self.ticket = None
        self.asked = self.took = False

    def close(self) -> None:
        """Give all back."""
        for number in list(self.held):
            self.release(number)
        self.asked = False
        self.end_of_turn()


@contextlib.contextmanager
def exclusive() -> Iterator[Path | None]:
    """The folder, for this process alone; None where another can't be waited for. Raises OSError."""
    folder = runtime_folder()  # it may have been swept away
    descriptor = os.open(folder / MUTEX, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        ends = time.monotonic() + PATIENCE_S
        while not _locked(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > ends:
                yield None
                return
            time.sleep(0.005)
        yield folder
    finally:
        os.close(descriptor)


class OwnedFile:
    """A claim or ticket of this process, held by its lock."""

    def __init__(self, path: Path, content: Owner) -> None:
        self.path, self.content = path, content
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._write()
        except OSError:
            self.remove()
            raise

    def _write(self) -> None:
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, json.dumps(asdict(self.content)).encode(), 0)

    def look_alive(self, needs: tuple[Need, ...]) -> None:
        """Its owner still wants this."""
        if needs != self.content.needs:
            self.content = Owner(self.content.process, self.content.sweep, needs, self.content.order)
            self._write()
        os.utime(self.descriptor)

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            self.path.unlink()
        os.close(self.descriptor)


def new_name(prefix: str) -> str:
    return f"{prefix}{os.getpid()}-{uuid.uuid4().hex[:8]}"


def living(folder: Path, prefix: str, young_s: float = float("inf")) -> list[Owner]:
    """The claims or tickets whose owners live; those of dead ones are removed. `young_s`: and have looked of late."""
    found = []
    for path in sorted(folder.glob(f"{prefix}*")):
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
            try:
                if _locked(descriptor, fcntl.LOCK_SH):
                    path.unlink()
                elif time.time() - os.fstat(descriptor).st_mtime < young_s:
                    found.append(_owner(os.pread(descriptor, 1 << 20, 0), path.name))
            finally:
                os.close(descriptor)
    return [owner for owner in found if owner is not None]


def _owner(content: bytes, name: str) -> Owner | None:
    """What a file says; None where it can't be read: one of another version, say."""
    try:
        known: dict[str, Any] = json.loads(content)
        needs = tuple(Need(str(n["resource"]), float(n["amount"]), tuple(map(int, n["cores"]))) for n in known["needs"])
        return Owner(int(known["process"]), str(known["sweep"]), needs, int(known["order"]), name)
    except (ValueError, TypeError, KeyError):
        return None


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
