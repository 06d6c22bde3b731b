"""The default sweeper: Hydra's basic one, with every job composed and checked before the first begins."""

from dataclasses import dataclass
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser

import sweeps.compose  # noqa: F401  (makes the schema known)


@dataclass
class GridConfig:
    """hydra/sweeper=grid"""

    _target_: str = "sweeps.grid.GridSweeper"
    max_batch_size: int | None = None
    params: dict[str, str] | None = None


ConfigStore.instance().store(group="hydra/sweeper", name="grid", node=GridConfig, provider="finegrid")


class GridSweeper(BasicSweeper):
    """All combinations of the values that the command line lists."""

    def sweep(self, arguments: list[str]) -> Any:
        """Check every job, then launch them all. Raises ConfigError before anything is written."""
        assert self.config is not None and self.hydra_context is not None
        from sweeps.compose import run_config
        from training.prepare import prepare

        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        controller = HydraConfig.instance().cfg
        for batch in self.split_arguments(overrides, self.max_batch_size):
            for job in batch:
                composed = self.hydra_context.config_loader.load_sweep_config(self.config, job)
                HydraConfig.instance().set_config(composed)
                prepare(run_config(composed))
        HydraConfig.instance().cfg = controller
        return super().sweep(arguments)
