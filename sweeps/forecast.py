"""How long a sweep will still take, by what its runs have taken so far, and which is the best so far. Without torch."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.config import RunConfig
from training.metrics import METRICS
from training.record import Record
from training.schema.settings import model_name


@dataclass(frozen=True)
class Work:
    """A run that is not over: of `epochs` epochs (None: not known) of `model`, of which it has done `epoch`.
    `seconds_left`: by these."""

    model: str
    epochs: int | None
    seconds_left: float | None = None
    epoch: int = 0

    @property
    def seconds_an_epoch(self) -> float | None:
        """By its own epochs; None where that isn't known."""
        left = (self.epochs or 0) - self.epoch
        return self.seconds_left / left if self.seconds_left and left > 0 else None


@dataclass(frozen=True)
class Best:
    """The best value so far of what runs go by, `name` (val_acc), and the run that has it."""

    name: str
    value: float
    run: str

    @property
    def text(self) -> str:
        """For people: best so far: val acc 97.31 (resnet18-.../seed=0)."""
        return f"best so far: {self.name.replace('_', ' ')} {self.value:.4g} ({self.run})"


@dataclass
class Forecast:
    """What is known of the runs of one sweep."""

    seconds_an_epoch: dict[str, list[float]] = field(default_factory=dict)  # by model, of runs that ended
    best: Best | None = None

    def ended(self, run: str, record: Record) -> None:
        """A run is over, in this session or an earlier one."""
        settings, minutes = record.settings, record.time.minutes
        if minutes and record.epochs_run and record.status in ("done", "pruned"):
            self.seconds_an_epoch.setdefault(settings.model or "", []).append(60 * minutes / record.epochs_run)
        if record.status == "done":
            self.seen(run, settings.monitor, record.figure(settings.monitor), record.config)

    def seen(self, run: str, name: str, value: float | None, config: Mapping[str, Any] | None = None) -> None:
        """A value of what a run goes by. Runs that go by something else than the first are not compared. `config`: of
        the run, for metrics of a user's own."""
        if value is None or value != value or (self.best is not None and name != self.best.name):
            return
        sign = _sign(name.removeprefix("val_"), config or {})
        if self.best is None or sign * value > sign * self.best.value:
            self.best = Best(name, value, run)

    def seconds_left(self, running: Sequence[Work], waiting: Iterable[Work], slots: int) -> float | None:
        """Until the last run ends; None where there is nothing yet to go by."""
        rates = {model: list(seconds) for model, seconds in self.seconds_an_epoch.items()}
        for work in running:
            if work.model not in self.seconds_an_epoch and work.seconds_an_epoch is not None:
                rates.setdefault(work.model, []).append(work.seconds_an_epoch)
        first = [_seconds(work, rates) for work in running]
        later = [_seconds(work, rates) for work in waiting]
        known = [seconds for seconds in (*first, *later) if seconds is not None]
        if not known:
            return None
        mean = statistics.mean(known)
        ends = sorted(mean if seconds is None else seconds for seconds in first)[-slots:]
        ends += [0.0] * (slots - len(ends))
        for seconds in later:
            ends[0] += mean if seconds is None else seconds  # in the slot that is free first
            ends.sort()
        return ends[-1]


def _seconds(work: Work, rates: Mapping[str, Sequence[float]]) -> float | None:
    """A run of a model that has not been seen takes as long an epoch as the others do."""
    if work.seconds_left is not None:
        return work.seconds_left
    alike = rates.get(work.model) or [rate for seconds in rates.values() for rate in seconds]
    return (work.epochs - work.epoch) * statistics.median(alike) if work.epochs and alike else None


def work_of(run: RunConfig) -> Work:
    """A run that is to come."""
    network = run.model
    return Work(model_name(network._target_, network.name, network.accepts), run.trainer.epochs)


def with_unknown(running: Sequence[Work], waiting: Sequence[Work], count: int) -> list[Work]:
    """`waiting`, and `count` more of which nothing is known, as the trials of a search: taken for such as those that
    run."""
    like = Work(running[0].model, running[0].epochs) if running else Work("", None)
    return [*waiting, *[like] * max(0, count)]


def _sign(name: str, config: Mapping[str, Any]) -> int:
    """1 where higher is better, else -1."""
    if name in METRICS:
        return METRICS[name].sign
    trainer = config.get("trainer")
    metrics = trainer.get("metrics") if isinstance(trainer, Mapping) else None
    own = metrics.get(name) if isinstance(metrics, Mapping) else None
    return -1 if isinstance(own, Mapping) and own.get("direction") == "minimize" else 1


def in_words(seconds: float) -> str:
    """2 s, 3 min, 1 h 20 min, 2 d 3 h."""
    minutes = seconds / 60
    if minutes < 1:
        return f"{seconds:.0f} s"
    if minutes < 90:
        return f"{minutes:.0f} min"
    if minutes < 48 * 60:
        return f"{minutes // 60:.0f} h {minutes % 60:.0f} min"
    return f"{minutes // 1440:.0f} d {minutes % 1440 // 60:.0f} h"


def run_folders(sweep_folder: Path) -> list[Path]:
    """The run folders of a sweep, sorted."""
    return sorted(path for path in sweep_folder.glob("*/seed=*") if path.is_dir())
