"""torchvision's classifiers and their ImageNet weights."""

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from conftest import QUICK, Door, run_folders
from initial_weights import FROZEN, about, learnt, logged, same
from outcome import only_run, record_of
from safetensors.torch import load_file
from torch import Tensor

from training.engine.prepare import _check_weights


def serve(folder: Path, patch: pytest.MonkeyPatch, entry: Any, state: dict[str, Tensor]) -> Path:
    """The file of torchvision's own `entry` holds `state` and lies in a folder of ours."""
    _check_weights.cache_clear()
    (folder / "server").mkdir()
    torch.save(state, folder / "server/part")
    digest = hashlib.sha256((folder / "server/part").read_bytes()).hexdigest()[:8]
    file = (folder / "server/part").rename(folder / f"server/model-{digest}.pth")
    patch.setattr(entry.value, "url", file.as_uri())
    patch.setenv("TORCH_HOME", str(folder / "torch"))
    return file


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[str, Tensor]]:
    """The file of resnet18's weights, and what is in it."""
    torch.manual_seed(2)
    state = dict(torchvision.models.resnet18().state_dict())
    return serve(tmp_path, monkeypatch, torchvision.models.ResNet18_Weights.IMAGENET1K_V1, state), state


def test_imagenet_weights(train: Door, tmp_path: Path, server: tuple[Path, dict[str, Tensor]]) -> None:
    file, state = server
    result = train(*FROZEN, "weights=default")
    assert result.code == 0 and result.err == "", result
    cached = tmp_path / "torch/hub/checkpoints" / file.name
    assert cached.read_bytes() == file.read_bytes()
    folder = only_run(tmp_path / "outputs")
    assert same(learnt(load_file(folder / "best.safetensors")), learnt(state))
    assert "IMAGENET1K_V1: took 120 of 122 tensors, all but fc.weight, fc.bias, which start fresh" in logged(folder)
    resolved = record_of(folder)["resolved"]
    assert (resolved["weights"], resolved["normalize"]) == ("IMAGENET1K_V1", "imagenet")
    assert folder.parent.name.startswith("resnet18-imagenet1k_v1-")
    assert about(folder)["preprocessing"]["mean"] == [0.485, 0.456, 0.406]

    file.unlink()  # what was downloaded once is not asked for again
    again = train(*FROZEN, "weights=imagenet1k_v1")
    assert again.code == 0 and "finished already" in again.out
    assert len(run_folders(tmp_path / "outputs")) == 1


def test_imagenet_weights_under_older_names(train: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the files of DenseNet, which torchvision's builder translates."""
    torch.manual_seed(2)
    state = dict(torchvision.models.densenet121().state_dict())
    kept = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", name): t for name, t in kept.items()}
    assert len(old.keys() - state.keys()) > 100
    serve(tmp_path, monkeypatch, torchvision.models.DenseNet121_Weights.IMAGENET1K_V1, old)
    result = train(*FROZEN, "model=torchvision", "model.name=densenet121", "weights=default", "data.size=32")
    assert result.code == 0 and result.err == "", result
    folder = only_run(tmp_path / "outputs")
    assert same(learnt(load_file(folder / "best.safetensors")), learnt(state))


def test_a_download_with_another_hash_is_refused(
    train: Door, tmp_path: Path, server: tuple[Path, dict[str, Tensor]]
) -> None:
    server[0].write_bytes(b"not these weights")
    result = train("weights=default")
    assert result.code == 2 and "invalid hash value" in result.err and result.err.count("\n") == 1
    assert not (tmp_path / "outputs").exists() and not list((tmp_path / "torch/hub/checkpoints").iterdir())


@pytest.mark.parametrize("name", ["regnet_x_400mf", "squeezenet1_1"])
def test_any_of_torchvisions_classifiers(train: Door, tmp_path: Path, name: str) -> None:
    result = train("model=torchvision", f"model.name={name}", *QUICK, "data.size=32", "debug.max_steps=1")
    assert result.code == 0, result.err
    assert only_run(tmp_path / "outputs").parent.name.startswith(f"{name}-none-")
