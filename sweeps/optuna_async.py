"""OptunaAsyncSweeper, by the name that sweeps of earlier versions hold; see sweeps/sweepers/optuna_async.py."""

from sweeps.sweepers.optuna_async import OptunaAsyncSweeper

__all__ = ["OptunaAsyncSweeper"]
