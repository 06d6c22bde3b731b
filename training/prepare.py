"""Everything about a run that can be settled, and every mistake that can be found, before it begins.

The order is by cost: what needs no torch comes first, so that a slip of the pen is told within a second.
"""

import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from training.config import DataConfig, ModelConfig, OptimizerConfig, RunConfig, SchedulerConfig
from training.dataset import Dataset, open_dataset
from training.device import Compute, resolve_compute
from training.identity import Facts, identity, slug
from training.weights import checkpoint_file, resolve_weights


@dataclass(frozen=True)
class Prepared:
    """A run that can begin. `folder` depends on the config alone: asking again finds it."""

    config: RunConfig
    dataset: Dataset
    compute: Compute
    facts: Facts
    identity: str
    subfolder: str  # <slug>-<identity>/seed=<n>

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.config.sweep.root) / self.config.sweep.name / self.subfolder


def prepare(config: RunConfig) -> Prepared:
    """Check a config against the world it will meet. Raises ConfigError."""
    weights = resolve_weights(config.model, config.weights)
    compute = resolve_compute(config.trainer)
    dataset = open_dataset(config.data)
    trained_with = _check_parts(
        _key(config.model), _key(config.optimizer), _key(config.scheduler), config.trainer.epochs,
        len(dataset.classes), weights, config.weights.path,
    )  # fmt: skip
    normalize = trained_with if config.data.normalize == "auto" else config.data.normalize
    facts = Facts(
        weights, normalize, compute.precision, compute.memory_format, dataset.fingerprint, tuple(dataset.drawn)
    )
    name = identity(config, facts)
    return Prepared(config, dataset, compute, facts, name, f"{slug(config, facts)}-{name}/seed={config.seed}")


def _key(part: ModelConfig | OptimizerConfig | SchedulerConfig | DataConfig) -> str:
    return json.dumps(asdict(part), sort_keys=True)


@cache
def _check_parts(
    model_key: str, optimizer_key: str, scheduler_key: str, epochs: int, classes: int, weights: str, path: str | None
) -> str:
    """Build model, optimizer and schedule without memory (torch's meta device), and hold the weights against them.

    Gives the normalization that the weights were trained with: imagenet, checkpoint (it says so itself) or dataset.
    """
    import torch

    from training.models import build_model, head_prefix
    from training.optimize import Schedule, build_optimizer
    from training.weights import fetch_imagenet, match, read_checkpoint

    model_config = ModelConfig(**json.loads(model_key))
    with torch.device("meta"):
        model = build_model(model_config, classes)
    optimizer = build_optimizer(model, OptimizerConfig(**json.loads(optimizer_key)))
    Schedule(optimizer, SchedulerConfig(**json.loads(scheduler_key)), epochs, steps_per_epoch=100)
    if weights == "none":
        return "dataset"
    if weights.startswith("checkpoint:"):
        state, meta = read_checkpoint(checkpoint_file(path))
        match(model.state_dict(), state, head_prefix(model), f"weights.path={path}")
        return "checkpoint" if "preprocessing" in meta else "dataset"
    match(model.state_dict(), fetch_imagenet(model_config.name, weights), head_prefix(model), weights)
    return "imagenet"
