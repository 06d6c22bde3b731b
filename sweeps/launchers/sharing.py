"""The GPUs of one sweep, and who is on them: which card has room for a run, and whether its runs share it under MPS."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweeps.launchers.gpu.cards import Card, read_cards
from sweeps.launchers.gpu.mps import Mps, end_left_behind, why_no_mps
from sweeps.launchers.gpu.placing import HEADROOM, Resident, need_of, objection, ranked
from sweeps.launchers.run_process import Processes, RunProcess, Task
from sweeps.launchers.slots import MachineSlot
from sweeps.plan.demand import MARGIN, Demand, Demands
from training.console.progress import EpochReport

AHEAD = Demand("ahead", recorded_mb=1024.0)  # a process with a network and the images, before it trains
FRESH_S = 2.0  # how old what nvidia-smi said may be


@dataclass
class Sharing:
    """`auto`: runs look for room themselves; else the number of slots is the user's word. `mps`: auto or off.
    `folder`: the sweep's."""

    auto: bool
    mps: str
    folder: Path
    slots: Sequence[MachineSlot]
    cards: dict[str, Card] = field(default_factory=dict)
    demands: Demands = field(default_factory=Demands)
    told_mb: dict[str, float] = field(default_factory=dict)  # by kind: the most that a run of this sweep has told
    seen_at: float = float("-inf")  # when nvidia-smi was asked
    lack: str = ""  # in words: which memory of other programs a run waits for
    servers: dict[str, Mps] = field(default_factory=dict)  # by card
    without_mps: dict[str, str] = field(default_factory=dict)  # cards that do without from now on, and why
    looked_behind: bool = False  # for daemons of MPS that an earlier sweep has left

    def __post_init__(self) -> None:
        self.auto = self.auto and any(slot.gpu for slot in self.slots)

    def demand(self, job: Any) -> Demand | None:
        """What a job asks of a GPU; None where memory is nobody's concern, or the job was not planned by us."""
        if not self.auto or getattr(job, "prepared", None) is None:
            return getattr(job, "demand", None) if self.auto else None  # one that was worked out elsewhere
        return self.demands.of(job)

    def look(self) -> None:
        """Ask nvidia-smi, where that was long ago. (The time before the answer counts.)"""
        if time.monotonic() - self.seen_at > FRESH_S:
            self.seen_at = time.monotonic()
            self.cards = read_cards([*dict.fromkeys(slot.gpu for slot in self.slots if slot.gpu)])

    def choose(self, demand: Demand | None, free: Sequence[MachineSlot], processes: Processes) -> list[MachineSlot]:
        """The free slots that a run may have, the best card first."""
        if not self.auto or not free:
            return list(free)
        self.look()
        names = [*dict.fromkeys(slot.gpu for slot in free)]
        residents = {name: self._residents(name, processes) for name in names}
        told = self.told_mb.get(demand.kind) if demand else None
        cards = {name: self.cards.get(name) for name in names}
        fit, reasons = ranked(demand, told, cards, residents, self.servers)
        foreign = [f"gpu {name}: {why}" for name, why in reasons.items() if why.startswith("other programs")]
        self.lack = f"waits for memory: {'; '.join(foreign)}" if foreign and not fit and not processes.at_work else ""
        return [slot for name in fit for slot in free if slot.gpu == name]

    def _residents(self, name: str, processes: Processes) -> list[Resident]:
        """Our runs on a card."""
        return [
            *(self._resident(run, False) for run in processes.at_work if run.slot.gpu == name),
            *(self._resident(run, True) for run in processes.leaving if run.slot.gpu == name and not run.is_gone),
        ]

    def _resident(self, run: RunProcess, leaving: bool) -> Resident:
        demand = run.task.demand
        need, sure = need_of(demand, self.told_mb.get(demand.kind) if demand else None)
        seen = run.told is not None and run.told < self.seen_at
        return Resident(need, sure, seen, demand is not None and demand.splits, run.task.alone, leaving)

    def heard(self, run: RunProcess, report: EpochReport) -> None:
        """An epoch of a run is over: it tells the memory that it has taken."""
        demand = run.task.demand
        if demand is None or report.gpu_memory_mb is None or report.epoch < demand.settled:
            return
        run.told = run.told if run.told is not None else time.monotonic()
        self.told_mb[demand.kind] = max(self.told_mb.get(demand.kind, 0.0), MARGIN * report.gpu_memory_mb)

    def has_to_be_empty(self, task: Task) -> bool:
        """Whether a run can't begin before what has ended in its slot is gone."""
        card = self.cards.get(task.slot.gpu)
        return task.alone or (card is not None and card.exclusive and card.name not in self.servers)

    def has_room_ahead(self, run: RunProcess, processes: Processes) -> bool:
        """Whether a card has room for one process more than runs, with its context and network."""
        if not run.slot.gpu:
            return True
        self.look()
        card = self.cards.get(run.slot.gpu)
        if run.task.alone or processes.parked or card is None:
            return False
        if not self.auto:
            return not card.exclusive and card.total_mb * (1 - HEADROOM) - card.used_mb > 2 * (AHEAD.recorded_mb or 0)
        others = [one for one in self._residents(run.slot.gpu, processes) if not one.leaving]
        return not objection(AHEAD, None, card, others, run.mps)

    def environment(self, slot: MachineSlot, alone: bool) -> tuple[dict[str, str], bool]:
        """Environment variables of a run in a slot, and whether it is a client of MPS, which is started where it has to
        be."""
        variables = slot.environment()
        if slot.gpu and not self.looked_behind:
            self.looked_behind = True
            end_left_behind(self.folder)
        server = None if alone else self._server(slot.gpu)
        if server is None:
            return variables, False
        return variables | server.environment(), True

    def _server(self, name: str) -> Mps | None:
        shared = sum(slot.gpu == name for slot in self.slots) > 1
        if not name or not shared or name in self.without_mps:
            return None
        if name not in self.servers:
            self.look()
            why = "hydra.launcher.mps=off" if self.mps == "off" else why_no_mps(self.cards.get(name))
            server = None if why else Mps.start(self.cards[name], self.folder)
            if server is None:
                self.without_mps[name] = why or "its control daemon did not start"
                return None
            self.servers[name] = server
        return self.servers[name]

    def stop_mps(self, name: str, why: str) -> None:
        """Do without MPS on a card from now on."""
        self.without_mps[name] = why
        if name in self.servers:
            self.servers.pop(name).stop()

    def close(self) -> None:
        """End all control daemons."""
        for name in list(self.servers):
            self.servers.pop(name).stop()
