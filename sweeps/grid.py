"""GridSweeper, by the name that sweeps of earlier versions hold; see sweeps/sweepers/grid.py."""

from sweeps.sweepers.grid import GridSweeper

__all__ = ["GridSweeper"]
