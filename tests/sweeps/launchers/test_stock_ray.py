"""A grid through Ray: a cluster of two nodes on this machine, in a network of its own, so that nothing outside hears
of it."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import QUICK, ROOT, Door
from sweeping import results

ALONE = ["unshare", "-n", "-p", "-f", "--mount-proc", "--kill-child"]
NODE = "--node-ip-address=127.0.0.1 --num-cpus=1 --num-gpus=1 --disable-usage-stats"


pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


@pytest.fixture
def cluster_folder(tmp_path: Path) -> Iterator[Path]:
    """Ray's sockets need a short path."""
    folder = Path("/tmp") / f"ray-{os.getpid()}"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def record_files(sweep: Path) -> dict[str, str]:
    return {str(file.relative_to(sweep)): file.read_text() for file in sweep.glob("*/*/record.json")}


def test_a_grid_twice_on_two_nodes(train: Door, tmp_path: Path, cluster_folder: Path) -> None:
    pytest.importorskip("ray", reason="ray missing (pip install 'finegrid[ray]')")
    if subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("may not make a network of its own, which takes root")
    sweep = [
        "-m",
        *QUICK,
        "trainer.epochs=2",
        "tracking=none",
        "model._target_=sweep_parts.net",
        "seed=0,1",
        "optimizer=adam,sgd",
    ]
    sweep += ["trainer.threads=1", f"sweep.root={tmp_path / 'outputs'}"]
    launcher = [
        "hydra/launcher=ray",
        "+hydra.launcher.ray.init.address=127.0.0.1:6390",
        "+hydra.launcher.ray.remote.num_gpus=1",
    ]
    command = shlex.join([sys.executable, "train.py", *sweep, *launcher, "sweep.name=ray"])
    ray = shlex.quote(str(Path(sys.executable).with_name("ray")))
    script = tmp_path / "script.sh"
    script.write_text(
        f"""
        set -e
        ip link set lo up
        {ray} start --head --port=6390 {NODE} --include-dashboard=false --temp-dir={cluster_folder}
        {ray} start --address=127.0.0.1:6390 {NODE}
        {command}
        cp -r {tmp_path}/outputs/ray {tmp_path}/before
        {command}
        """
    )
    paths = f"{ROOT}:{ROOT / 'tests'}"
    environment = {
        **os.environ,
        "PYTHONPATH": paths,
        "RAY_AUTH_MODE": "disabled",
        "FINEGRID_CACHE": str(tmp_path / "c"),
    }
    done = subprocess.run(
        [*ALONE, "bash", str(script)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "plan: 4 runs: 4 new" in done.stdout and "plan: 4 runs: 4 done" in done.stdout
    before, now = record_files(tmp_path / "before"), record_files(tmp_path / "outputs" / "ray")
    assert len(before) == 4 and now == before, "nothing is trained again: a record tells its times"
    assert len({json.loads(text)["time"]["process"] for text in now.values()}) >= 2
    assert train(*sweep, "hydra.launcher.slots=2", "sweep.name=ours").code == 0
    assert results(tmp_path / "outputs" / "ray") == results(tmp_path / "outputs" / "ours"), "bit for bit"
