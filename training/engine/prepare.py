"""Everything about a run that can be settled, and every mistake that can be found, before it begins.

The order is by cost: what needs no torch comes first, so that a slip of the pen is told within a second.
"""

import json
import os
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from training.config import AUTO, ModelConfig, OptimizerConfig, RunConfig, SchedulerConfig, need
from training.data.dataset import Dataset, open_dataset
from training.device import Compute, resolve_compute
from training.errors import ConfigError
from training.identity import ResolvedSettings, identity, slug
from training.models.weights import checkpoint_file, resolve_weights

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Prepared:
    """A run that can begin. `folder` depends on the config alone: asking again finds it."""

    config: RunConfig
    dataset: Dataset
    compute: Compute
    resolved: ResolvedSettings
    identity: str
    slug: str  # <model>-...-<identity>

    @property
    def replicate(self) -> str:
        """What tells this run from others of its identity: seed=<n>, with folds seed=<n>-fold=<k>."""
        return f"seed={self.config.seed}" + f"-fold={self.config.data.fold}" * (self.config.data.fold is not None)

    @property
    def subfolder(self) -> str:
        """The run folder inside its sweep's."""
        return f"{self.slug}/{self.replicate}"

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.config.sweep.root) / self.config.sweep.name / self.subfolder


def prepare(config: RunConfig, dataset: Dataset | None = None) -> Prepared:
    """Check a config against the world it will meet. `dataset`: other images than it names. Raises ConfigError."""
    weights = resolve_weights(config.model, config.weights)
    compute = resolve_compute(config.trainer)
    _check_root(Path(config.sweep.root))
    dataset = dataset or open_dataset(config.data)
    _check_own(json.dumps(config.augment.own, sort_keys=True), config.data.stored)
    model_key, classes = _key(config.model), len(dataset.classes)
    batch = (min(2, config.trainer.batch_size), 3, config.data.size, config.data.size)
    _check_images(model_key, classes, batch)
    _check_training(model_key, classes, _key(config.optimizer), _key(config.scheduler), config.trainer.epochs)
    trained_with = _check_weights(model_key, classes, weights, config.weights.path, not config.sweep.plan)
    normalize = trained_with if config.data.normalize == "auto" else config.data.normalize
    resolved = ResolvedSettings(
        weights, normalize, compute.precision, compute.memory_format, dataset.fingerprint, tuple(dataset.drawn)
    )
    name = identity(config, resolved)
    return Prepared(config, dataset, compute, resolved, name, f"{slug(config, resolved)}-{name}")


def _check_root(root: Path) -> None:
    """Run folders have to find a place."""
    there = next(folder for folder in (root.absolute(), *root.absolute().parents) if folder.exists())
    need(there.is_dir(), f"sweep.root={root}: {there} is a file, expected a folder")
    need(os.access(there, os.W_OK | os.X_OK), f"sweep.root={root}: may not write into {there}")


def _key(part: ModelConfig | OptimizerConfig | SchedulerConfig) -> str:
    return json.dumps(asdict(part), sort_keys=True)


@lru_cache(maxsize=32)
def _sketch(model_key: str, classes: int) -> "nn.Module":
    """The network without memory for its numbers, on torch's meta device."""
    import torch

    from training.models.build import build_model
    from training.models.weights import torchvision_sources

    config = ModelConfig(**json.loads(model_key))
    if config._target_ == ModelConfig._target_ and config.weights is not None:
        ok = config.weights == torchvision_sources(config.name)
        need(ok, f"model.name={config.name} needs model=torchvision: model=torchvision model.name={config.name}")
    try:
        with torch.device("meta"):
            return build_model(config, classes)
    except ConfigError:  # or it reads numbers from tensors as it is built, as RegNet does
        return build_model(config, classes).to("meta")


@cache
def _check_training(model_key: str, classes: int, optimizer_key: str, scheduler_key: str, epochs: int) -> None:
    """Optimizer and schedule take their settings."""
    from training.engine.optimizer import Schedule, build_optimizer

    model = _sketch(model_key, classes)
    part = "optimizer"
    try:
        config = OptimizerConfig(**json.loads(optimizer_key))
        optimizer = build_optimizer(model, replace(config, lr=1e-3) if config.lr == AUTO else config)
        part = "scheduler"
        Schedule(optimizer, SchedulerConfig(**json.loads(scheduler_key)), epochs, steps_per_epoch=100)
    except ConfigError:
        raise
    except Exception as error:  # what torch makes of nonsense in kwargs
        raise ConfigError(f"{part} refuses these settings: {type(error).__name__}: {error}") from error


@cache
def _check_weights(model_key: str, classes: int, weights: str, path: str | None, download: bool) -> str:
    """The network takes these weights, and they are there (but a plan needs no download).

    Gives the normalization that the weights were trained with: imagenet, checkpoint (it says so itself) or dataset.
    """
    from training.models.build import head_prefix
    from training.models.weights import imagenet_file, match, read_checkpoint

    config = ModelConfig(**json.loads(model_key))
    model = _sketch(model_key, classes)
    if weights == "none":
        return "dataset"
    if weights.startswith("checkpoint:"):
        state, meta = read_checkpoint(checkpoint_file(path))
        match(model.state_dict(), state, head_prefix(model), f"weights.path={path}")
        return "checkpoint" if "preprocessing" in meta else "dataset"
    if download:
        imagenet_file(config.name, weights)
    trained = _sketch(_key(ModelConfig(name=config.name)), 1000)
    match(model.state_dict(), trained.state_dict(), head_prefix(model), f"{weights} of {config.name}")
    return "imagenet"


@cache
def _check_own(own: str, side: int) -> None:
    """Transforms of the user's own work on images of `side` px."""
    if parts := json.loads(own):
        from training.data.own_transform import OwnTransform

        OwnTransform(parts).check(side)


@cache
def _check_images(model_key: str, classes: int, batch: tuple[int, ...]) -> None:
    """Images go through, and a score for each class comes out. (Not where a forward pass of your own looks at numbers,
    which aren't there.)"""
    import torch

    from training.models.build import logits

    config, model = ModelConfig(**json.loads(model_key)), _sketch(model_key, classes)
    try:
        scores = logits(model.train()(torch.empty(batch, device="meta")))
    except Exception as error:
        if config._target_ != ModelConfig._target_:
            return
        settings = f"data.size={batch[-1]}" + " trainer.batch_size=1" * (batch[0] == 1)
        raise ConfigError(f"{settings}: {config.name} can't take such images: {error}") from error
    shape, wanted = list(scores.shape), [batch[0], classes]
    need(shape == wanted, f"model {config.called}: gives scores of shape {shape}, expected {wanted}")
