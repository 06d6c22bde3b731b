"""The workers of a sweep, as its controller sees them: who lives, who is lost, whose device is broken."""

import re
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn

from sweeps.hydra_glue.private import returned
from sweeps.launchers.faults import CUDA_ERRORS, trouble_of
from sweeps.launchers.workers import board
from sweeps.launchers.workers.engine import Engine
from sweeps.launchers.workers.kinds import as_sm, from_json
from sweeps.launchers.workers.queue import Entry
from training.device import Kind, precision_for
from training.errors import ConfigError

LOOK_S = 1.0
START_S = 10.0  # between two looks at whether workers lack
STARTS_THAT_FAIL = 3
IN_A_ROW = 2  # failures of a worker that set it aside
DEVICE_ERRORS = re.compile(r"No CUDA GPUs|no CUDA-capable device|CUDA driver|CUDA unknown error|NVML|uncorrectable ECC")


class Crew:
    """`wanted`: how many workers the sweep shall have. `lost_s`: after how long without a beat one is lost."""

    def __init__(self, root: Path, folder: Path, engine: Engine, wanted: int, lost_s: float) -> None:
        self.root, self.folder, self.engine, self.wanted, self.lost_s = root, folder, engine, wanted, lost_s
        self.watch = board.Watch()
        self.members: dict[str, dict[str, Any]] = {}
        self.width = 1  # slots of a worker, the most that one has told
        self.looked = self.started = float("-inf")
        self.aside: set[str] = set()
        self.failures: dict[str, set[int]] = {}  # of workers, runs in a row that may have failed of their devices

    def start(self, count: int) -> None:
        """Have the engine start so many more."""
        self.started = time.monotonic()
        self.engine.start(count)

    def look(self) -> None:
        """See who is there, now and then."""
        if time.monotonic() - self.looked < min(LOOK_S, self.lost_s / 4):
            return
        self.looked = time.monotonic()
        self._clear()
        known = {file.name for file in self.watch.seen if file.parent.name == board.MEMBERS}  # some have ended
        found = {name: self.watch.look(self._file(name)) for name in {*known, *board.names(self.root / board.MEMBERS)}}
        self.members = {name: content for name, content in found.items() if content is not None}
        self.width = max([self.width, *(len(content["slots"]) for content in self.members.values())])

    def _file(self, name: str) -> Path:
        return self.root / board.MEMBERS / name

    def is_lost(self, name: str) -> bool:
        """Whether a worker that has a lease is gone. One that ended in order has given it back."""
        file = self._file(name)
        if file not in self.watch.seen:
            self.watch.look(file)
        return name in self.engine.dead() or self.watch.still_for(file) > self.lost_s

    def others(self, names: frozenset[str]) -> bool:
        """Whether there is a worker that takes runs besides these, or one that waits for its turn."""
        able = {name for name, content in self.members.items() if name not in self.aside and not content["leaving"]}
        return bool(able - names) or self.engine.alive() > len(self.members)

    def blames(self, worker: str, entry: Entry, result: JobReturn) -> bool:
        """Whether a run that has ended on this worker failed, maybe of its device, and shall be tried on another. A
        worker on which that happened to two runs in a row is set aside; a run that fails elsewhere too is at fault
        itself."""
        error = returned(result)
        if not is_device_error(error):
            self.failures.pop(worker, None)
            return False
        entry.failed_on |= {worker}
        if len(entry.failed_on) > 1 or not self.others(entry.failed_on):
            for name in entry.failed_on:
                self.failures.get(name, set()).discard(entry.handle.number)
            return False
        failures = self.failures.setdefault(worker, set())
        failures.add(entry.handle.number)
        if len(failures) >= IN_A_ROW:
            self.set_aside(worker)
        return True

    def set_aside(self, worker: str) -> None:
        """Have it take nothing more."""
        self.aside.add(worker)
        board.put(self.folder / board.ASIDE / worker, b"")

    def set_weak_aside(self, kinds: Sequence[Kind]) -> list[str]:
        """Workers that can't compute in the precision of a plan for these kinds take no runs; gives what to say of
        that. Raises ConfigError where no other is left."""
        precision, said, weak = precision_for(kinds) if kinds else "fp32", [], dict[str, Kind]()
        for name, content in self.members.items():
            kind = from_json(content.get("kind"))
            if kind is not None and not kind.can(precision):
                weak[name] = kind
                if name not in self.aside:
                    self.set_aside(name)
                    said.append(f"{name} takes no runs: they are planned in {precision}, which its {kind.name} can't")
        if weak and not self.others(frozenset(weak)):
            one = next(iter(weak.values()))
            given = as_sm(one.capability) if one.device == "cuda" else one.device
            raise ConfigError(
                f"trainer.precision=auto is {precision} in this sweep, as {kinds[0].name} has it, and the workers have "
                f"{one.name}: give hydra.launcher.gpu={given} or another sweep.name"
            )
        return said

    def keep_up(self, waiting: int) -> None:
        """Start workers where runs wait and some have ended, and say what those that have no place lack. Raises
        ConfigError where they end at once."""
        if waiting and (line := self.engine.lack()):
            print(line, flush=True)
        if not waiting or time.monotonic() - self.started < START_S:
            return
        errors = self.engine.failed_starts()
        if len(errors) >= STARTS_THAT_FAIL and not self.members:
            raise ConfigError(f"workers end as soon as they are started: {errors[-1] or self.root / 'logs'}")
        lack = min(self.wanted - len(self.aside), -(-waiting // self.width)) - self.engine.alive()
        if lack > 0:
            self.start(lack)

    def end(self, grace_s: float) -> None:
        """Have all workers end."""
        self.engine.stop(grace_s)
        self._clear()

    def _clear(self) -> None:
        """Remove what lost workers and controllers have left."""
        for name in board.names(self.root / board.MEMBERS):
            self.watch.look(self._file(name))
            if self.is_lost(name):
                self.engine.give_up(name, self.members.get(name, {}))
                board.drop(self._file(name))
        for name in board.names(self.root / board.BOARDS):
            beat = self.root / board.BOARDS / name / board.BEAT
            self.watch.look(beat)
            if self.watch.still_for(beat) > 2 * self.lost_s:
                shutil.rmtree(beat.parent, ignore_errors=True)


def is_device_error(error: Any) -> bool:
    """Whether a run may have failed of the device it ran on. A lack of memory is the run's own."""
    if not isinstance(error, Exception) or trouble_of(error, mps=True, company=True) == "memory":
        return False
    return bool(CUDA_ERRORS.search(str(error)) or DEVICE_ERRORS.search(str(error)))
