"""The trackers beside TensorBoard: which are asked for, what they get to see, and that none of them ends a run.

A tracker takes a run's config, its curves, and at the end its record, under the name of its sweep and run folder. Which
of its runs is this one, and how far it has been told, stands in `trackers.json` in the run folder, so that a run that
was killed goes on in the same place.
"""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch.optim import Optimizer

from training.config import RunConfig, as_dict
from training.engine.tracking.needed import asked
from training.engine.tracking.tensorboard import RATES_AN_EPOCH, rates_of
from training.record import Record
from training.run_folder import TRACKERS, read_json, write_json
from training.schema.json_parts import as_number, to_keys

log = logging.getLogger(__name__)


@dataclass
class About:
    """What a tracker is told of a run at its beginning. `known`: what it has left in the run folder before."""

    name: str  # <slug>-<identity>/seed=<n>, as below the sweep's folder
    sweep: str
    root: Path  # of all sweeps
    identity: str
    config: dict[str, Any]  # nested
    known: dict[str, Any] = field(default_factory=dict)


class Tracked(Protocol):
    """A run in a tracker. Any method may raise anything."""

    known: dict[str, Any]  # how to find this run again

    def epoch(self, epoch: int, scalars: dict[str, float], rates: Sequence[tuple[int, dict[str, float]]]) -> None:
        """Curves by epoch, and learning rates by optimizer step."""

    def record(self, record: Record) -> None:
        """How the run ended."""

    def close(self, status: str | None) -> None:
        """Let go. `status`: of the record; None where there is none."""


def opener(name: str) -> Callable[[About], Tracked]:
    """What begins a run in a tracker, or goes on with it. Its package is imported here at the earliest."""
    if name == "wandb":
        from training.engine.tracking.wandb_run import WandbRun

        return WandbRun
    from training.engine.tracking.mlflow_run import MlflowRun

    return MlflowRun


class Elsewhere:
    """All trackers beside TensorBoard. What one of them raises is told in a line, and the run goes on without it."""

    def __init__(self, folder: Path, config: RunConfig, name: str, identity: str, first_epoch: int) -> None:
        self.folder, self.first_epoch = folder, first_epoch
        self.status: str | None = None
        self.rates: list[tuple[int, dict[str, float]]] = []
        self.open: dict[str, Tracked] = {}
        names = asked(config.tracking)
        self.kept = read_json(folder / TRACKERS) if names else {}
        for one in names:
            known = self._kept(one)
            if known.get("ended") and first_epoch == 1:  # trained anew
                known = {}
            sweep = config.sweep
            about = About(name, sweep.name, Path(sweep.root), identity, as_dict(config), known)
            self._guarded(one, lambda one=one, about=about: self._start(one, about))  # type: ignore[misc]

    def _kept(self, name: str) -> dict[str, Any]:
        found = self.kept.get(name)
        return found if isinstance(found, dict) else {}

    def _start(self, name: str, about: About) -> None:
        self.open[name] = opener(name)(about)
        told = about.known.get("epoch", 0) if self.open[name].known.get("id") == about.known.get("id") else 0
        self._keep(name, self.open[name].known | {"epoch": told, "ended": False})

    def watch(self, optimizer: Optimizer, steps_an_epoch: int) -> None:
        """Note the learning rates of `optimizer` about as often as TensorBoard does."""
        if not self.open:
            return
        every, done = max(1, math.ceil(steps_an_epoch / RATES_AN_EPOCH)), (self.first_epoch - 1) * steps_an_epoch

        def note(optimizer: Optimizer, *_: Any) -> None:
            nonlocal done
            if done % steps_an_epoch % every == 0:
                self.rates.append((done, rates_of(optimizer)))
            done += 1

        optimizer.register_step_pre_hook(note)

    def epoch(self, epoch: int, scalars: dict[str, float]) -> None:
        """The curves of a finished epoch. One that a killed process has told already isn't told twice."""
        rates, self.rates = self.rates, []
        for name in list(self.open):
            self._guarded(name, lambda name=name: self._epoch(name, epoch, scalars, rates))  # type: ignore[misc]

    def _epoch(
        self, name: str, epoch: int, scalars: dict[str, float], rates: Sequence[tuple[int, dict[str, float]]]
    ) -> None:
        if epoch > (as_number(self._kept(name).get("epoch")) or 0):
            self.open[name].epoch(epoch, {key: value for key, value in scalars.items() if math.isfinite(value)}, rates)
            self._keep(name, self._kept(name) | {"epoch": epoch})

    def record(self, record: Record) -> None:
        """How the run ended."""
        self.status = record.status
        for name in list(self.open):
            self._guarded(name, lambda name=name: self.open[name].record(record))  # type: ignore[misc]
            if name in self.open:
                self._guarded(name, lambda name=name: self._keep(name, self._kept(name) | {"ended": True}))  # type: ignore[misc]

    def close(self) -> None:
        """Let go of all."""
        for name, one in list(self.open.items()):
            self._guarded(name, lambda one=one: one.close(self.status))  # type: ignore[misc]
        self.open = {}

    def _keep(self, name: str, known: dict[str, Any]) -> None:
        self.kept[name] = known
        write_json(self.folder / TRACKERS, self.kept)

    def _guarded(self, name: str, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # whatever a tracker, its server or its disk makes of it
            first = next(iter(str(error).splitlines()), "")
            log.warning("%s: %s: %s; the run goes on without it", name, type(error).__name__, first)
            self.open.pop(name, None)


def figures(record: Record) -> dict[str, float]:
    """The numbers of a record by the names of their columns: val_acc, test_macro_f1, minutes."""
    found: dict[str, float | None] = {}
    for split in ("val", "test"):
        found |= {f"{split}_{key}": as_number(value) for key, value in to_keys(getattr(record, split)).items()}
    names = ("minutes", "images_per_s", "latency_ms", "params", "best_epoch", "epochs_run")
    found |= {name: record.figure(name) for name in names}
    return {name: float(value) for name, value in found.items() if value is not None and math.isfinite(value)}


def per_class(record: Record) -> dict[str, list[Any]]:
    """The table of classes by column: class, val_acc and test_acc in per cent (None: not known)."""
    classes = [str(name) for name in record.data.classes or []]
    splits = {f"{split}_acc": getattr(record, split).per_class_acc or {} for split in ("val", "test")}
    return {"class": classes} | {name: [found.get(one) for one in classes] for name, found in splits.items()}


def flat(content: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Nested dicts as one, with dotted keys."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        found |= flat(value, f"{before}{key}.") if isinstance(value, dict) and value else {f"{before}{key}": value}
    return found
