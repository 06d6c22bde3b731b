"""sweep.detach=true: the controller goes on by itself, and the same command shows what it is at."""

import contextlib
import fcntl
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sweeps.detached import CALL_S, FOLDER, OUTPUT, STATE, Detached, read_detached, where_it_lives
from training.console.program import INTERRUPTED, called
from training.console.table import visible
from training.errors import ConfigError
from training.run_folder import LOCK

VARIABLE = "FINEGRID_DETACHED"  # in the environment of the controller that was detached
ROOT = Path(__file__).parents[2]
END_S = 5.0  # for the view to end after Ctrl-C


def wanted(config: DictConfig) -> bool:
    """Whether this process shall hand the sweep over, or show it, instead of carrying it out."""
    if os.environ.get(VARIABLE) or OmegaConf.select(config, "sweep.plan", default=False):
        return False
    return bool(OmegaConf.select(config, "sweep.detach", default=False))


def attach(folder: Path) -> bool:
    """Show the detached controller of this sweep, until it ends or Ctrl-C; False where none lives. Raises ConfigError
    where it carries out another command."""
    where, known = where_it_lives(folder), read_detached(folder)
    if not where or known is None:
        return False
    if known.arguments != sys.argv[1:]:
        raise ConfigError(
            f"sweep.detach=true: {folder} is carried out by {where}, for another command: {' '.join(known.arguments)}; "
            "wait for its end, or take another sweep.name"
        )
    say(f"{folder} is carried out by {where}; its output: {folder / OUTPUT}; Ctrl-C leaves it running")
    if _watch(folder):
        say(f"{folder}: nothing runs any more; {called('analysis.report')} {folder} shows the table")
    else:
        say(f"the sweep goes on without this view; the same command shows it again, {_ending(folder)}")
    return True


def detach(launcher: Any, folder: Path) -> None:
    """Have a process of its own carry the sweep out, by the command of this one. Where the launcher has jobs of the
    cluster for its controllers (`submit_controller`), that is one, else a session of this machine. Raises ConfigError,
    OSError."""
    command = [sys.executable, str(ROOT / "train.py"), *sys.argv[1:]]
    path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
    variables = {VARIABLE: "1", "PYTHONPATH": path}
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    with _locked(folder) as lock:
        before = read_detached(folder)
        if lock is None or (before is not None and before.job is not None and where_it_lives(folder)):
            return _attach_soon(folder)  # the same command began a moment ago
        (folder / FOLDER / STATE).unlink(missing_ok=True)
        submit = getattr(launcher, "submit_controller", None)
        if submit is not None and (job := submit(command, variables, folder / FOLDER, folder / OUTPUT)) is not None:
            found = Detached(sys.argv[1:], job=job)
        else:
            environment = {key: value for key, value in os.environ.items() if key != "HYDRA_FULL_ERROR"} | variables
            with (folder / OUTPUT).open("ab") as out:
                process = subprocess.Popen(
                    command,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                    pass_fds=[lock],  # held as long as that process lives
                )
            found = Detached(sys.argv[1:], process.pid, platform.node())
        found.write(folder)
    where = f"process {found.process} of this machine" if found.job is None else f"job {found.job} of Slurm"
    say(f"the sweep is carried out by {where}, and this terminal may close; its output: {folder / OUTPUT}")
    say(f"{called('sweeps.status')} {folder} --watch shows it, as the same command does; {_ending(folder)}")


def _attach_soon(folder: Path) -> None:
    """To a controller that is being detached at this moment. Raises ConfigError."""
    ends = time.monotonic() + CALL_S
    while not attach(folder):
        if time.monotonic() > ends:
            raise ConfigError(f"sweep.detach=true: another process holds {folder / FOLDER}")
        time.sleep(0.2)


def say(line: str) -> None:
    """To the terminal."""
    print(visible(line), flush=True)


def _ending(folder: Path) -> str:
    return f"{called('sweeps.status')} {folder} --cancel-all ends it"


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[int | None]:
    """The lock of a sweep's detached controller; None where another process has it."""
    file = os.open(folder / FOLDER / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield None
            return
        yield file
    finally:
        os.close(file)


def _watch(folder: Path) -> bool:
    """Show a sweep until it ends; False where a person has seen enough."""
    command = [sys.executable, "-m", "sweeps.status", str(folder), "--watch"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    view = subprocess.Popen(command, env=environment)
    try:
        return view.wait() != INTERRUPTED
    except KeyboardInterrupt:
        with contextlib.suppress(subprocess.TimeoutExpired):  # a terminal has told it too
            view.wait(END_S)
        return False
    finally:
        if view.poll() is None:
            view.send_signal(signal.SIGINT)
            view.wait()
