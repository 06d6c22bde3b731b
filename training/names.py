"""The names of models, optimizers and schedules that users see: in folders, tables, pages, TensorBoard and options.

They are made here and nowhere else, from what a config says. (Weights have theirs already: none, IMAGENET1K_V1.)
"""

FAMILIES = "training.models."  # a `_target_` in here builds a model by its name; any other is a user's own model


def model_name(target: str, name: str) -> str:
    """What people call a model: resnet18, or for one of your own the function or class that builds it."""
    return name if name and target.startswith(FAMILIES) else target.rpartition(".")[2]


def short_name(target: str | None) -> str:
    """What people call an optimizer or schedule: adamw, onecycle, none."""
    if target is None:
        return "none"
    name = target.rpartition(".")[2]
    return name.removesuffix("LR").removesuffix("Annealing").lower() or name
