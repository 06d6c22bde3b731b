"""LocalLauncher, by the name that sweeps of earlier versions hold; see sweeps/launchers/local.py."""

from sweeps.launchers.local import LocalLauncher

__all__ = ["LocalLauncher"]
