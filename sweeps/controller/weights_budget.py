"""sweep.keep_weights: of how many finished runs of a sweep the weights stay on the disk.

Whoever has a run finished (a controller, a single run) looks through the sweep's folder and removes best.safetensors of
the runs that are not among the best; what is not removed now, since a process uses the run, is with the next one. A run
stays what it is: its record, which says that its weights were removed, predictions and history. Never removed are
weights that another run of the sweep starts from (weights.path), and those of soups, which don't count.
"""

import logging
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from training.config import RunConfig
from training.metrics import all_metrics
from training.models.removed_weights import standing
from training.record import Record, read_beginning, read_record, write_record
from training.run_folder import ASKED, BEST, CONFIG, RunInUse, lock, read_json, write_json

STARTS_FROM = "starts_from"  # key of the sweep's file: values of weights.path
WAIT_S = 30.0  # for another controller that looks through the same folder
log = logging.getLogger(__name__)


@dataclass
class WeightsBudget:
    """The budget of the sweep in `folder`: the weights of the `keep` best runs by `objective`, of which more is better
    with `sign` 1 and less with -1. `named`: values of weights.path of runs that have not begun."""

    folder: Path
    setting: str
    objective: str
    sign: int
    named: set[str] = field(default_factory=set)
    removed: list[Path] = field(default_factory=list)
    _begun: dict[Path, tuple[int, str | None]] = field(default_factory=dict)  # config.json: its age, its weights.path

    @property
    def keep(self) -> int | None:
        """Of how many runs the weights stay; None: of all."""
        return None if self.setting == "all" else 1 if self.setting == "best" else int(self.setting)

    def apply(self) -> None:
        """Remove what is over the budget. What can't be removed stays, and is tried again the next time."""
        if self.keep is None or not any(self.folder.glob(f"*/*/{BEST}")):
            return
        with suppress(RunInUse), lock(self.folder, wait_s=WAIT_S):
            for run in self._over():
                try:
                    self._remove(run)
                except RunInUse:
                    continue
                except OSError as error:
                    log.warning("sweep.keep_weights=%s: the weights of %s stay: %s", self.setting, run, error)

    def _over(self) -> list[Path]:
        """The runs whose weights are to go, the best first. One that can't be ranked keeps them."""
        ranked = []
        for file in self.folder.glob(f"*/*/{BEST}"):
            record = read_record(file.parent)
            if record is None or record.status != "done" or record.is_soup:
                continue
            value = record.figure(self.objective)
            if value is not None and value == value:  # no nan
                ranked.append((-self.sign * value, standing(record, file.parent), file.parent))
        over = [run for *_, run in sorted(ranked)][self.keep :]
        return [run for run in over if not self._is_named(run)] if over else []

    def announce(self) -> None:
        """Write down in the sweep's file which weights its planned runs start from, for other controllers."""
        if self.named:
            with lock(self.folder, wait_s=WAIT_S):
                content = read_json(self.folder / ASKED)
                content[STARTS_FROM] = sorted(self.named | _texts(content.get(STARTS_FROM)))
                write_json(self.folder / ASKED, content)

    def _is_named(self, run: Path) -> bool:
        """Whether a run of this sweep, a planned one too, starts from these weights: by the folder, or (as a path may
        have been given from another place) by the last two parts of its name."""
        announced = _texts(read_json(self.folder / ASKED).get(STARTS_FROM))
        return any(_names(path, run) for path in self.named | announced | self._weights_paths())

    def _weights_paths(self) -> set[str]:
        """weights.path of all runs of the sweep that have begun. Each config is read once."""
        for file in self.folder.glob(f"*/*/{CONFIG}"):
            with suppress(OSError):
                changed = file.stat().st_mtime_ns
                if self._begun.get(file, (0, None))[0] != changed:
                    self._begun[file] = changed, _weights_path(read_beginning(file.parent))
        return {path for _, path in self._begun.values() if path}

    def _remove(self, run: Path) -> None:
        """Raises RunInUse, or OSError where the record can't be written; then the weights stay."""
        with lock(run):
            record = read_record(run)
            if record is None or record.status != "done":  # it is trained anew
                return
            if record.weights_removed is None:  # first: whoever finds no weights finds the reason
                write_record(run, replace(record, weights_removed=self.setting))
            (run / BEST).unlink(missing_ok=True)
        self.removed.append(run)
        log.info("%s: its weights were removed (sweep.keep_weights=%s)", run, self.setting)

    def summary(self) -> str:
        """What was removed, in one line; empty where nothing was."""
        if not self.removed:
            return ""
        count = len(set(self.removed))
        return f"sweep.keep_weights={self.setting}: removed the weights of {count} run{'s' * (count != 1)}"


def budget_of(
    run: RunConfig, runs: Iterable[RunConfig] = (), objective: str | None = None, direction: str | None = None
) -> WeightsBudget:
    """The budget that `run` sets for its sweep. `runs`: all that are planned; `objective` and its `direction`: those of
    a search, else what the run itself goes by (trainer.monitor)."""
    name = objective or run.trainer.monitor
    ways = {metric.monitor: str(metric.direction) for metric in all_metrics(run.trainer.metrics).values()}
    sign = -1 if (direction or ways.get(name)) == "minimize" else 1
    named = {one.weights.path for one in (run, *runs) if one.weights.path}
    return WeightsBudget(Path(run.sweep.root) / run.sweep.name, str(run.sweep.keep_weights), name, sign, named)


def _weights_path(record: Record | None) -> str | None:
    weights = ((record or Record()).config or {}).get("weights")
    path = weights.get("path") if isinstance(weights, Mapping) else None
    return path if isinstance(path, str) else None


def _texts(values: object) -> set[str]:
    return {one for one in values if isinstance(one, str)} if isinstance(values, list) else set()


def _names(path: str, run: Path) -> bool:
    given = Path(os.path.expanduser(path))  # noqa: PTH111 (Path's own raises for ~name without such a user)
    folder = given.parent if given.name == BEST else given
    if folder.parts[-2:] == run.parts[-2:]:
        return True
    with suppress(OSError):
        return folder.resolve() in (run.resolve(), (run / BEST).resolve())
    return False
