"""Sources of images by the names that configs, run folders and users hold; the code: training/data/sources.py."""

from training.data.sources import Source, digits, folder

__all__ = ["Source", "digits", "folder"]
