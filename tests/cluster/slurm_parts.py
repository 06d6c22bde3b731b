"""A Slurm for tests: that of benchmarks/cluster/slurm.py, or the reason why there is none."""

import pytest

from benchmarks.cluster.slurm import Slurm, slurm_cluster, why_not

__all__ = ["Slurm", "skip_without", "slurm_cluster", "why_not"]


def skip_without(why: str) -> None:
    """Skip a test, with the reason."""
    if why:
        pytest.skip(why)
