"""How a run is told, from another terminal, to end after the epoch under way, and where the sweep says that it did.

A request is a file. Where a controller has the run, in that controller's folder, `<sweep>/.controllers/NAME/cancel/3`
or `cancel/all`, so it goes with its controller. Else in the run folder, `.cancel`, which names the process that it is
for. sweep.json says that a run was cancelled, {"cancelled": {"<slug>-<identity>/seed=0": {"epoch": 3, "time": ...}}},
until it is taken up again. Light to import: `python -m sweeps.status` uses it.
"""

import contextlib
import fcntl
import os
import platform
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path

from training.run_folder import ASKED, LOCK, RunInUse, lock, read_json, write_json

CONTROLLERS = ".controllers"  # in a sweep's folder: a folder for each controller that lives, with its lock
REQUESTS = "cancel"  # in a controller's folder
ALL = "all"
RUN_REQUEST = ".cancel"  # in a run folder
VARIABLE = "FINEGRID_CONTROLLER"  # the controller's folder, for runs of launchers that give their runs no channel


def ask_controller(controller: Path, what: str) -> None:
    """Ask for the end of a job, by its number, or of ALL. Raises OSError."""
    folder = controller / REQUESTS
    folder.mkdir(exist_ok=True)
    (folder / what).touch()


def asked_of_controller(controller: Path) -> set[str]:
    """The job numbers whose end was asked for, and ALL."""
    try:
        return {entry.name for entry in os.scandir(controller / REQUESTS)}
    except OSError:
        return set()


def ask_run(folder: Path) -> None:
    """Ask the process that works on this run folder to end its run. Raises OSError."""
    (folder / RUN_REQUEST).write_text(holder(folder) or "")


def asked_of_run(folder: Path, number: int | None) -> bool:
    """Whether the run that this process works on shall end. `number`: its job number in a batch."""
    if _is_for_us(folder / RUN_REQUEST):
        return True
    controller = os.environ.get(VARIABLE) if number is not None else None
    return bool(controller) and bool({str(number), ALL} & asked_of_controller(Path(str(controller))))


def forget_request(folder: Path) -> None:
    """The run of this process has ended: it need not be asked any more."""
    if _is_for_us(folder / RUN_REQUEST):
        with contextlib.suppress(OSError):
            (folder / RUN_REQUEST).unlink()


def _is_for_us(request: Path) -> bool:
    try:
        return request.read_text() == f"process {os.getpid()} on {platform.node()}"
    except OSError:
        return False


def holder(folder: Path) -> str | None:
    """Who holds a folder's lock, `process 12 on host`; None where nobody does. Changes nothing on the disk."""
    try:
        with (folder / LOCK).open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return file.read().strip() or "another process"
    except OSError:
        pass
    return None


def name_of(folder: Path) -> str:
    """How a sweep's file names a run: its folder within the sweep."""
    return f"{folder.parent.name}/{folder.name}"


def mark_cancelled(sweep_folder: Path, epochs: dict[str, int | None]) -> None:
    """Write down that these runs were cancelled. `epochs`: by name, after which; None where they had not begun. Raises
    OSError, RunInUse."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    with _sweep_file(sweep_folder) as content:
        marks = content.setdefault("cancelled", {})
        marks.update({name: {"epoch": epoch, "time": now} for name, epoch in epochs.items()})


def unmark_cancelled(sweep_folder: Path, names: Collection[str]) -> None:
    """These runs are taken up again."""
    if not set(names) & set(cancelled(sweep_folder)):
        return
    with contextlib.suppress(OSError, RunInUse), _sweep_file(sweep_folder) as content:  # a full disk, say
        left = {name: mark for name, mark in content.pop("cancelled", {}).items() if name not in names}
        if left:
            content["cancelled"] = left


def cancelled(sweep_folder: Path) -> dict[str, object]:
    """What the sweep's file says of cancelled runs, by name."""
    marks = read_json(sweep_folder / ASKED).get("cancelled")
    return marks if isinstance(marks, dict) else {}


@contextlib.contextmanager
def _sweep_file(sweep_folder: Path) -> Iterator[dict[str, dict[str, object]]]:
    with lock(sweep_folder, wait_s=30):
        content = read_json(sweep_folder / ASKED)
        if not isinstance(content.get("cancelled", {}), dict):
            del content["cancelled"]
        yield content
        write_json(sweep_folder / ASKED, content)
