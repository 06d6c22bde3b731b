"""The typed configs that a command line stands for, for programs that run nothing through Hydra."""

from collections.abc import Sequence

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.types import RunMode

from sweeps.hydra_glue.arguments import readable
from sweeps.hydra_glue.compose import CONF, run_config, set_hydra_defaults
from sweeps.hydra_glue.composer import Composer
from sweeps.hydra_glue.private import context_without_callbacks, parse_overrides
from sweeps.plan.jobs import expand, fixed_lines
from training.config import RunConfig
from training.errors import ConfigError
from training.schema.checks import need


def run_config_of(overrides: Sequence[str]) -> RunConfig:
    """The config that `python train.py OVERRIDES` would run. Raises ConfigError, Hydra's and OmegaConf's errors."""
    lines = readable(overrides)
    for override in parse_overrides(lines):
        if override.is_sweep_override():
            raise ConfigError(f"{override.input_line}: one value at a time; this looks at one config")
    set_hydra_defaults()
    with initialize_config_dir(str(CONF)):
        return run_config(compose("config", lines))


def sweep_configs(lines: Sequence[str]) -> list[tuple[list[str], RunConfig]]:
    """The configs of the grid `python train.py -m LINES`, each with its overrides. Raises ConfigError (for a search,
    which is no list of configs), Hydra's and OmegaConf's errors."""
    set_hydra_defaults()
    Plugins.instance()  # makes sweepers and launchers known
    with initialize_config_dir(str(CONF)):
        loader = GlobalHydra.instance().config_loader()
        config = loader.load_configuration("config", readable(["-m", *lines])[1:], run_mode=RunMode.MULTIRUN)
        sweeper = config.hydra.sweeper
        need(str(sweeper._target_).endswith("GridSweeper"), "a search has no list of candidates; screen a grid of them")
        overrides = expand(list(sweeper.runs), [*fixed_lines(sweeper.params), *config.hydra.overrides.task], loader)
        composer = Composer(context_without_callbacks(loader), config)
        return [(line, run_config(composer.compose(number, line))) for number, line in enumerate(overrides)]
