"""A run's network and images for looking at them, without the run: nothing is taken up and nothing is left behind."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import replace

from training.config import AUTO, OptimizerConfig, TrackingConfig
from training.engine.prepare import Prepared
from training.engine.session import Session


@contextlib.contextmanager
def session_aside(prepared: Prepared) -> Iterator[Session]:
    """The session with which a run of this config would begin, in a folder that goes away again."""
    config = prepared.config
    optimizer = config.optimizer
    if optimizer.lr == AUTO:  # nothing is trained here, so nothing is searched for it
        optimizer = replace(optimizer, lr=OptimizerConfig.lr)
    with tempfile.TemporaryDirectory(prefix="finegrid-") as root:
        sweep, tracking = replace(config.sweep, root=root), TrackingConfig(tensorboard=False)
        there = replace(prepared, config=replace(config, optimizer=optimizer, sweep=sweep, tracking=tracking))
        with contextlib.closing(Session(there)) as session:
            yield session
