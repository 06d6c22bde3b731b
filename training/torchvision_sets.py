"""The source of data=torchvision by the name that configs and run folders hold; see training/data/."""

from training.data.torchvision_sets import torchvision

__all__ = ["torchvision"]
