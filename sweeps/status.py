"""What a sweep is at, from another terminal: what runs, waits, is done or failed; and how to end a run, or all of them.

python -m sweeps.status                          the newest sweep under outputs/
python -m sweeps.status outputs/demo --watch     again and again, until nothing runs
python -m sweeps.status outputs/demo --json      for programs
python -m sweeps.status outputs/demo --cancel '#3'
python -m sweeps.status outputs/demo --cancel-all

A cancelled run ends after its epoch and is no failure (kill -TERM PROCESS does the same to a run of a sweep). The same
command that started it takes it up again. RUN is a job number (#3), a run folder, a part of its name or an identity.
After --cancel-all the sweep ends with exit code 130, as after Ctrl-C.
"""

import argparse
import difflib
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sweeps.cancelling import ALL, CONTROLLERS, ask_controller, ask_run
from sweeps.forecast import in_words
from sweeps.sweep_state import UNDER_WAY, RunState, SweepState, last_written, read_sweep
from training.config import SweepConfig
from training.console.program import called, run_program
from training.console.table import visible
from training.errors import ConfigError
from training.run_folder import ASKED

ORDER = ("running", "waiting", "cancelled", "interrupted", "failed", "unreadable", "diverged", "pruned", "done")
SHOWN, LISTED = 20, 12  # rows of a status without --all; runs in an error's line
WATCH_S = 2.0
WIDE = 400  # columns, where nothing has to fit


def main(argv: Sequence[str] | None = None) -> int:
    """Show, or ask for an end; gives the exit code."""
    return run_program(arguments(), status, argv)


def status(args: argparse.Namespace) -> None:
    """Raises ConfigError."""
    folder = sweep_folder(args.folder) if args.folder else newest_sweep()
    if args.cancel or args.cancel_all:
        return cancel(read_sweep(folder), args.cancel, args.cancel_all)
    if not args.watch:
        return show(read_sweep(folder), args)
    if args.json or not sys.stdout.isatty():
        return follow(folder, args)
    with Live(console=Console(), auto_refresh=False) as live:
        while True:
            state = read_sweep(folder)
            live.update(picture(state, args.all), refresh=True)
            if not under_way(state):
                return None
            time.sleep(WATCH_S)


def follow(folder: Path, args: argparse.Namespace) -> None:
    """Say it again whenever something has changed."""
    before = None
    while True:
        state = read_sweep(folder)
        now = [(run.name, run.status, run.epoch, run.ending) for run in state.runs]
        if now != before:
            show(state, args)
            sys.stdout.flush()
        before = now
        if not under_way(state):
            return
        time.sleep(WATCH_S)


def under_way(state: SweepState) -> bool:
    """Whether anything can still change."""
    return bool(state.controllers or state.detached) or any(run.status in UNDER_WAY for run in state.runs)


def sweep_folder(given: Path) -> Path:
    """The sweep that a folder is, or belongs to. Raises ConfigError."""
    if not given.is_dir():
        near = difflib.get_close_matches(given.name, [path.name for path in given.parent.glob("*/")], 1)
        hint = f"; did you mean {given.parent / near[0]}?" if near else ""
        raise ConfigError(f"no such folder: {given}{hint}")
    for folder in (given, *given.absolute().parents[:2]):
        if next(folder.glob("*/seed=*"), None) or (folder / ASKED).exists() or (folder / CONTROLLERS).is_dir():
            return folder
    inside = sorted(path.name for path in given.glob("*/") if next(path.glob("*/seed=*"), None))
    hint = f"; in it are {', '.join(inside[:LISTED])}" if inside else ""
    raise ConfigError(f"{given} is not the folder of a sweep{hint}")


def newest_sweep() -> Path:
    """The one in which was written last. Raises ConfigError."""
    root = Path(SweepConfig.root)
    found = {path: last_written(path) for path in sorted(root.glob("*/"))}
    if not any(found.values()):
        raise ConfigError(f"no sweep under {root}/ yet: start one ({called('train')} -m ...), or name its folder")
    return max(found, key=found.__getitem__)


def show(state: SweepState, args: argparse.Namespace) -> None:
    """Print it once."""
    if args.json:
        print(json.dumps(state.to_json(), indent=None if args.watch else 1))
    else:
        Console(width=None if sys.stdout.isatty() else WIDE).print(picture(state, args.all))


def picture(state: SweepState, everything: bool) -> RenderableType:
    """The table, and what is to be said around it."""
    columns = [("#", "number"), ("status", ""), ("slot", ""), ("process", "number"), ("epoch", "number")]
    columns += [("val acc", "number"), ("left", "number"), ("run", "fold")]
    table = Table(box=None, pad_edge=False)
    for heading, kind in columns:
        justify, overflow = "right" if kind == "number" else "left", "fold" if kind == "fold" else "ellipsis"
        table.add_column(heading, justify=justify, overflow=overflow, no_wrap=kind != "fold")  # type: ignore[arg-type]
    hidden = 0
    for kind in (*ORDER, "not begun"):
        runs = [run for run in state.runs if run.status == kind]
        shown = runs if everything else runs[:SHOWN]
        hidden += len(runs) - len(shown)
        for run in shown:
            table.add_row(*(Text(visible(cell)) for cell in row(run)))
    lines = [headline(state), *processes(state)]
    below = [f"{hidden} more: --all"] if hidden else []
    return Group(*(Text(visible(line)) for line in lines), table, *map(Text, below))


def headline(state: SweepState) -> str:
    """Counts, time left, and the best so far."""
    counts = ", ".join(f"{state.counts[kind]} {kind}" for kind in (*ORDER, "not begun") if state.counts[kind])
    left = f"about {in_words(state.seconds_left)} left" if state.seconds_left is not None else ""
    best = state.best.text if state.best else ""
    return f"{state.folder}: {'; '.join(filter(None, [counts or 'no runs', left, best]))}"


def processes(state: SweepState) -> list[str]:
    """Who carries the sweep out."""
    lines = []
    for one in state.controllers:
        since = time.strftime("%H:%M:%S", time.localtime(one.started))
        more = "".join(f"; {words}" for words in (one.ending and f"ending: {one.ending}", one.waits_for) if words)
        lines.append(f"controller: process {one.process} on {one.host} since {since}{more}")
    return [*lines, *([f"controller: {state.detached}, not at work yet"] if state.detached else [])]


def row(run: RunState) -> list[str]:
    """The cells of a run."""
    epoch = "" if run.epoch is None and run.epochs is None else f"{run.epoch or 0}/{run.epochs or '?'}"
    return [
        "" if run.number is None else f"#{run.number}",
        "ending" if run.ending and run.status == "running" else run.status,
        run.slot or "",
        str(run.process or ""),
        epoch,
        "" if run.val_acc is None else f"{run.val_acc:.2f}",
        "" if run.seconds_left is None else in_words(run.seconds_left),
        f"{run.name}  {run.note}".rstrip(),
    ]


def cancel(state: SweepState, wanted: Sequence[str], everything: bool) -> None:
    """Ask for the end of these runs. Raises ConfigError, and asks for none, where one of them can't be told."""
    can_end = [run for run in state.runs if run.status in UNDER_WAY]
    if everything:
        if not can_end and not state.controllers:
            where = f"; its controller is {state.detached}" * bool(state.detached)
            raise ConfigError(f"--cancel-all: nothing runs or waits in {state.folder}{where}")
        for controller in state.controllers:
            ask_controller(controller.folder, ALL)
    chosen = can_end if everything else list({id(run): run for run in (find(state, one) for one in wanted)}.values())
    for run in chosen:
        owner = run.controller
        if owner is not None and run.number is not None and not everything:
            ask_controller(owner.folder, str(run.number))
        if run.status == "running" and (owner is None or not owner.hears):
            ask_run(state.folder / run.name)
        what = "ends after its epoch" if run.status == "running" else "will not begin"
        print(visible(f"{label(run)} {what}"))
    if everything:
        print("the same command again goes on")


def find(state: SweepState, wanted: str) -> RunState:
    """The run that is meant, which can be ended. Raises ConfigError."""
    number = wanted.removeprefix("#")
    path = str(Path(wanted).resolve())
    ways: tuple[Callable[[RunState], bool], ...] = (
        lambda run: number.isdigit() and run.number == int(number),
        lambda run: wanted.rstrip("/") == run.name or path == str((state.folder / run.name).resolve()),
        lambda run: wanted == run.identity,
        lambda run: wanted in run.name and not wanted.startswith("#"),
    )
    can_end = [run for run in state.runs if run.status in UNDER_WAY]
    there_is = listing(can_end)
    for way in ways:
        found = [run for run in state.runs if wanted and way(run)]
        alive = [run for run in found if run.status in UNDER_WAY]
        if len(alive) == 1:
            return alive[0]
        if alive:
            raise ConfigError(f"--cancel {wanted}: several runs are meant by that: {listing(alive)}")
        if found:
            raise ConfigError(f"--cancel {wanted}: {label(found[0])} is {found[0].status}; there is {there_is}")
    raise ConfigError(f"--cancel {wanted}: no such run; there is {there_is}")


def label(run: RunState) -> str:
    """How a run is called in a sentence."""
    return run.name if run.number is None else f"#{run.number} {run.name}"


def listing(runs: Sequence[RunState]) -> str:
    """Runs in one line."""
    named = [f"{label(run)} ({run.status})" for run in runs[:LISTED]]
    more = [f"{len(runs) - LISTED} more"] if len(runs) > LISTED else []
    return ", ".join([*named, *more]) or "nothing that runs or waits"


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    description, _, rest = str(__doc__).partition("\n\n")
    parser = argparse.ArgumentParser(
        "python -m sweeps.status",
        description=description,
        epilog=f"examples:\n{rest}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("folder", nargs="?", type=Path, metavar="FOLDER", help="of a sweep; the newest one if none is named")
    add("--watch", action="store_true", help=f"again every {WATCH_S:g} s, until nothing runs")
    add("--json", action="store_true", help="for programs: one object, with --watch one a line")
    add("--all", action="store_true", help=f"all runs, where more than {SHOWN} have the same status")
    add("--cancel", action="append", default=[], metavar="RUN", help="end this run after its epoch (again for more)")
    add("--cancel-all", action="store_true", help="end all runs after their epochs, and the sweep")
    return parser


if __name__ == "__main__":
    sys.exit(main())
