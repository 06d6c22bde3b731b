"""What workers ask of Ray, and what is said where it can't be had; no cluster is needed."""

import importlib.util
import socket
from pathlib import Path
from typing import Any

import pytest
from conftest import Door
from sweeping import small, without

from sweeps.launchers.workers.config import RayWorkersConfig
from sweeps.launchers.workers.ray_host import Order, WorkerHost
from sweeps.launchers.workers.ray_place import Place, check_ray, what_lacks
from training.errors import ConfigError

HAS_RAY = importlib.util.find_spec("ray") is not None
SETTINGS = vars(RayWorkersConfig())
NODES = [
    {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 1.0, "memory": 4.0 * 2**30}},
    {"Alive": True, "Resources": {"CPU": 64.0, "memory": 2.0 * 2**30, "tape": 1.0}},
    {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
]


def place(**settings: Any) -> Place:
    return Place.of({**SETTINGS, **settings})


def test_one_gpu_where_there_is_any_and_none_for_the_cpu() -> None:
    assert place().num_gpus is None, "until the cluster is known"
    assert place(devices="cpu").num_gpus == 0
    assert place(num_gpus=0).slots({"slots": "auto", "slots_per_gpu": "auto"})["devices"] == "cpu"


def test_slots_follow_what_ray_gives() -> None:
    given = {"slots": "auto", "slots_per_gpu": "auto", "mps": "auto", "devices": "auto"}
    assert place(num_gpus=2).slots(given) == given, "as hydra/launcher=local makes them"
    assert place(num_gpus=0.5).slots(given) == {**given, "slots_per_gpu": 1, "mps": "off"}
    mine = {**given, "slots_per_gpu": 3}
    assert place(num_gpus=0.5).slots(mine) == mine, "what the user says holds"


@pytest.mark.parametrize(
    ("settings", "lacks"),
    [
        ({"num_gpus": 1, "num_cpus": 8, "mem_gb": 4}, ""),
        ({"num_gpus": 0, "num_cpus": 64, "resources": {"tape": 0.5}}, ""),
        ({"num_gpus": 2}, "num_cpus=1 num_gpus=2 for a worker (the most that one has: 64 CPU, 1 GPU)"),
        ({"num_gpus": 1, "num_cpus": 64}, "num_cpus=64 num_gpus=1 for a worker"),  # one has these, and one those
        ({"num_gpus": 0, "mem_gb": 5}, "mem_gb=5 for a worker (the most that one has: 64 CPU, 4 GB of memory)"),
        ({"num_gpus": 0, "resources": {"lathe": 1}}, "resources.lathe=1 for a worker"),
    ],
)
def test_what_no_node_has(settings: dict[str, Any], lacks: str) -> None:
    told = what_lacks(place(**settings), NODES)
    assert bool(told) == bool(lacks) and lacks in told


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_gpus": 1.5}, "hydra.launcher.num_gpus=1.5: expected 0 to 1, or a whole number"),
        ({"num_gpus": -1}, "hydra.launcher.num_gpus=-1: expected 0 to 1"),
        ({"num_gpus": "many"}, "hydra.launcher.num_gpus=many: auto or a number"),
        ({"num_gpus": 0, "devices": "gpu"}, "needs hydra.launcher.num_gpus above 0"),
        ({"num_cpus": 0}, "hydra.launcher.num_cpus=0: expected above 0"),
        ({"mem_gb": -1}, "hydra.launcher.mem_gb=-1: expected above 0"),
        ({"resources": "a100"}, "hydra.launcher.resources=a100: expected keys and values"),
        ({"resources": {"tape": 0}}, "hydra.launcher.resources: tape=0: expected a number above 0"),
    ],
)
def test_settings_out_of_range_are_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        place(**settings)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.skipif(not HAS_RAY, reason="Ray is not installed")
def test_nobody_answers_at_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        check_ray(place(address=f"ray://127.0.0.1:{port}"))
    for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
        with pytest.raises(ConfigError, match=f"{address}: no Ray cluster to be had: .*refused"):
            check_ray(place(address=address))
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    with pytest.raises(ConfigError, match="no Ray cluster"):
        check_ray(place(address="auto"))
    with pytest.raises(ConfigError, match="expected auto, local, HOST:PORT"):
        check_ray(place(address="nonsense"))


@pytest.mark.skipif(HAS_RAY, reason="Ray is installed")
def test_without_ray_the_command_says_what_to_install(train: Door, tmp_path: Path) -> None:
    sweep = [*without(small(tmp_path), "hydra.launcher"), "hydra/launcher=ray_workers", "seed=0"]
    result = train(*sweep)
    assert result.code == 2 and "needs Ray: pip install 'finegrid[ray]'" in result.err
    assert train(*sweep, "sweep.plan=true").code == 0, "a plan needs none"


def test_a_node_that_does_not_see_the_sweeps_folder_says_so(tmp_path: Path) -> None:
    order = Order("", (), str(tmp_path / "elsewhere"), str(tmp_path / "elsewhere" / "logs"), "", 1, {})
    with pytest.raises(FileNotFoundError, match="every node has to see the sweep's folder at the same path"):
        WorkerHost().serve(order)


def test_what_a_worker_says_last_is_told(tmp_path: Path) -> None:
    order = Order("", (str(tmp_path), "--settings", "{"), str(tmp_path), str(tmp_path / "logs"), str(Path.cwd()), 1, {})
    code, line = WorkerHost().serve(order)
    assert code == 2 and "--settings" in line


def test_a_worker_that_was_told_to_end_before_it_began_does_not_begin(tmp_path: Path) -> None:
    host = WorkerHost()
    host.end(1.0)
    assert host.serve(Order("", ("--help",), str(tmp_path), str(tmp_path / "logs"), "", 1, {})) == (0, "")
