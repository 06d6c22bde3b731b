"""In the process of a sweep's run: is it what was planned? The folder that Hydra was told says what was."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from training.errors import ConfigError, DataChanged

if TYPE_CHECKING:
    from training.engine.prepare import Prepared


@contextlib.contextmanager
def as_planned() -> Iterator[None]:
    """What can't be prepared now could be when the sweep was planned. Raises DataChanged."""
    try:
        yield
    except ConfigError as error:
        if HydraConfig.get().mode == RunMode.RUN:
            raise
        raise DataChanged(f"what was planned is not there any more: {error}") from error


def check_planned(prepared: "Prepared") -> None:
    """Raise DataChanged where this run would be of another identity than the planned one."""
    planned, now = Path(HydraConfig.get().runtime.output_dir), prepared.folder
    if planned.absolute().parts[-2:] != now.absolute().parts[-2:]:
        raise DataChanged(f"the run was planned as {planned.parent.name}, and would be {now.parent.name} now")
