"""Everything about a run that can be resolved, and every mistake that can be found, before it begins.

The order is by cost: what needs no torch comes first, so that a misspelt key is reported within a second.
"""

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.config import LossConfig, ModelConfig, OptimizerConfig, RunConfig, SchedulerConfig, TrainerConfig
from training.data.dataset import Dataset, open_dataset
from training.device import Compute, Kind, for_network, resolve_compute
from training.engine.identity import ResolvedSettings, identity, slug
from training.engine.tracking.needed import check_packages
from training.errors import ConfigError, Impossible
from training.models.checkpoint_file import checkpoint_file, read_checkpoint
from training.models.weights import resolve_weights
from training.schema.checks import AUTO, need

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
    licence: str | None = None  # of the initial weights, where their family tells it

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


def prepare(config: RunConfig, dataset: Dataset | None = None, kinds: Sequence[Kind] | None = None) -> Prepared:
    """Check a config against the world it will meet. `dataset`: other images than it names. Raises ConfigError."""
    weights = resolve_weights(config.model, config.weights)
    compute = resolve_compute(config.trainer, config.data.size, kinds)
    _check_root(Path(config.sweep.root))
    check_packages(config.tracking)
    dataset = dataset or open_dataset(config.data)
    _check_user_transforms(json.dumps(config.augment.own, sort_keys=True), config.data.train_side)
    given = "num_classes" in config.model.kwargs
    need(not given, "model.kwargs.num_classes: is the number of classes of the images; leave it out")
    model_key, classes = _key(config.model), len(dataset.classes)
    batch = (min(2, config.trainer.batch_size), 3, config.data.size, config.data.size)
    _check_images(model_key, classes, batch)
    if config.data.test_size is not None:
        _check_images(model_key, classes, (*batch[:2], *(config.data.eval_size,) * 2), "data.test_size")
    compute = for_network(compute, config.trainer, config.data.size, lambda: _depthwise(model_key, classes))
    keys = _key(config.optimizer), _key(config.scheduler)
    _check_training(model_key, classes, *keys, config.trainer.epochs, _steps_per_epoch(config, dataset))
    mixes = _check_techniques(config, _sketch(model_key, classes))
    _check_loss(_key(config.loss), config.trainer.label_smoothing, config.trainer.class_weights, classes, mixes)
    _check_metrics(json.dumps(config.trainer.metrics, sort_keys=True), classes)
    trained_with = _check_weights(model_key, classes, weights, config.weights.path, not config.sweep.plan)
    normalize = trained_with if config.data.normalize == "auto" else config.data.normalize
    resolved = ResolvedSettings(
        weights,
        normalize,
        compute.precision,
        compute.memory_format,
        dataset.fingerprint,
        tuple(dataset.drawn),
        _redraws_head(model_key, classes),
    )
    name = identity(config, resolved)
    licence = _licence(model_key, weights)
    return Prepared(config, dataset, compute, resolved, name, f"{slug(config, resolved)}-{name}", licence)


def _check_root(root: Path) -> None:
    """Run folders have to find a place."""
    folders = (root.absolute(), *root.absolute().parents)
    existing = next(folder for folder in folders if os.path.exists(folder))  # noqa: PTH110 (Path's raises for a name too long)
    need(existing.is_dir(), f"sweep.root={root}: {existing} is a file, expected a folder")
    need(os.access(existing, os.W_OK | os.X_OK), f"sweep.root={root}: may not write into {existing}")
    if not os.path.exists(root):  # noqa: PTH110
        _check_new_folder(root, existing)


def _check_new_folder(root: Path, existing: Path) -> None:
    """Whether a folder can be made in `existing`: it may be read-only, or no place for files, such as /proc."""
    try:
        os.rmdir(tempfile.mkdtemp(prefix=".finegrid-", dir=existing))  # noqa: PTH106
        below = root.absolute().relative_to(existing).parts
        need(all(len(os.fsencode(name)) <= 255 for name in below), f"sweep.root={root}: file name too long")
    except OSError as error:
        raise ConfigError(f"sweep.root={root}: can't make a folder in {existing}: {error.strerror}") from error


def _key(part: ModelConfig | OptimizerConfig | SchedulerConfig | LossConfig) -> str:
    return json.dumps(asdict(part), sort_keys=True)


@lru_cache(maxsize=32)
def _sketch(model_key: str, classes: int) -> "nn.Module":
    """The network without memory for its numbers, on torch's meta device."""
    import torch

    from training.models.build import build_model, family_of

    config = ModelConfig(**json.loads(model_key))
    family_of(config).check(config)
    try:
        with torch.device("meta"):
            return build_model(config, classes)
    except ConfigError:  # or it reads numbers from tensors as it is built, as RegNet does
        return build_model(config, classes).to("meta")


@cache
def _depthwise(model_key: str, classes: int) -> float:
    """The share of channels that depthwise convolutions make."""
    from training.models.layers import depthwise_share

    return depthwise_share(_sketch(model_key, classes))


@cache
def _redraws_head(model_key: str, classes: int) -> bool:
    from training.models.build import redraws_head

    return redraws_head(_sketch(model_key, classes))


@cache
def _check_training(
    model_key: str, classes: int, optimizer_key: str, scheduler_key: str, epochs: int, steps_per_epoch: int
) -> None:
    """Optimizer and schedule take their settings, and the first steps with them."""
    from training.engine.optimizer import build_optimizer, try_optimizer
    from training.engine.schedule import Schedule, try_schedule

    model = _sketch(model_key, classes)
    part = "optimizer"
    try:
        config = OptimizerConfig(**json.loads(optimizer_key))
        optimizer = build_optimizer(model, replace(config, lr=1e-3) if config.lr == AUTO else config)
        try_optimizer(config)
        part = "scheduler"
        schedule = Schedule(optimizer, SchedulerConfig(**json.loads(scheduler_key)), epochs, steps_per_epoch)
        try_schedule(schedule, optimizer, epochs * steps_per_epoch if schedule.per_step else epochs)
    except ConfigError:
        raise
    except Exception as error:  # what torch makes of nonsense in kwargs
        raise Impossible(f"{part} refuses these settings: {type(error).__name__}: {error}") from error


def _steps_per_epoch(config: RunConfig, dataset: Dataset) -> int:
    """As a session counts them (training/engine/session.py)."""
    from training.data.batches import split_batches

    train = dataset.split["train"]
    batches = 1 if config.debug.overfit_batch else len(split_batches(train, config.trainer.batch_size))
    steps = max(1, -(-batches // config.trainer.accumulate))
    return min(steps, config.debug.max_steps or steps)


def _check_techniques(config: RunConfig, model: "nn.Module") -> bool:
    """The techniques take their settings and this network. Gives whether one makes shares of the labels."""
    from training.engine.techniques import active_techniques

    techniques = active_techniques(config).values()
    for technique in techniques:
        technique.check(model)
    return any(technique.makes_shares for technique in techniques)


@cache
def _check_loss(loss_key: str, smoothing: float, weights: Any, classes: int, mixes: bool) -> None:
    """The loss takes its settings and these targets."""
    from training.engine.loss import check_loss

    trainer = TrainerConfig(label_smoothing=smoothing, class_weights=weights)
    check_loss(LossConfig(**json.loads(loss_key)), trainer, classes, mixes)


@cache
def _check_metrics(metrics_key: str, classes: int) -> None:
    """Metrics of the user's own give a number."""
    if own := json.loads(metrics_key):
        from training.engine.predictions import check_own_metrics

        check_own_metrics(own, classes)


@cache
def _check_weights(model_key: str, classes: int, weights: str, path: str | None, download: bool) -> str:
    """The network takes these weights, and they are there (but a plan needs no download).

    Gives the normalization that the weights were trained with: imagenet or another of their family's, checkpoint (it
    says so itself) or dataset.
    """
    from training.models.build import family_of
    from training.models.weights import check_weights, pretrained_file, pretrained_state

    config = ModelConfig(**json.loads(model_key))
    model = _sketch(model_key, classes)
    if weights == "none":
        return "dataset"
    if weights.startswith("checkpoint:"):
        state, meta = read_checkpoint(checkpoint_file(path))
        try:
            check_weights(model, state, f"weights.path={path}")
        except ConfigError as error:  # it fits another model
            raise Impossible(str(error)) from error
        return "checkpoint" if "preprocessing" in meta else "dataset"
    family = family_of(config)
    if download:
        pretrained_file(config, weights)
    if trained_as := family.trained_as(config, weights):
        trained, trained_classes = trained_as
        check_weights(model, _sketch(_key(trained), trained_classes).state_dict(), f"{weights} of {trained.called}")
    elif download:
        check_weights(model, pretrained_state(model, config, weights), f"{weights} of {config.called}")
    images = family.pretraining(config, weights)
    return "dataset" if images is None else images.normalize


@cache
def _licence(model_key: str, weights: str) -> str | None:
    if weights == "none" or weights.startswith("checkpoint:"):
        return None
    from training.models.build import family_of

    config = ModelConfig(**json.loads(model_key))
    images = family_of(config).pretraining(config, weights)
    return None if images is None else images.licence


@cache
def _check_user_transforms(configs: str, side: int) -> None:
    """Transforms of the user's own work on images of `side` px."""
    if transforms := json.loads(configs):
        from training.data.pixels.user_transforms import UserTransforms

        UserTransforms(transforms).check(side)


@cache
def _check_images(model_key: str, classes: int, batch: tuple[int, ...], key: str = "data.size") -> None:
    """Images go through, and a score for each class comes out. (Not where the forward pass of a network
    looks at numbers, which aren't there.)"""
    import torch

    from training.models.build import family_of, logits

    config, model = ModelConfig(**json.loads(model_key)), _sketch(model_key, classes)
    try:
        scores = logits(model.train()(torch.empty(batch, device="meta")))
    except Exception as error:
        if not family_of(config).runs_on_meta:
            return
        settings = f"{key}={batch[-1]}" + " trainer.batch_size=1" * (batch[0] == 1)
        raise Impossible(f"{settings}: {config.called} can't take such images: {error}") from error
    shape, wanted = list(scores.shape), [batch[0], classes]
    need(shape == wanted, f"model {config.called}: gives scores of shape {shape}, expected {wanted}")
