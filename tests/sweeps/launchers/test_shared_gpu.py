"""Runs that share a real GPU (marker `gpu`: make gpu), skipped where there is none. See test_sharing.py, too."""

import itertools
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from conftest import QUICK, Door
from sweeping import records, results, small, trouble

from sweeps.launchers.gpu.cards import read_cards
from sweeps.launchers.gpu.mps import Mps, why_no_mps

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
SEES_MEMORY = pytest.mark.skipif(shutil.which("nvidia-smi") is None, reason="needs nvidia-smi")
HAS_MPS = pytest.mark.skipif(shutil.which("nvidia-cuda-mps-control") is None, reason="needs nvidia-cuda-mps-control")
FOUR = ["hydra.launcher.slots=auto", "hydra.launcher.slots_per_gpu=4"]
HOLDS = """
import sys, time, torch
free, total = torch.cuda.mem_get_info()
held = torch.empty(int(free - 0.04 * total), dtype=torch.uint8, device="cuda")
print("held", flush=True)
sys.stdin.read()
"""


@SEES_MEMORY
def test_twelve_mixed_runs_in_auto_slots(train: Door, tmp_path: Path) -> None:
    command = ["-m", "model=resnet18,resnet50,swin_t", "trainer.batch_size=16,64", "seed=0,1", "data.size=96"]
    result = train(*command, "trainer.epochs=2", "tracking=none", "debug.max_steps=8", "scheduler=none")
    assert result.code == 0, result.err
    assert "out of memory" not in result.out
    files = list((tmp_path / "outputs").glob("*/*/*/record.json"))
    assert len(files) == 12 and all('"gpu_memory_mb"' in file.read_text() for file in files)


def test_one_slot_and_four_come_to_the_same(train: Door, tmp_path: Path) -> None:
    command = ["-m", *QUICK, "model=resnet18", "data.size=32", "debug.max_steps=null", "seed=range(4)", "tracking=none"]
    for name, slots in (("one", 1), ("four", 4)):
        result = train(*command, f"hydra.launcher.slots_per_gpu={slots}", f"sweep.name={name}")
        assert result.code == 0, result.err
    outputs = tmp_path / "outputs"
    assert results(outputs / "one") == results(outputs / "four")
    spans = sorted((r["time"]["started"], r["time"]["finished"]) for r in records(outputs / "four").values())
    assert any(later[0] < earlier[1] for earlier, later in itertools.pairwise(spans)), "at a time"


@HAS_MPS
def test_a_client_of_mps_is_killed(train: Door, tmp_path: Path) -> None:
    """(Its card must allow MPS, and no daemon of the user's be named in the environment.)"""
    assert train(*small(tmp_path), *FOUR, "seed=range(5)", "sweep.name=good", "hydra.launcher.mps=off").code == 0
    trouble(tmp_path, {"*": "slow 0.5", "1": "kill 3"})
    result = train(*small(tmp_path), *FOUR, "seed=range(5)", "sweep.name=bad", "hydra.launcher.retries=0")
    assert result.code == 0, result.err
    assert "goes on from its last saved epoch, alone: " in result.out
    assert results(tmp_path / "outputs" / "bad") == results(tmp_path / "outputs" / "good")
    assert not list((tmp_path / "outputs").rglob(".mps*")), "its daemon is gone"


@HAS_MPS
@SEES_MEMORY
def test_the_daemon_serves_a_client_and_ends(tmp_path: Path) -> None:
    card = read_cards(["0"])["0"]
    if why := why_no_mps(card):
        pytest.skip(why)
    mps = Mps.start(card, tmp_path)
    assert mps is not None
    client = [sys.executable, "-c", "import torch; print(torch.ones(3, device='cuda').sum().item())"]
    done = subprocess.run(client, env=os.environ | mps.environment(), capture_output=True, text=True, check=False)
    mps.stop()
    assert done.stdout == "3.0\n", done.stderr
    assert not mps.folder.exists() and mps.guard.returncode == 0


@SEES_MEMORY
def test_memory_that_another_program_holds_is_seen(train: Door, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin is not None and other.stdout is not None and other.stdout.readline() == "held\n"
        stdin = other.stdin

        def let_go() -> None:
            ends = time.monotonic() + 120
            while not any("waits for memory" in file.read_text() for file in tmp_path.rglob("state.json")):
                if time.monotonic() > ends:
                    break
                time.sleep(0.02)
            stdin.close()

        threading.Thread(target=let_go, daemon=True).start()
        batch = ["trainer.batch_size=256", "data.size=224", "debug=two_steps", "tracking=none"]
        result = train("-m", "model=resnet50", *batch, "seed=0")
    assert result.code == 0, result.err
    assert "waits for memory: gpu 0: other programs hold" in result.out
