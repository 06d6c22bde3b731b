"""A run's network and images for looking at them, without the run: no resume state is read and no file is left."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from training.config import AUTO, OptimizerConfig, RunConfig, TrackingConfig
from training.engine.prepare import Prepared
from training.engine.session import Session, open_session


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


def composed(overrides: list[str]) -> RunConfig:
    """The config that `python train.py OVERRIDES` would run. Raises ConfigError, Hydra's and OmegaConf's errors."""
    from hydra import compose, initialize_config_dir
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from sweeps.hydra_glue.arguments import readable
    from sweeps.hydra_glue.compose import run_config, set_hydra_defaults
    from training.errors import ConfigError

    lines = readable(overrides)
    for override in OverridesParser.create().parse_overrides(lines):
        if override.is_sweep_override():
            raise ConfigError(f"{override.input_line}: one value at a time; this looks at one config")
    set_hydra_defaults(sweeper="grid", launcher="local")
    with initialize_config_dir(str(Path(__file__).parents[2] / "conf")):
        return run_config(compose("config", lines))
