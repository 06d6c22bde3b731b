"""Between Hydra and training: the schema, the names that conf/ uses, and a composed config as a RunConfig."""

import dataclasses
import os
import pickle
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, Node, OmegaConf

from sweeps import channel
from sweeps.hydra_glue.arguments import path_of_weights
from sweeps.hydra_glue.private import keep_missing_values
from training.config import ModelConfig, RunConfig, WeightsConfig
from training.console.program import called
from training.device import check_threads
from training.errors import ConfigError
from training.run_folder import LOG

PARTS = {field.name for field in dataclasses.fields(RunConfig)}
MOST_KNOWN = 5000  # of a search, whose trials all differ
_known: dict[str, bytes] = {}  # a part of a config as text: as it came out, pickled


def run_config(composed: DictConfig) -> RunConfig:
    """The typed config of one run. Raises ConfigError for a value out of range, OmegaConf's errors for a wrong type."""
    keys = [str(key) for key in composed if key not in ("hydra", "sweeps")]
    nodes = {key: composed._get_node(key) for key in keys}
    for key in sorted(_missing(nodes)):
        raise ConfigError(f"{key}=???: a value is missing")
    values: dict[str, Any] = {key: _plain(composed, key) for key in keys}  # forgets what `+` let in
    _refuse_other_bytes(values, "")
    weights = values.get("weights")
    if isinstance(weights, dict) and isinstance(path := weights.get("path"), str):
        weights["path"] = path_of_weights(path)
    return _typed(values)


def _missing(nodes: Mapping[str, Any]) -> Iterator[str]:
    """The keys of what is `???`."""
    for key, node in nodes.items():
        if OmegaConf.is_config(node):
            yield from (f"{key}{name if name.startswith('[') else f'.{name}'}" for name in OmegaConf.missing_keys(node))
        elif node is not None and node._is_missing():
            yield key


def _plain(composed: DictConfig, key: str) -> Any:
    """A part of a config as Python's own types, all interpolations resolved."""
    value = composed[key]
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _typed(values: Mapping[str, Any]) -> RunConfig:
    """`values` as the schema has them. Most jobs of a sweep differ in few parts, and checking takes long: what came of
    a part (model, optimizer, ...) is kept. Raises OmegaConf's errors, and those of the config."""
    texts = {key: f"{key}: {value!r}" for key, value in values.items()}
    if values.keys() == PARTS and all(text in _known for text in texts.values()):
        return RunConfig(**{key: pickle.loads(_known[text]) for key, text in texts.items()})
    schema = pickle.loads(_schema())
    schema.merge_with(dict(values))
    config = OmegaConf.to_object(schema)
    assert isinstance(config, RunConfig)
    if len(_known) > MOST_KNOWN:
        _known.clear()
    _known.update((text, pickle.dumps(getattr(config, key))) for key, text in texts.items())
    return config


def _refuse_other_bytes(values: Any, key: str) -> None:
    """Raise ConfigError for a text that is not UTF-8, a path say: neither YAML nor JSON could hold it."""
    if isinstance(values, dict):
        for name, value in values.items():
            _refuse_other_bytes(value, f"{key}.{name}" if key else str(name))
    elif isinstance(values, list):
        for value in values:
            _refuse_other_bytes(value, key)
    elif isinstance(values, str) and not values.isascii() and any("\ud800" <= one <= "\udfff" for one in values):
        raise ConfigError(
            f"{key}={values!a}: not UTF-8, which the files of a run can't hold; rename it, or make a link"
        )


@cache
def _schema() -> bytes:
    """Pickled: reading it is much quicker than making it, and a sweep needs one a job."""
    return pickle.dumps(OmegaConf.structured(RunConfig))


def _run_folder(*, _root_: DictConfig) -> str:
    from training.engine.prepare import prepare

    config = run_config(_root_)
    check_threads(config.trainer.threads)
    return str(prepare(config).folder)


def _run_subfolder(*, _root_: DictConfig) -> str:
    from training.engine.prepare import prepare

    return prepare(run_config(_root_)).subfolder


def _trained_size(*, _root_: DictConfig) -> int:
    """px of the images that the model's weights have seen; where they are its own, or nobody knows, 224."""
    from training.models.build import family_of
    from training.models.weights import resolve_weights

    model = ModelConfig(_root_.model._target_, _root_.model.name)
    model.accepts, model.weights = list(_root_.model.accepts), _root_.model.weights and list(_root_.model.weights)
    weights = _root_.weights.source
    resolved = "none" if weights == "checkpoint" else resolve_weights(model, WeightsConfig(weights))
    if resolved == "none":
        resolved = (family_of(model).sources(model) or ["none"])[-1].upper()
    images = None if resolved == "NONE" else family_of(model).pretraining(model, resolved)
    return (images.size if images is not None else None) or SIZE


def _default_sweep_name() -> str:
    multirun = HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
    return "grid" if multirun else "runs"


def _log_file(*, _root_: DictConfig) -> str:
    return os.devnull if channel.attached() else f"{_root_.hydra.runtime.output_dir}/{LOG}"


def _missing_in(file: str, *, _node_: Node) -> None:
    key = _node_._get_full_key(None)
    raise ConfigError(f"{key}=??? in {file}: a value is missing; write one there, or {key}=VALUE on the command line")


def register() -> None:
    """Make the schema and the resolvers known. Hydra asks `run_folder` for a folder before it makes one, so that every
    mistake `prepare` finds comes first, under any launcher. `log_file` is nothing where all output goes there anyway.
    """
    schema = OmegaConf.structured(RunConfig)
    for part in (schema.model, schema.data, schema.optimizer, schema.scheduler, schema.loss):
        OmegaConf.set_struct(part.kwargs, False)  # any key may come in here, without a `+`
    OmegaConf.set_struct(schema.trainer.metrics, False)
    OmegaConf.set_struct(schema.data._get_node("splits"), False)  # null, but {train: A} may come in
    ConfigStore.instance().store(name="run_schema", node=schema)
    resolvers: dict[str, Any] = {
        "run_folder": _run_folder,
        "run_subfolder": _run_subfolder,
        "default_sweep_name": _default_sweep_name,
        "trained_size": _trained_size,
        "log_file": _log_file,
        "called": called,
        "missing_in": _missing_in,
    }
    for name, function in resolvers.items():
        OmegaConf.register_resolver(name, function, replace=True)


CONF = (Path(__file__).parents[2] / "finegrid" / "conf").resolve()  # installed there; in a checkout a link to conf/
SIZE = 224  # px
CHOICES = {"sweeper": "grid", "launcher": "local", "job_logging": "finegrid", "hydra_logging": "finegrid"}


def set_hydra_defaults() -> None:
    """Change Hydra's own defaults, and how it reads config files. (An `override` in conf/config.yaml would win over a
    recipe's.)"""
    warnings.filterwarnings("ignore", message=r"hydra\.utils\.instantiate\(\) resolved")  # a config is its user's own
    keep_missing_values()
    defaults = [{key: CHOICES.get(key, value) for key, value in item.items()} for item in HydraConf().defaults]
    node = HydraConf(defaults=defaults)
    store = ConfigStore.instance()
    store.store(group="hydra", name="config", node=node, provider="finegrid", replace=True)
    for group in ("hydra/job_logging", "hydra/hydra_logging"):  # for an application without conf/, in this process
        logs = OmegaConf.load(CONF / group / "finegrid.yaml")
        store.store(group=group, name="finegrid", node=logs, provider="finegrid", replace=True)


register()
