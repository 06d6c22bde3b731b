"""The trackers that a run asks for beside TensorBoard, and whether their packages are there. Without torch."""

import importlib.util

from training.config import TrackingConfig
from training.schema.checks import need

PACKAGES = {"wandb": "wandb", "mlflow": "mlflow"}  # tracker: what is imported for it


def asked(tracking: TrackingConfig) -> list[str]:
    """The trackers that a run has beside TensorBoard."""
    return [name for name in PACKAGES if getattr(tracking, name)]


def check_packages(tracking: TrackingConfig) -> None:
    """Raise ConfigError where the package of a tracker is missing."""
    for name in asked(tracking):
        there = importlib.util.find_spec(PACKAGES[name]) is not None
        need(there, f"tracking.{name}=true: {PACKAGES[name]} is not installed: pip install 'finegrid[{name}]'")
