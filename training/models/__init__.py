"""The network of a run: families that build it, initial weights, head, layers.

May import: training's own files. `training.models.torchvision_model` is the name that configs and run folders hold.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.models.torchvision import torchvision_model

__all__ = ["torchvision_model"]


def __getattr__(name: str) -> Any:
    # torch is imported by the first who builds a network, not by who reads a config
    if name == "torchvision_model":
        from training.models.torchvision import torchvision_model

        return torchvision_model
    raise AttributeError(f"module 'training.models' has no attribute {name!r}")
