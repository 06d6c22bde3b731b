"""A worker: takes runs from the sweep's folder and carries them out in slots, as hydra/launcher=local does.

    python -m sweeps.launchers.workers.worker outputs/SWEEP

The launchers of this folder start workers; by hand it is one more for a sweep that is under way. It ends when nothing
is left to do, or its time ends; what runs then is saved after its epoch and given back.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

from sweeps.launchers.runtime_folder import VARIABLE as RUNTIME
from sweeps.launchers.workers import board
from sweeps.launchers.workers.assignment import LEASES
from sweeps.launchers.workers.config import FolderWorkersConfig
from sweeps.launchers.workers.serving import Settings, Worker
from training.console.program import run_program


def main(arguments: list[str] | None = None) -> int:
    """Serve a sweep; gives the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m sweeps.launchers.workers.worker",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="the sweep's folder")
    parser.add_argument("--name", default=None, help=argparse.SUPPRESS)
    parser.add_argument(
        "--settings", type=json.loads, default={}, metavar="JSON", help="of hydra.launcher, such as '{\"slots\": 2}'"
    )
    return run_program(parser, lambda given: serve(given.folder, given.settings, given.name), arguments)


def serve(folder: Path, settings: Settings, name: str | None = None) -> None:
    """Be a worker, in this process alone. It leaves by SIGTERM, and by SIGUSR2, which Slurm is asked to send before the
    end. Raises ConfigError for slots that are not there."""
    defaults = vars(FolderWorkersConfig())
    settings = {**{key: value for key, value in defaults.items() if not key.startswith("_")}, **settings}
    runtime = tempfile.mkdtemp(prefix="finegrid-worker-")
    os.environ[RUNTIME] = runtime  # its slots are its own: the engine gave them, or the user says so
    os.environ[LEASES] = runtime
    if cpus := os.environ.get("SLURM_CPUS_PER_TASK"):  # what the job has asked for; not all that its node has
        os.environ.update({"OMP_NUM_THREADS": cpus, "MKL_NUM_THREADS": cpus})
    worker = Worker(folder, name or board.new_name(), settings)

    def end(number: int, frame: FrameType | None) -> None:
        worker.leave("its worker was told to end", worker.grace_s)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the controller's
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, end)
    try:
        worker.serve()
    finally:
        shutil.rmtree(runtime, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
