"""Tests of a real Ray that take minutes."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray_parts import Ray, Sweep, ray_cluster, why_not
from sweeping import records, small, without

pytestmark = [pytest.mark.cluster_full, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def ray() -> Iterator[Ray]:
    if why := why_not():
        pytest.skip(why)
    with ray_cluster() as cluster:
        yield cluster


def test_a_client_whose_server_dies_at_its_start_has_another(ray: Ray, tmp_path: Path) -> None:
    """On a loaded machine Ray's own did, and all of the sweep ended there."""
    kill = f"until pkill -9 -f -- '--mode=[s]pecific-server'; do sleep 0.01; done; touch {tmp_path}/killed"
    killer = subprocess.Popen(ray.command("timeout", "120", "bash", "-c", kill))
    launcher = ["hydra/launcher=ray_workers", "hydra.launcher.address=ray://127.0.0.1:10001"]
    launcher += ["hydra.launcher.num_gpus=0", "hydra.launcher.devices=cpu"]
    sweep = Sweep(
        ray, tmp_path, [*without(small(tmp_path), "hydra.launcher"), *launcher, "sweep.name=client", "seed=0"]
    )
    assert sweep.end() == 0 and len(records(tmp_path / "outputs" / "client")) == 1, sweep.out
    assert killer.wait() == 0 and (tmp_path / "killed").exists()
