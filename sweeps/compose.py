"""Between Hydra and training: the schema, the names that conf/ uses, and a composed config as a RunConfig."""

from typing import Any

from hydra.conf import HydraConf
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from training.config import RunConfig


def run_config(composed: DictConfig) -> RunConfig:
    """The typed config of one run. Raises ConfigError for a value out of range, OmegaConf's errors for a wrong type."""
    keys = [str(key) for key in composed if key not in ("hydra", "sweeps")]
    values = OmegaConf.to_container(OmegaConf.masked_copy(composed, keys), resolve=True)  # forgets what `+` let in
    config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(RunConfig), values))
    assert isinstance(config, RunConfig)
    return config


def _run_folder(*, _root_: DictConfig) -> str:
    from training.prepare import prepare

    return str(prepare(run_config(_root_)).folder)


def _run_subfolder(*, _root_: DictConfig) -> str:
    from training.prepare import prepare

    return prepare(run_config(_root_)).subfolder


def _default_sweep_name() -> str:
    multirun = HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
    return "grid" if multirun else "runs"


def register() -> None:
    """Make the schema and the resolvers known. Hydra asks `run_folder` for a folder before it makes one, so that every
    mistake `prepare` finds comes first, under any launcher."""
    store = ConfigStore.instance()
    store.store(name="schema", node=RunConfig)
    # Hydra's own defaults with our sweeper in them: an `override` in conf/config.yaml would win over a recipe's.
    defaults = [{"sweeper": "grid"} if "sweeper" in item else item for item in HydraConf().defaults]
    store.store(group="hydra", name="config", node=HydraConf(defaults=defaults), provider="finegrid", replace=True)
    resolvers: dict[str, Any] = {
        "run_folder": _run_folder,
        "run_subfolder": _run_subfolder,
        "default_sweep_name": _default_sweep_name,
    }
    for name, function in resolvers.items():
        OmegaConf.register_resolver(name, function, replace=True)


register()
