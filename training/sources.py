"""Sources of images by the names that configs, run folders and users hold; the code: training/data/."""

from training.data.digits import digits
from training.data.image_folder import folder
from training.data.sources import Source

__all__ = ["Source", "digits", "folder"]
