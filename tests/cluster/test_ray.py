"""hydra/launcher=ray_workers on a real Ray: two nodes with a GPU each that is none."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from outcome import outcome
from ray_parts import ADDRESS, Ray, Sweep, ray_cluster, until, why_not
from sweeping import decisions, records, results, small, trouble, without

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
STUDY = ["hydra/sweeper=optuna_async", "hydra/sweeper/sampler=random", "hydra.sweeper.sampler.seed=1"]
STUDY += ["hydra/sweeper/pruner=hyperband", "hydra.sweeper.n_trials=20"]
STUDY += ["hydra.sweeper.study_name=one"]  # which the brackets of hyperband go by
STUDY += ["optimizer.lr=tag(log,interval(1e-4,1e-1))"]


@pytest.fixture(scope="module")
def ray() -> Iterator[Ray]:
    if why := why_not():
        pytest.skip(why)
    with ray_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of all sweeps here: their configs name a file in it, so those in another come to other folders."""
    return tmp_path_factory.mktemp("ray")


@pytest.fixture(autouse=True)
def no_trouble(place: Path) -> Iterator[None]:
    trouble(place, {})
    yield
    trouble(place, {})


def locally(place: Path, name: str, *arguments: str) -> Path:
    command = [sys.executable, str(ROOT / "train.py"), *small(place), f"sweep.root={place / 'outputs'}", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "FINEGRID_CACHE": str(place / "cache")}
    done = subprocess.run([*command, f"sweep.name={name}"], env=environment, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return place / "outputs" / name


@pytest.fixture(scope="module")
def wanted(ray: Ray, place: Path) -> dict[str, Any]:
    """What the local launcher makes of the grid of which all sweeps here are a part."""
    trouble(place, {})
    return results(locally(place, "local", "seed=range(6)", "optimizer=adam,sgd"))


@pytest.fixture
def start(ray: Ray, place: Path) -> Iterator[Callable[..., Sweep]]:
    started: list[Sweep] = []

    def call(*arguments: str, **variables: str) -> Sweep:
        started.append(Sweep(ray, place, arguments, **variables))
        return started[-1]

    yield call
    for sweep in started:
        sweep.kill()


def command(place: Path, name: str, *settings: str) -> list[str]:
    """Two workers with a GPU each, of which there is one on each node."""
    launcher = ["hydra/launcher=ray_workers", "hydra.launcher.workers=2", "hydra.launcher.num_gpus=1"]
    launcher += ["hydra.launcher.devices=cpu"]
    return [*without(small(place), "hydra.launcher"), f"sweep.name={name}", *launcher, *settings]


def has_begun(sweep: Path, count: int) -> bool:
    return sum(file.read_text().count("\n") > 1 for file in sweep.glob("*/seed=*/history.csv")) >= count


def members(sweep: Path) -> list[dict[str, Any]]:
    """What the workers that are there say of themselves."""
    return [json.loads(file.read_text()) for file in (sweep / ".workers" / "members").glob("[!.]*")]


def check(sweep: Path, wanted: dict[str, Any], count: int) -> None:
    """The local launcher's results, bit for bit."""
    found = results(sweep)
    assert len(found) == count and found == {folder: wanted[folder] for folder in found}


def test_a_grid_on_two_nodes_and_the_same_command_again(
    start: Callable[..., Sweep], place: Path, wanted: dict[str, Any]
) -> None:
    grid = ["seed=range(6)", "optimizer=adam,sgd"]
    sweep = start(*command(place, "grid"), *grid)
    assert sweep.end() == 0, sweep.out
    check(place / "outputs" / "grid", wanted, 12)
    assert "on node0 " in sweep.out and "on node1 " in sweep.out, sweep.out
    assert not (place / "outputs" / "grid" / ".workers").exists()
    again = start(*command(place, "grid"), *grid)
    assert again.end() == 0 and "12 done" in again.out, again.out


def test_a_study_prunes_as_the_local_launcher_does(start: Callable[..., Sweep], place: Path) -> None:
    sweep = start(*command(place, "study", "hydra.launcher.workers=1"), *STUDY)
    local = decisions(locally(place, "local_study", *STUDY, "hydra.launcher.slots=1"))
    assert sweep.end() == 0, sweep.out
    assert decisions(place / "outputs" / "study") == local and len(local) == 20 and "pruned" in str(local)


def test_a_node_is_lost(start: Callable[..., Sweep], ray: Ray, place: Path, wanted: dict[str, Any]) -> None:
    """Ray knows it long before `lost_s`."""
    trouble(place, {"*": "hold 3"})
    sweep = start(*command(place, "node", "hydra.launcher.lost_s=500"), "seed=range(3)", "optimizer=adam")
    until(lambda: has_begun(place / "outputs" / "node", 2), lambda: sweep.out)
    assert {one["host"] for one in members(place / "outputs" / "node")} == {"node0", "node1"}
    ray.kill_node()
    sweep.until("goes on elsewhere: its worker node1-")
    trouble(place, {})
    assert sweep.end() == 0, sweep.out
    check(place / "outputs" / "node", wanted, 3)
    ray.start_node()


def test_the_controller_is_killed_and_the_same_command_goes_on(
    start: Callable[..., Sweep], ray: Ray, place: Path, wanted: dict[str, Any]
) -> None:
    trouble(place, {"*": "hold 3"})
    grid = ["seed=0,1", "optimizer=sgd"]
    sweep = start(*command(place, "killed"), *grid)
    until(lambda: has_begun(place / "outputs" / "killed", 2), lambda: sweep.out)
    sweep.kill()
    until(lambda: not ray.call("pgrep", "-f", "sweeps.launchers.workers.worker").stdout)  # Ray ends them at once
    trouble(place, {})
    again = start(*command(place, "killed"), *grid)
    assert again.end() == 0 and "2 to resume" in again.out, again.out
    check(place / "outputs" / "killed", wanted, 2)


def test_one_run_is_cancelled(start: Callable[..., Sweep], ray: Ray, place: Path, wanted: dict[str, Any]) -> None:
    trouble(place, {"*": "slow 1"})
    sweep, folder = start(*command(place, "cancel"), "seed=0,1", "optimizer=adam"), place / "outputs" / "cancel"
    until(lambda: has_begun(folder, 2), lambda: sweep.out)
    done = ray.call(sys.executable, "-m", "sweeps.status", str(folder), "--cancel", "1")
    assert done.returncode == 0, done.stdout
    sweep.until("#1 cancelled")
    trouble(place, {})
    sweep.end()
    done_runs = [file.parent for file in folder.rglob("record.json")]
    assert [one.name for one in done_runs] == ["seed=0"], "the other has gone on"
    assert outcome(done_runs[0]) == wanted[str(done_runs[0].relative_to(folder))]


def test_a_worker_whose_gpu_is_broken_is_set_aside(
    start: Callable[..., Sweep], place: Path, wanted: dict[str, Any]
) -> None:
    """And keeps its GPU as long as the sweep lives: the third worker would get it otherwise."""
    trouble(place, {"*": "slow 1,broken_device"})
    three = command(place, "broken", "hydra.launcher.workers=3")
    sweep = start(*three, "seed=range(5)", "optimizer=adam")
    assert sweep.end() == 0, sweep.out
    assert 1 <= sweep.out.count("may be the device's fault: it is tried elsewhere") <= 2, sweep.out
    check(place / "outputs" / "broken", wanted, 5)


def test_two_workers_share_a_gpu(start: Callable[..., Sweep], place: Path, wanted: dict[str, Any]) -> None:
    trouble(place, {"*": "hold 2"})
    half = command(place, "half", "hydra.launcher.workers=4", "hydra.launcher.num_gpus=0.5")
    half += ["hydra.launcher.runtime_env={env_vars: {ANY: thing}}"]
    sweep = start(*half, "seed=range(4)", "optimizer=adam")
    until(lambda: has_begun(place / "outputs" / "half", 4), lambda: sweep.out)  # at the same time, on two GPUs
    assert [len(one["slots"]) for one in members(place / "outputs" / "half")] == [1] * 4
    trouble(place, {})
    assert sweep.end() == 0, sweep.out
    check(place / "outputs" / "half", wanted, 4)


def test_what_no_node_has_is_said_in_the_plan_and_while_waiting(start: Callable[..., Sweep], place: Path) -> None:
    line = "no node of the Ray cluster has num_cpus=1 num_gpus=4 for a worker (the most that one has: 2 CPU, 1 GPU)"
    much = command(place, "much", "hydra.launcher.num_gpus=4", "seed=0")
    plan = start(*much, "sweep.plan=true")
    sweep = start(*much)
    assert plan.end() == 0 and line in plan.out and "1 run: 1 new" in plan.out, plan.out
    sweep.until(f"{line}: waiting until there is one")
    local = start(*much, "hydra.launcher.address=local")
    assert local.end() == 2 and "error: hydra/launcher=ray_workers: no node of the Ray" in local.out, local.out


def test_a_cluster_of_its_own_ends_with_the_sweep(start: Callable[..., Sweep], ray: Ray, place: Path) -> None:
    def raylets() -> int:
        return len(ray.call("pgrep", "-x", "raylet").stdout.split())

    before = raylets()
    sweep = start(*command(place, "own", "hydra.launcher.address=local", "hydra.launcher.num_gpus=0"), "seed=0")
    assert sweep.end() == 0 and len(records(place / "outputs" / "own")) == 1, sweep.out
    until(lambda: raylets() == before)


def test_a_cluster_that_is_not_there_is_one_line(start: Callable[..., Sweep], place: Path) -> None:
    for address in ("127.0.0.1:7777", "ray://127.0.0.1:7777"):
        sweep = start(*command(place, "nowhere", f"hydra.launcher.address={address}"), "seed=0")
        assert sweep.end() == 2, sweep.out
        assert f"error: hydra.launcher.address={address}: no Ray cluster to be had: " in sweep.out


def test_the_commands_in_the_docs(start: Callable[..., Sweep], place: Path) -> None:
    """With other images and networks."""
    text = (ROOT / "docs" / "ray.md").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if "hydra/launcher=ray_workers" in line and "train.py" in line]
    assert len(lines) >= 3
    sweeps = []
    for number, line in enumerate(lines):
        given = without(shlex.split(line.replace("HEAD:", "127.0.0.1:"), comments=True)[3:], "data", "model", "seed")
        base = without(small(place), "hydra.launcher", "trainer.epochs")
        sweeps.append(start(*base, "trainer.epochs=1", *given, f"sweep.name=docs{number}", "seed=0,1"))
    for number, sweep in enumerate(sweeps):  # all at once: those that find no place wait for one
        assert sweep.end() == 0, sweep.out
        assert len(records(place / "outputs" / f"docs{number}")) == 2


def test_the_contract_of_launchers(ray: Ray) -> None:
    """The suite of all launchers, inside."""
    suite = ["-n", "0", "-q", "-p", "no:cacheprovider", "tests/sweeps/launchers/test_launcher_contract.py"]
    done = ray.call(sys.executable, "-m", "pytest", *suite, "-k", "ray_workers", timeout_s=400)
    found = re.search(r"(\d+) passed", done.stdout)
    assert done.returncode == 0 and found is not None and int(found[1]) >= 12 and "skipped" not in done.stdout, (
        done.stdout[-5000:]
    )


def test_an_address_is_looked_at_before_anything(start: Callable[..., Sweep], place: Path) -> None:
    sweep = start(*command(place, "odd", "hydra.launcher.address=nonsense"), "seed=0")
    assert sweep.end() == 2 and "expected auto, local, HOST:PORT" in sweep.out, sweep.out
    assert ADDRESS not in sweep.out
