"""What the checksum of resume.pt costs a training run.

python -m benchmarks.resume_check [--models resnet18 resnet50] [--seconds 70] [--every 30]

A real run of each network (digits at 32 px, AdamW) trains for about so long and saves its state every 30 s, as runs do.
Counted in it: the processor's seconds of the thread that computes the checksum, beside those of the whole process
(which go up when there are several threads, so the share is of the work) and the run's seconds. The state is then
loaded once, with and without its check.
"""

import argparse
import contextlib
import tempfile
import time
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from benchmarks.measure import show
from sweeps.plan.configs import run_config_of
from training.console.progress import EpochReport
from training.engine import checkpoint
from training.engine.prepare import prepare
from training.engine.run import run
from training.errors import Stopped
from training.run_folder import RESUME


class Counted:
    """zlib.crc32, and what it took."""

    def __init__(self) -> None:
        self.seconds, self.bytes = 0.0, 0

    def crc32(self, content: Any, value: int = 0) -> int:
        started = time.thread_time()
        found = zlib.crc32(content, value)
        self.seconds += time.thread_time() - started
        self.bytes += len(content)
        return found


def measure(model: str, seconds: float, every: float, root: Path) -> list[str]:
    """A row of the table."""
    counted = Counted()
    checkpoint.zlib = SimpleNamespace(crc32=counted.crc32)  # type: ignore[assignment]
    settings = [f"model={model}", f"sweep.root={root}", "tracking=none", "trainer.epochs=10000", "debug.max_steps=5"]
    prepared = prepare(run_config_of([*settings, f"trainer.save_every_s={every}", "scheduler=none"]))
    started, work = time.perf_counter(), time.process_time()

    def until(report: EpochReport) -> None:
        if time.perf_counter() - started > seconds:
            raise Stopped(report.epoch)

    with contextlib.suppress(Stopped):
        run(prepared, until)
    took, worked = time.perf_counter() - started, time.process_time() - work
    spent, file = counted.seconds, prepared.folder / RESUME
    size = file.stat().st_size
    saves = counted.bytes / size
    begun = time.thread_time()
    checkpoint.load_state(prepared.folder)
    loaded = time.thread_time() - begun
    checking = counted.seconds - spent
    per_save = spent / saves
    return [
        model, f"{size / 1e6:.0f}", f"{took:.0f}", f"{saves:.0f}", f"{per_save:.3f}", f"{100 * per_save / every:.2f}",
        f"{100 * spent / worked:.2f}", f"{loaded - checking:.2f} + {checking:.2f}",
    ]  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["resnet18", "resnet50"])
    parser.add_argument("--seconds", type=float, default=70.0)
    parser.add_argument("--every", type=float, default=30.0, help="trainer.save_every_s")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(model, options.seconds, options.every, Path(folder)) for model in options.models]
    headings = ("network", "state, MB", "run, s", "saves", "checksum, s a save", f"% of {options.every:g} s")
    headings += ("% of the run's CPU time", "loading, s: without + check")
    show(f"the checksum of resume.pt, {torch.get_num_threads()} threads", headings, rows)


if __name__ == "__main__":
    main()
