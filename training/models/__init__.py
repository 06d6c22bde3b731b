"""The network of a run: families that build it, initial weights, head, layers.

May import: training's own files and data. `training.models.torchvision_model` is the name that configs and run folders
hold. Nothing here imports torch before a network is built.
"""

from training.models.build import build_model, head_prefix
from training.models.torchvision import torchvision_model

__all__ = ["build_model", "head_prefix", "torchvision_model"]
