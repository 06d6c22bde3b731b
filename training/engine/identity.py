"""The name of a configuration: a short hash of everything that can change its result, except the seed
(and the fold, which tells replicates apart as the seed does).

Values at their default in training/config.py are left out, so that a new key leaves old names as they were. (That is
why a default in that file must never change: conf/ holds the values that people change.)
"""

import dataclasses
import hashlib
import json
from typing import Any

from training.config import RunConfig
from training.schema.settings import model_name, short_name


@dataclasses.dataclass(frozen=True)
class ResolvedSettings:
    """What a config's `auto`s and names stand for, on this machine and for these images."""

    weights: str  # none, IMAGENET1K_V2, checkpoint:<hash of the file>
    normalize: str  # none, imagenet, dataset, or the mean and std of a checkpoint
    precision: str
    memory_format: str
    fingerprint: str  # of the images
    drawn: tuple[str, ...]  # the splits that were drawn, not given
    new_head: bool = False  # drawn anew, where its library draws it too large (training/models/heads.py)


def identity(config: RunConfig, resolved: ResolvedSettings) -> str:
    """Ten hex digits that name this configuration."""
    content = _changed(config)
    content["weights"] = resolved.weights
    if resolved.new_head:
        content.setdefault("model", {})["head"] = "drawn anew"
    content.setdefault("data", {}).update(
        fingerprint=resolved.fingerprint, normalize=resolved.normalize, stored_size=config.data.stored
    )
    content.setdefault("trainer", {}).update(precision=resolved.precision, memory_format=resolved.memory_format)
    _drop_what_does_not_apply(content, config, resolved)
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _changed(node: Any) -> dict[str, Any]:
    """The fields of a config that enter the identity and are not at their default."""
    content: dict[str, Any] = {}
    for field in dataclasses.fields(node):
        if not field.metadata.get("identity", True):
            continue
        value = getattr(node, field.name)
        if dataclasses.is_dataclass(value):
            if inner := _changed(value):
                content[field.name] = inner
        elif value in field.metadata.get("as_default", ()):  # it comes to the same
            continue
        elif value != (field.default if field.default_factory is dataclasses.MISSING else field.default_factory()):
            content[field.name] = value
    return content


def _drop_what_does_not_apply(content: dict[str, Any], config: RunConfig, resolved: ResolvedSettings) -> None:
    model = content.get("model", {})
    for key in {"drop_path", "dropout"} - set(config.model.accepts):
        model.pop(key, None)
    data = content["data"]
    if "val" not in resolved.drawn:
        data.pop("val_fraction", None)
    if "test" not in resolved.drawn:
        data.pop("test_fraction", None)
    if not resolved.drawn:
        data.pop("split_seed", None)
        data.pop("group_by", None)
    if config.augment.crop_scale is None:
        content.get("augment", {}).pop("crop_ratio", None)
    if config.optimizer.weight_decay == 0:
        content.get("optimizer", {}).pop("decay_norm_and_bias", None)
    if config.scheduler._target_ is None:
        content.get("scheduler", {}).pop("kwargs", None)
        if not config.scheduler.warmup_epochs:
            content.pop("scheduler", None)
    for key in [key for key, value in content.items() if value == {}]:
        del content[key]


def slug(config: RunConfig, resolved: ResolvedSettings) -> str:
    """The readable half of a run folder's name. It starts with the model."""
    lr = config.optimizer.lr  # a number, or auto
    parts = [
        model_name(config.model._target_, config.model.name, config.model.accepts),
        resolved.weights.replace(":", "-").lower(),
        short_name(config.optimizer._target_),
        f"lr{lr if isinstance(lr, str) else format(lr, 'g')}",
        short_name(config.scheduler._target_),
    ]
    return "-".join(parts)
