"""Composes the jobs of one sweep, quickly.

Hydra takes a tenth of a second or more to compose a job, most of it for config groups. Jobs of a sweep choose few
different ones and differ by values, so a composition is kept for each choice, and the values are put into copies.
"""

import functools
import pickle
from collections.abc import Sequence

from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from sweeps.hydra_glue.private import Override, OverrideType, parse_overrides


class Composer:
    """`config`: the sweep's own, as Hydra hands it to a sweeper."""

    def __init__(self, context: HydraContext, config: DictConfig) -> None:
        self.loader, self.config = context.config_loader, config
        self.kept: dict[tuple[str, ...], bytes] = {}
        self.is_group = functools.cache(self._is_group)

    def compose(self, number: int, overrides: Sequence[str]) -> DictConfig:
        """The config of one job, with its hydra node. Raises Hydra's errors."""
        composed = self._quickly(overrides) or self.loader.load_sweep_config(self.config, list(overrides))
        with open_dict(composed):
            composed.hydra.job.id = str(number)
            composed.hydra.job.num = number
        return composed

    def batch(self, first_number: int, override_lists: Sequence[Sequence[str]]) -> list[DictConfig]:
        """The configs of a batch of jobs, numbered from `first_number` on. Raises Hydra's errors."""
        return [self.compose(first_number + i, overrides) for i, overrides in enumerate(override_lists)]

    def _quickly(self, overrides: Sequence[str]) -> DictConfig | None:
        """None where this won't do, among others for mistakes: Hydra tells them best."""
        try:
            parsed = parse_overrides(overrides)
            if any(item.is_hydra_override() or item.type is not OverrideType.CHANGE for item in parsed):
                return None  # what adds or deletes depends on its place among the others
            values = [item for item in parsed if self._is_value(item)]
            choices = tuple(str(item.input_line) for item in parsed if item not in values)
            if choices not in self.kept:
                composed = self.loader.load_sweep_config(self.config, list(choices))
                self.kept[choices] = pickle.dumps(composed)
            composed = pickle.loads(self.kept[choices])
            for item in values:  # as Hydra does it
                OmegaConf.update(composed, item.key_or_group, item.value(), merge=True)
            OmegaConf.update(composed, "hydra.overrides.task", list(overrides), merge=False)
        except Exception:
            return None
        assert isinstance(composed, DictConfig)
        return composed

    def _is_value(self, item: Override) -> bool:
        return item.package is None and not self.is_group(item.key_or_group)

    def _is_group(self, name: str) -> bool:
        config = self.config.hydra
        lines = list(config.overrides.hydra)
        return bool(self.loader.get_group_options(name, None, config.job.config_name, lines))
