"""The door: one run, or with -m a sweep of runs.

python train.py model=resnet50 optimizer.lr=1e-4
python train.py -m model=resnet18,resnet50 seed=0,1,2
python train.py --help

Exit code: 0 done, 1 a run failed, 2 a mistake in config, data or checkpoint, 130 or 143 interrupted.
"""

import contextlib
import logging
import os
import signal
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from sweeps import channel
from sweeps.controller.weights_budget import budget_of
from sweeps.hydra_glue.arguments import readable
from sweeps.hydra_glue.compose import run_config, set_hydra_defaults
from sweeps.hydra_glue.messages import one_line
from sweeps.hydra_glue.planned import as_planned, check_planned
from sweeps.stopping import SweepEnded
from training.console.program import show_any_name
from training.errors import BeginAgain
from training.run_folder import RESUME

log = logging.getLogger(__name__)
failures: list[Exception] = []
is_program = False  # whether this process is for this command alone


@hydra.main(config_path=str((Path(__file__).parent / "finegrid" / "conf").resolve()), config_name="config")
def train(composed: DictConfig) -> float:
    """One run; gives its monitor, val accuracy in per cent say, nan where it has none."""
    started = datetime.now(UTC)
    from sweeps.launchers.single_run import beside_others
    from sweeps.plan.applicable import ignored_keys
    from sweeps.plan.data_notices import left_behind
    from sweeps.plan.finished_before import FinishedBefore
    from sweeps.plan.longer import longer_than_finished
    from training.engine.prepare import prepare
    from training.engine.run import run

    show_any_name()
    try:
        config = run_config(composed)
        alone = HydraConfig.get().mode == RunMode.RUN
        budget = budget_of(config) if alone else None  # in a sweep its controller's
        if budget is not None:
            budget.announce()
        with as_planned():
            prepared = prepare(config)
        if not alone:
            check_planned(prepared)
        else:
            notices = [f"{key} doesn't apply to this run, and is left out" for key in ignored_keys(config)]
            for line in filter(
                None, (*left_behind([prepared]), longer_than_finished(prepared, FinishedBefore()), *notices)
            ):
                log.info(line)
        resumed = (prepared.folder / RESUME).exists()
        cores = beside_others(config.trainer, prepared.subfolder, resumed) if alone else contextlib.nullcontext()
        with cores, channel.listening(prepared.folder, _job_number()) as on_epoch:
            record = run(prepared, on_epoch, started, begins_again=channel.attached() or (alone and is_program))
        if budget is not None:
            budget.apply()
    except Exception as error:
        if HydraConfig.get().mode != RunMode.RUN:
            raise
        failures.append(error)  # Hydra would print the overrides before it raised
        return float("nan")
    value = record.figure(record.settings.monitor)
    return float("nan") if value is None else value


def _job_number() -> int | None:
    """Its number in a sweep."""
    job = HydraConfig.get().job
    return None if OmegaConf.is_missing(job, "num") else job.num


def main() -> int:
    """Run Hydra, and tell a mistake in one line. HYDRA_FULL_ERROR=1 shows the traceback before it."""
    set_hydra_defaults()
    show_any_name()
    asked = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra would print and exit by itself
    signal.signal(signal.SIGTERM, _terminate)
    failures.clear()
    try:
        sys.argv[1:] = readable(sys.argv[1:])
        train()
        if failures:
            raise failures[0]
    except KeyboardInterrupt:
        print("interrupted; the same command again goes on", file=sys.stderr)
        return 130
    except Exception as error:
        code, line = one_line(error)
        if asked == "1" and not isinstance(error, SweepEnded):
            traceback.print_exception(error)
        print(line, file=sys.stderr)
        return code
    finally:
        if asked is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = asked
    return 0


def program() -> int:
    """`main` of a process that is for this command alone: a run that can't go on in it goes on in a fresh one, which
    takes its place."""
    global is_program
    is_program = True
    try:
        return main()
    except BeginAgain as error:  # of a run without -m
        sys.stdout.flush()
        sys.stderr.flush()
        again = [sys.executable, *sys.orig_argv[1:]]
        os.execve(sys.executable, again, os.environ | {BeginAgain.NO_GRAPHS: str(error)})
    finally:
        is_program = False


def _terminate(number: int, frame: FrameType | None) -> None:
    print("terminated; the same command again goes on", file=sys.stderr)
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(program())
