"""A run's network and images for looking at them, without the run: no resume state is read and no file is left."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import replace

from training.config import OptimizerConfig, TrackingConfig
from training.engine.prepare import Prepared
from training.engine.session import Session, open_session
from training.schema.checks import AUTO


@contextlib.contextmanager
def temporary_session(prepared: Prepared) -> Iterator[Session]:
    """The session with which a run of this config would begin, in a folder that goes away again."""
    config = prepared.config
    optimizer = config.optimizer
    if optimizer.lr == AUTO:  # nothing is trained here, so nothing is searched for it
        optimizer = replace(optimizer, lr=OptimizerConfig.lr)
    with tempfile.TemporaryDirectory(prefix="finegrid-") as root:
        sweep, tracking = replace(config.sweep, root=root), TrackingConfig(tensorboard=False)
        elsewhere = replace(prepared, config=replace(config, optimizer=optimizer, sweep=sweep, tracking=tracking))
        with contextlib.closing(open_session(elsewhere)) as session:
            yield session
