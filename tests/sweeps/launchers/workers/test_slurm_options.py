"""What sbatch is asked for can be given as one value, as docs/slurm.md has it; a plan needs no Slurm."""

import pytest
from conftest import QUICK, Door

GIVEN = [
    "hydra.launcher.sbatch={nice: 100}",
    "hydra.launcher.controller={partition: cpu, timeout_min: 2880, mem_gb: 8}",
    "hydra.launcher.controller={partition: cpu, sbatch: {nice: 100}}",
    "hydra.launcher.blocks=[{partition: a100, workers: 4, gpu: a100}, {partition: v100, sbatch: {nice: 1}, gpu: v100}]",
]


@pytest.mark.parametrize("given", GIVEN)
def test_further_options(train: Door, given: str) -> None:
    gpu = [] if "gpu" in given else ["hydra.launcher.gpu=cpu"]
    planned = train("-m", *QUICK, "hydra/launcher=slurm_workers", given, *gpu, "sweep.plan=true")
    assert planned.code == 0 and "plan: 1 run: 1 new" in planned.out, planned.err


def test_a_key_that_is_none(train: Door) -> None:
    command = ["-m", *QUICK, "hydra/launcher=slurm_workers", "sweep.plan=true"]
    refused = train(*command, "hydra.launcher.controller={memory: 8}")
    assert refused.code == 2 and "memory" in refused.err and refused.err.count("\n") == 1, refused
