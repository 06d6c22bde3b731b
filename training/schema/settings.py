"""What users see of a config, which may be of another version."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from training.schema.json_parts import as_number, as_text, as_whole

FAMILIES = "training.models."  # a `_target_` in here builds a model by its name; any other is a user's own model
_GROUPS = ("model", "weights", "optimizer", "scheduler", "trainer", "data")


@dataclass(frozen=True)
class Settings:
    """What users see of a config, under the names that users see. None: not known."""

    model: str | None
    weights: str | None  # as asked for: none, default, imagenet1k_v1
    optimizer: str | None
    lr: float | None  # None for auto, too
    scheduler: str | None
    weight_decay: float | None
    batch_size: int | None
    epochs: int | None
    folds: int | None
    monitor: str


def settings_of(config: dict[str, Any]) -> Settings:
    """What users see of a config, which may be of another version or broken."""
    parts = {name: part if isinstance(part := config.get(name), dict) else {} for name in _GROUPS}
    model, optimizer, trainer = parts["model"], parts["optimizer"], parts["trainer"]
    target, schedule = as_text(model.get("_target_")), as_text(parts["scheduler"].get("_target_"))
    accepts = found if isinstance(found := model.get("accepts"), list) else []
    name, made_by = as_text(model.get("name")), as_text(optimizer.get("_target_"))
    return Settings(
        model=model_name(target, name or "", accepts) or None if target is not None else name,
        weights=as_text(parts["weights"].get("source")),
        optimizer=None if made_by is None else short_name(made_by),
        lr=as_number(optimizer.get("lr")),
        scheduler=short_name(schedule) if schedule is not None or parts["scheduler"] else None,
        weight_decay=as_number(optimizer.get("weight_decay")),
        batch_size=as_whole(trainer.get("batch_size")),
        epochs=as_whole(trainer.get("epochs")),
        folds=as_whole(parts["data"].get("folds")),
        monitor=as_text(trainer.get("monitor")) or "val_acc",
    )


# The names of models, optimizers and schedules that users see, in folders, tables, pages, TensorBoard and options, are
# made here and nowhere else, from what a config says. (Weights have theirs already: none, IMAGENET1K_V1.)


def model_name(target: str, name: str, accepts: Sequence[str] = ()) -> str:
    """What people call a model: its name in a family that goes by names (resnet18), or for one of your own the function
    or class that builds it. `accepts`: the arguments of ModelConfig that its builder takes."""
    by_name = target.startswith(FAMILIES) or "name" in accepts
    return name if name and by_name else target.rpartition(".")[2]


def short_name(target: str | None) -> str:
    """What people call an optimizer or schedule: adamw, onecycle, none."""
    if target is None:
        return "none"
    name = target.rpartition(".")[2]
    return name.removesuffix("LR").removesuffix("Annealing").lower() or name
