"""benchmarks.training and its loops with few images on a CPU, so that a mistake doesn't wait for a GPU. (What they
measure there only a GPU shows.)"""

import os
import re
from pathlib import Path

import pytest
import torch
from conftest import Door
from gpu_stand_ins import UUIDS, StandIns, stand_ins
from tape import Tape
from torch import nn

from benchmarks.ceiling import train_bare
from benchmarks.determinism import by_operation
from benchmarks.loop_setting import Setting
from benchmarks.peers import loader_settings
from benchmarks.processes import summed_speed
from benchmarks.training import with_mps
from training.device import Compute

__all__ = ["stand_ins"]
CPU = Compute("cpu", "fp32", "contiguous")


def trained(recorder: Tape | None) -> list[torch.Tensor]:
    """The weights of a small network after three epochs of two whole batches and a smaller one."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))
    batches = [(torch.randn(count, 3, 8, 8), torch.arange(count) % 3) for count in (6, 6, 4)]
    setting = Setting("none", Path(), 8, 6, 3, CPU)
    assert train_bare(network, batches, batches[1:], setting, recorder) > 0
    return [parameter.detach().clone() for parameter in network.parameters()]


def test_the_ceiling_recorded_is_the_ceiling() -> None:
    tape = Tape()
    assert all(torch.equal(one, other) for one, other in zip(trained(None), trained(tape), strict=True))
    assert tape.recorded == 4 and tape.replayed == 15, "a graph a shape, of training and evaluation"


def test_peers_have_as_many_workers_as_cores_where_a_gpu_computes() -> None:
    assert loader_settings(True, 16) == {"num_workers": 8, "pin_memory": True, "persistent_workers": True}
    assert loader_settings(True, 3)["num_workers"] == 3
    assert loader_settings(False, 16) == {"num_workers": 2, "pin_memory": False}


def test_images_a_second_of_runs_at_once() -> None:
    found = [{"span": [10.0, 14.0], "images": 100}, {"span": [11.0, 15.0], "images": 100}]
    assert summed_speed(found, epochs=3) == 2 * 200 / 5


def test_operations_by_name() -> None:
    found = by_operation("mobilenet_v3_small", 32, 2, CPU, deterministic=True, steps=1)
    assert found["aten::mkldnn_convolution"] > 0 or any("conv" in name for name in found)


def test_why_there_is_no_row_under_mps(stand_ins: StandIns) -> None:
    assert with_mps([], 2) == ([], "there is no nvidia-cuda-mps-control")
    stand_ins.mps()
    stand_ins.cards(mode="Prohibited")
    assert with_mps([], 2) == ([], "its compute mode doesn't allow it")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_short_table_on_a_gpu(shell: Door) -> None:
    """The ceiling recorded as CUDA graphs, peers with their workers, four runs at once; none of it to the end of a
    meaningful measurement."""
    words = ["--models", "resnet18", "--images", "64", "--size", "64", "--batches", "16", "64", "--repeats", "1"]
    rows = ["tuned", "ceiling", "ceiling-free", "ceiling-eager", "ours-plain"]
    result = shell("-m", "benchmarks.training", *words, "--rows", *rows, "--no-lab2")
    assert result.code == 0, result.out + result.err
    for row in ("ours", *rows, "ours x4", "ours x4, MPS"):
        assert len(re.findall(rf"│ {re.escape(row)} +│", result.out)) == 2, row
    assert torch.cuda.get_device_name() in result.out


@pytest.mark.slow
def test_the_whole_table(shell: Door, stand_ins: StandIns, tmp_path: Path) -> None:
    """Every row, two batches, runs at once; with a stand-in for MPS, whose clients compute on the CPU."""
    stand_ins.mps()
    words = ["--data", "digits", "--models", "resnet18", "--images", "40", "--batches", "8", "16", "--epochs", "2"]
    rows = ["tutorial", "tuned", "ceiling", "ceiling-free", "ceiling-eager", "ceiling-kept", "ours-plain"]
    words += ["--repeats", "1", "--at-once", "2", "--rows", *rows]
    result = shell("-m", "benchmarks.training", *words, PATH=os.environ["PATH"])
    assert result.code == 0, result.out + result.err
    assert f"command: python -m benchmarks.training {' '.join(words)}" in result.out
    assert f"torch {torch.__version__}" in result.out and "hardware: " in result.out
    for row in ("ours", *rows, "ours x2", "ours x2, MPS"):
        assert len(re.findall(rf"│ {re.escape(row)} +│", result.out)) == 2, row
    assert "not measured: " not in result.out.replace("lab2_table: not measured: ", "")
    assert result.out.count("Determinism costs the bare network ") == 2
    assert [cards for _, _, cards in stand_ins.daemons()] == [UUIDS[0]] * 2


@pytest.mark.slow
def test_lightning(shell: Door) -> None:
    pytest.importorskip("lightning", reason="needs pip install -e '.[bench]'")
    words = ["--data", "digits", "--models", "resnet18", "--images", "40", "--batches", "8", "--epochs", "2"]
    result = shell("-m", "benchmarks.training", *words, "--repeats", "1", "--rows", "lightning")
    assert result.code == 0 and "│ lightning " in result.out, result.out + result.err


def test_two_epochs_at_least(shell: Door) -> None:
    result = shell("-m", "benchmarks.training", "--epochs", "1")
    assert result.code == 2 and "the first one is left out" in result.err
