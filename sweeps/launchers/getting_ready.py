"""What the process of the next run does while the one before it ends: it prepares the run, so that no slot idles."""

import logging
import os
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hydra.core.utils import setup_globals
from hydra.types import TaskFunction
from omegaconf import DictConfig

from sweeps.hydra_glue.compose import run_config
from sweeps.hydra_glue.private import current_job, set_singletons

if TYPE_CHECKING:
    from sweeps.launchers.worker import Program

KEY = "trainer"  # in the config of what we train


def get_ready(program: "Program", config: DictConfig, environment: dict[str, str]) -> list[logging.LogRecord]:
    """Prepare a run as it will prepare itself, which then finds most of that in caches. Gives what was logged."""
    os.environ.update(environment)
    setup_globals()
    set_singletons(program.singletons)
    if KEY not in config:
        return []
    from training.engine.ahead import get_ready, kept_records
    from training.engine.prepare import prepare

    with suppress(Exception), warnings.catch_warnings(), kept_records() as told:  # the run will say what is wrong
        warnings.simplefilter("ignore")
        with current_job(config):
            prepared = prepare(run_config(config))
        get_ready(prepared)
    return told


def telling(task: TaskFunction, told: list[logging.LogRecord]) -> TaskFunction:
    """`task`, which first logs what its preparation had to say."""

    def tells(config: DictConfig) -> Any:
        from training.engine.ahead import tell

        tell(told)
        return task(config)

    return tells
