"""sweep.detach=true with hydra/launcher=slurm_workers: the controller is a small job of a real Slurm."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Door
from slurm_parts import Slurm
from sweeping import results, trouble
from test_slurm import Sweep, command, has_begun, local, no_jobs_left, slurm, start, until

__all__ = ["no_jobs_left", "slurm", "start"]
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
FAR = ["sweep.detach=true", "hydra.launcher.workers=1", "hydra.launcher.lost_s=15"]
FAR += ["hydra.launcher.controller.mem_gb=1"]


def controllers(slurm: Slurm) -> list[str]:
    """Jobs that are one."""
    lines = slurm.call("squeue", "-h", "-o", "%i %j").stdout.splitlines()
    return [line.split()[0] for line in lines if line.endswith("-controller")]


def said(sweep: Path) -> str:
    """By all controllers, one after the other."""
    file = sweep / "controller.log"
    return file.read_text() if file.exists() else ""


def test_a_detached_controller_is_a_job(start: Callable[..., Sweep], slurm: Slurm, train: Door, tmp_path: Path) -> None:
    grid, sweep = ["seed=0,1"], tmp_path / "outputs" / "slurm"
    assert train(*local(tmp_path), *grid).code == 0
    trouble(tmp_path, {"*": "hold 2"})
    first = start(*command(tmp_path, *FAR), *grid)
    assert first.end() == 0, first.out
    (job,) = controllers(slurm)
    assert f"job {job} of Slurm, and this terminal may close; its output: {sweep / 'controller.log'}" in first.out
    asked = slurm.call("scontrol", "show", "job", job).stdout
    assert all(text in asked for text in ("NumCPUs=1 ", "MinMemoryNode=1G", "Requeue=1")), asked
    assert "gpu:" not in asked, asked
    until(lambda: has_begun(sweep, 1), said(sweep))
    view = start(*command(tmp_path, *FAR), *grid)
    view.until("Ctrl-C leaves it running")
    view.until("1 running")
    view.process.send_signal(signal.SIGKILL)
    slurm.call("bash", "-c", f"kill -9 $(pgrep -f 'train.py.*{sweep.parent}' | head -1)")  # the controller
    until(lambda: not controllers(slurm), "its job ends with it")
    trouble(tmp_path, {})
    second = start(*command(tmp_path, *FAR), *grid)
    assert second.end() == 0 and "this terminal may close" in second.out, second.out
    until(lambda: not controllers(slurm), said(sweep))
    assert results(sweep) == results(tmp_path / "outputs" / "local"), said(sweep)


def test_a_controller_at_its_time_limit_begins_again(
    start: Callable[..., Sweep], slurm: Slurm, train: Door, tmp_path: Path
) -> None:
    sweep = tmp_path / "outputs" / "slurm"
    assert train(*local(tmp_path), "seed=0").code == 0
    trouble(tmp_path, {"*": "hold 2"})
    short = ["hydra.launcher.controller.timeout_min=2", "hydra.launcher.grace_s=10"]
    assert start(*command(tmp_path, *FAR, *short), "seed=0").end() == 0
    (job,) = controllers(slurm)
    until(lambda: f"the time of job {job} is over: it is put into the queue anew" in said(sweep), said(sweep))
    trouble(tmp_path, {})
    until(lambda: said(sweep).count("plan: ") == 2, said(sweep))
    until(lambda: not controllers(slurm), said(sweep))
    assert results(sweep) == results(tmp_path / "outputs" / "local"), said(sweep)


def test_what_slurm_refuses_is_one_line(start: Callable[..., Sweep], tmp_path: Path) -> None:
    sweep = start(*command(tmp_path, *FAR, "hydra.launcher.controller.partition=nowhere"), "seed=0")
    assert sweep.end() == 2
    assert "error: sweep.detach=true, hydra.launcher.controller: " in sweep.out and "partition" in sweep.out, sweep.out
