"""What a person sees of a sweep: a line a slot while it runs (on a terminal, else plain lines), and a summary."""

import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from sweeps.controller.finalize import last_lines
from sweeps.forecast import Forecast, Work, in_words, run_folders, with_unknown, work_of
from sweeps.launchers.launcher import Handle
from sweeps.plan.jobs import Job
from training.console.progress import EpochReport
from training.console.table import visible
from training.record import Record, read_record
from training.run_folder import CONFIG, LOG, RECORD

PLAIN_EVERY_S = 30.0  # an epoch's line of the same run, where stdout is no terminal


class View:
    """Shows `total` runs (None: not known) in `slots`, of which `planned` are known. `sweep_folder`: where finished
    ones say how long they took, and which is the best so far."""

    def __init__(
        self, total: int | None, sweep_folder: Path | None = None, planned: Sequence[Job] = (), slots: int = 1
    ) -> None:
        self.total, self.slots, self.ended_count = total, slots, 0
        self.planned = {job.number: work_of(job.run) for job in planned}
        self.forecast = Forecast()
        self.sweep_folder, self.waits_for = sweep_folder, ""
        self.told: set[str] = set()  # lines of that kind, each said once
        self.console = Console()
        self.running: dict[int, tuple[Handle, EpochReport | None]] = {}
        self.counts: Counter[str] = Counter()
        self.printed: dict[int, float] = {}
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.progress = Progress(*columns, console=self.console)
        self.task = self.progress.add_task("sweep", total=total)
        self.live = Live(self._picture(), console=self.console, refresh_per_second=4, transient=True)
        self.terminal = sys.stdout.isatty()

    def __enter__(self) -> "View":
        if self.terminal:
            for folder in run_folders(self.sweep_folder) if self.sweep_folder else []:
                if (record := read_record(folder)) is not None:
                    self.forecast.ended(name(folder), record)
            self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.terminal:
            self.live.stop()

    def say(self, line: str) -> None:
        """A line that stays."""
        self.console.print(visible(line), markup=False, highlight=False, soft_wrap=True)

    def begun(self, handle: Handle) -> None:
        """A run has started in its slot."""
        self.running[handle.number] = (handle, None)
        if not self.terminal:
            self.say(f"#{handle.number} started: {name(handle.folder)} on {handle.slot.name}")
        self._refresh()

    def waits(self, line: str) -> None:
        """Who uses the slots that this sweep waits for; nothing where it waits for none."""
        changed, self.waits_for = line != self.waits_for, line
        if line and not self.terminal and not self.running and line not in self.told:
            self.told.add(line)
            self.say(line)
        if changed:
            self._refresh()

    def epoch(self, handle: Handle, report: EpochReport) -> None:
        """An epoch of a run is over."""
        self.running[handle.number] = (handle, report)
        self.forecast.seen(name(handle.folder), report.monitor, report.figure(report.monitor))
        now = time.monotonic()
        if (
            not self.terminal
            and not report.repeated
            and now - self.printed.get(handle.number, -PLAIN_EVERY_S) >= PLAIN_EVERY_S
        ):
            self.printed[handle.number] = now
            self.say(f"#{handle.number} epoch {report.epoch}/{report.epochs}: val acc {report.val_acc:.2f}")
        self._refresh()

    def ended(self, number: int, folder: Path, status: str, detail: str = "", record: Record | None = None) -> None:
        """A run is over, with this status."""
        self.running.pop(number, None)
        self.planned.pop(number, None)
        self.ended_count += 1
        if record is not None:
            self.forecast.ended(name(folder), record)
        self.counts[status] += 1
        self.progress.advance(self.task)
        self.say(f"#{number} {status}: {name(folder)}{'  ' + detail if detail else ''}")
        self._refresh()

    def left(self, number: int) -> None:
        """A run was stopped before its end."""
        self.running.pop(number, None)
        self._refresh()

    def _refresh(self) -> None:
        if self.terminal:
            self.live.update(self._picture())

    def _picture(self) -> Group:
        table = Table(box=None, pad_edge=False)
        for heading in ("slot", "run", "epoch", "val acc", "images/s", "left"):
            table.add_column(heading, overflow="fold" if heading == "run" else "ellipsis")
        for handle, report in sorted(self.running.values(), key=lambda item: item[0].slot.number):
            row = [handle.slot.name, name(handle.folder)]
            if report is not None:
                row += [f"{report.epoch}/{report.epochs}", f"{report.val_acc:.2f}", f"{report.images_per_s:.0f}"]
                row.append(f"{report.seconds_left:.0f} s")
            table.add_row(*(Text(visible(cell)) for cell in row))  # as it is: a name may look like markup
        lines = [Text(visible(line)) for line in (self._outlook(), self.waits_for) if line]
        return Group(table, self.progress, *lines)

    def _outlook(self) -> str:
        """How long the whole sweep will take, and the best so far, where anything is known."""
        best = self.forecast.best.text if self.forecast.best else ""
        running = [self._work(handle, report) for handle, report in self.running.values()]
        waiting = [work for number, work in self.planned.items() if number not in self.running]
        if not self.planned and self.total:  # a search: trials like those that run
            waiting = with_unknown(running, waiting, self.total - self.ended_count - len(running))
        left = self.forecast.seconds_left(running, waiting, self.slots)
        about = f"about {in_words(left)} left" if left is not None and (running or waiting) else ""
        return "; ".join(filter(None, [about, best]))

    def _work(self, handle: Handle, report: EpochReport | None) -> Work:
        known = self.planned.get(handle.number, Work("", report.epochs if report else None))
        if report is None:
            return known
        return replace(known, epochs=report.epochs, epoch=report.epoch, seconds_left=report.seconds_left)


def name(folder: Path) -> str:
    """How a run is called: its folder within the sweep."""
    return f"{folder.parent.name}/{folder.name}"


def show_end(console: Console, sweep_folder: Path, failed: list[Path]) -> None:
    """Print the last log lines of failed runs, the table of this sweep, and where everything lies."""
    for folder in failed:
        failure = (read_record(folder) or Record()).failure
        why = f" ({failure.kind}): {failure.message}" if failure.kind else ", and no record of it could be written:"
        line = f"\n{name(folder)} failed{why}"
        console.print(visible(line), markup=False, highlight=False, soft_wrap=True)
        for line in last_lines(folder):
            console.print(f"    {visible(line)}", markup=False, highlight=False, soft_wrap=True)
        console.print(visible(f"    all of it: {folder / LOG}"), markup=False, highlight=False, soft_wrap=True)
    from analysis.report import main as report

    if any((run / file).is_file() for run in sweep_folder.glob("*/seed=*") for file in (RECORD, CONFIG)):
        report([str(sweep_folder)])
    console.print(visible(f"folders: {sweep_folder}"), markup=False, highlight=False, soft_wrap=True)
