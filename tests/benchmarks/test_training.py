"""benchmarks.training and its loops with few images on a CPU, so that a mistake doesn't wait for a GPU. (What they
measure there only a GPU shows.)"""

import json
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
from benchmarks.photographs import subset
from benchmarks.processes import summed_speed
from benchmarks.training import digits, with_mps
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
    for row in ("ours", *rows, "ours-x4", "ours-x4-mps"):
        assert result.out.count(f"│ {row} ") == 2, row
    assert torch.cuda.get_device_name() in result.out


FEW = ["--data", "digits", "--models", "resnet18", "--images", "40", "--epochs", "2", "--repeats", "1"]


@pytest.mark.slow
def test_a_table_for_each_batch(shell: Door) -> None:
    words = [*FEW, "--batches", "8", "16", "--rows", "ceiling", "ceiling-free"]
    result = shell("-m", "benchmarks.training", *words)
    assert result.code == 0, result.out + result.err
    assert f"command: python -m benchmarks.training {' '.join(words)}" in result.out
    assert f"torch {torch.__version__}" in result.out and "hardware: " in result.out
    for row in ("ours", "ceiling", "ceiling-free"):
        assert result.out.count(f"│ {row} ") == 2, row
    assert result.out.count("Determinism costs the bare network ") == 2


@pytest.mark.slow
def test_runs_at_once_and_under_mps(shell: Door, stand_ins: StandIns) -> None:
    """(With a stand-in for MPS, whose clients compute on the CPU.)"""
    stand_ins.mps()
    result = shell("-m", "benchmarks.training", *FEW, "--batches", "8", "--at-once", "2", "--rows", "tutorial")
    assert result.code == 0, result.out + result.err
    for row in ("ours", "tutorial", "ours-x2", "ours-x2-mps"):
        assert result.out.count(f"│ {row} ") == 1, row
    assert "not measured: " not in result.out.replace("lab2_table: not measured: ", "")
    assert [cards for _, _, cards in stand_ins.daemons()] == [UUIDS[0]]


@pytest.mark.slow
@pytest.mark.parametrize("row", ["tuned", "ceiling-eager", "ceiling-kept", "ours-plain", "ours-all-histograms"])
def test_each_other_row(shell: Door, tmp_path: Path, row: str) -> None:
    subset(digits(tmp_path / "all"), tmp_path / "some", 40, 13, 13)
    result = shell("-m", "benchmarks.loops", row, "resnet18", str(tmp_path / "some"), "32", "8", "2")
    assert result.code == 0, result.out + result.err
    found = json.loads(result.out.splitlines()[-1])
    assert found["images"] == 40 and found["images_per_s"] > 0 and found["first_s"] > 0


@pytest.mark.slow
def test_lightning(shell: Door) -> None:
    pytest.importorskip("lightning", reason="needs pip install -e '.[bench]'")
    result = shell("-m", "benchmarks.training", *FEW, "--batches", "8", "--rows", "lightning")
    assert result.code == 0 and "│ lightning " in result.out, result.out + result.err


def test_two_epochs_at_least(shell: Door) -> None:
    result = shell("-m", "benchmarks.training", "--epochs", "1")
    assert result.code == 2 and "the first one is left out" in result.err
