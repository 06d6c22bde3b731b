"""Where initial weights come from, seen from what a run makes of them."""

import argparse
import hashlib
import os
import shutil
import sys
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Door, run_folders
from digit_images import write_digits
from initial_weights import FROZEN, about, learnt, logged, same
from outcome import TINY, only_run, record_of
from own_parts import tiny
from safetensors.torch import load_file, save_file
from torch import Tensor

import train as train_module
from training.models.matching import without_prefix

# ---- files of others


def prefixed(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


EXTRAS = [argparse.Namespace(lr=0.1), np.float64(0.9), np.int64(3), Path("/x"), defaultdict(list, a=[1])]
SAVED: dict[str, Callable[[dict[str, Tensor], Path], None]] = {
    "plain.safetensors": lambda state, file: save_file(state, file),
    "plain.pth": lambda state, file: torch.save(state, file),
    "of_old_torch.pth": lambda state, file: torch.save(state, file, _use_new_zipfile_serialization=False),
    "with_epoch.pt": lambda state, file: torch.save({"epoch": 3, "state_dict": state, "lr": [0.1]}, file),
    "of_torchvision.pth": lambda state, file: torch.save({"model": state, "args": {"lr": 0.1}}, file),
    "parallel.pth": lambda state, file: torch.save(prefixed(state, "module."), file),
    "lightning.ckpt": lambda state, file: torch.save({"state_dict": prefixed(state, "model.")}, file),
    "prefixed.safetensors": lambda state, file: save_file(prefixed(state, "module.backbone."), file),
    "nested.pth.tar": lambda state, file: torch.save({"model": {"state_dict": prefixed(state, "net.")}}, file),
    "average.bin": lambda state, file: torch.save({"state_dict_ema": state, "args": EXTRAS}, file),
    "compiled.pth": lambda state, file: torch.save({"state_dict": prefixed(state, "module._orig_mod.")}, file),
}


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """A network of ours with a head for three classes, which the digits don't have."""
    torch.manual_seed(1)
    return dict(tiny(num_classes=3).state_dict())


@pytest.mark.parametrize("name", SAVED)
def test_a_checkpoint_is_where_training_begins(
    train: Door, tmp_path: Path, state: dict[str, Tensor], name: str
) -> None:
    file = tmp_path / name
    SAVED[name](state, file)
    result = train(TINY, *FROZEN, "weights=checkpoint", f"weights.path={file}")
    assert result.code == 0, result.err
    folder = only_run(tmp_path / "outputs")
    left = load_file(folder / "best.safetensors")
    assert same(learnt(left), learnt(state)) and left["head.weight"].shape[0] == 10
    assert f"{file}: took 8 of 10 tensors, all but head.weight, head.bias, which start fresh" in logged(folder)
    assert f"{file}: left unused: head.bias, head.weight" in logged(folder)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    assert record_of(folder)["resolved"]["weights"] == f"checkpoint:{digest}"
    assert f"-checkpoint-{digest}-" in folder.parent.name


def test_other_parts_of_a_checkpoint_are_left(train: Door, tmp_path: Path, state: dict[str, Tensor]) -> None:
    """MoCo's second encoder and queue, and a network that has names like prefixes itself."""
    both = prefixed(state, "module.encoder_q.") | prefixed(state, "module.encoder_k.") | {"module.queue": torch.ones(2)}
    torch.save({"state_dict": both}, tmp_path / "moco.pth")
    own = torch.nn.Sequential(OrderedDict(model=torch.nn.Linear(2, 2), net=torch.nn.Linear(2, 2))).state_dict()
    assert without_prefix(own, own) is own
    assert train(TINY, *FROZEN, "weights=checkpoint", f"weights.path={tmp_path}/moco.pth").code == 0
    assert "took 8 of 10 tensors" in logged(only_run(tmp_path / "outputs"))
    assert torch.serialization.get_crc32_options()  # what this process saves after a run has its checksums


def nan(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor * float("nan") if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def written(text: bytes) -> Callable[[dict[str, Tensor], Path], object]:
    return lambda state, file: file.write_bytes(text)


def save_without_checksums(state: dict[str, Tensor], file: Path) -> None:
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    torch.save(state, file, pickle_protocol=4)
    torch.serialization.set_crc32_options(before)


REFUSED: dict[str, tuple[str, Callable[[dict[str, Tensor], Path], object]]] = {
    "nan.pth": ("first.weight holds NaN", lambda state, file: torch.save(nan(state), file)),
    "nan.safetensors": ("holds NaN", lambda state, file: save_file(nan(state), file)),
    "int8.pth": ("first.weight is int8", lambda state, file: torch.save({k: v.char() for k, v in state.items()}, file)),
    "names.pth": (
        "the nearest is first_.weight",
        lambda state, file: torch.save({k.replace(".", "_."): v for k, v in state.items()}, file),
    ),
    "keys.pth": (
        "found the keys state_dictt, epoch",
        lambda state, file: torch.save({"state_dictt": state, "epoch": 1}, file),
    ),
    "protocol.pth": (
        "saved with pickle_protocol=4, which can't be read without running it",
        lambda state, file: torch.save(state, file, pickle_protocol=4),
    ),
    "no_checksums.pth": ("pickle_protocol=4", lambda state, file: save_without_checksums(state, file)),
    "old_protocol.pth": (
        "pickle_protocol=5",
        lambda state, file: torch.save(state, file, pickle_protocol=5, _use_new_zipfile_serialization=False),
    ),
    "list.pth": ("found a list", lambda state, file: torch.save([1, 2], file)),
    "code.pth": ("would run code", lambda state, file: torch.save({"state_dict": state, "f": os.system}, file)),
    "lfs.pth": ("a Git LFS pointer", written(b"version https://git-lfs.github.com/spec/v1\n")),
    "lfs.safetensors": ("a Git LFS pointer", written(b"version https://git-lfs.github.com/spec/v1\n")),
    "page.bin": ("an HTML page", written(b"\n<!DOCTYPE html><html></html>")),
    "keras.pt": ("an HDF5 file", written(b"\x89HDF\r\n")),
    "empty.ckpt": ("an empty file", written(b"")),
    "renamed.pth": ("a safetensors file by its content", lambda state, file: save_file(state, file)),
    "renamed.safetensors": ("a file of torch.save", lambda state, file: torch.save(state, file)),
    "x.h5": ("expected a .safetensors, .pth, .pt, .ckpt, .bin or .pth.tar file", written(b"x")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_checkpoint_is_told_by_name(
    train: Door, tmp_path: Path, state: dict[str, Tensor], name: str
) -> None:
    reason, save = REFUSED[name]
    save(state, tmp_path / name)
    result = train(TINY, *FROZEN, "weights=checkpoint", f"weights.path={tmp_path / name}")
    assert result.code == 2 and result.err.count("\n") == 1 and reason in result.err, result
    assert not (tmp_path / "outputs").exists()


def test_without_a_checkpoint_it_begins_elsewhere(train: Door, tmp_path: Path, state: dict[str, Tensor]) -> None:
    assert train(TINY, *FROZEN).code == 0
    folder = only_run(tmp_path / "outputs")
    assert not same(learnt(load_file(folder / "best.safetensors")), learnt(state))
    assert "took" not in logged(folder)


def test_a_head_of_the_same_size_is_taken(train: Door, tmp_path: Path) -> None:
    torch.manual_seed(1)
    own = dict(tiny(num_classes=10).state_dict())
    save_file(own, tmp_path / "ten.safetensors")
    assert train(TINY, *FROZEN, "weights=checkpoint", f"weights.path={tmp_path}/ten.safetensors").code == 0
    folder = only_run(tmp_path / "outputs")
    head = load_file(folder / "best.safetensors")["head.weight"]
    assert same({"head": head}, {"head": own["head.weight"]})
    assert "ten.safetensors: took 10 of 10 tensors\n" in logged(folder) and "unused" not in logged(folder)


def test_the_content_counts_and_not_the_path(train: Door, tmp_path: Path, state: dict[str, Tensor]) -> None:
    outputs = tmp_path / "outputs"

    def runs_after(file: Path) -> int:
        result = train(TINY, *FROZEN, "weights=checkpoint", f"weights.path={file}")
        assert result.code == 0, result.err
        return len(run_folders(outputs))

    first, moved = tmp_path / "first.pth", tmp_path / "some where = else" / "second.pth"
    torch.save(state, first)
    assert runs_after(first) == 1
    moved.parent.mkdir()
    shutil.move(first, moved)
    assert runs_after(moved) == 1
    torch.save(state | {"first.bias": state["first.bias"] + 1}, first)
    assert runs_after(first) == 2


# ---- transfer


@pytest.fixture(scope="module")
def transfer(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Run folders: resnet18 on the digits 0 to 5, then on a few of 6 to 9, from there and from scratch."""
    root = tmp_path_factory.mktemp("transfer")
    many = write_digits(root / "many", range(6), train=100, val=10, test=10)
    few = write_digits(root / "few", range(6, 10), train=8, val=10, test=80)

    def run(name: str, *arguments: str) -> Path:
        always = ["data=folder", "data.size=16", "data.resize=stretch", "tracking=none", "trainer.threads=1"]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["train.py", f"sweep.root={root}/{name}", *always, *arguments])
            patch.setenv("FINEGRID_CACHE", str(root / "cache"))
            patch.setenv("HYDRA_FULL_ERROR", "0")
            assert train_module.main() == 0
        return only_run(root / name)

    source = run("source", f"data.root={many}", "trainer.epochs=2", "trainer.batch_size=32")
    target = [f"data.root={few}", "trainer.epochs=3", "trainer.batch_size=8"]
    return {
        "source": source,
        "scratch": run("scratch", *target),
        "tuned": run("tuned", *target, "weights=checkpoint", f"weights.path={source}"),
    }


@pytest.mark.slow
def test_what_was_learnt_on_some_digits_helps_with_others(transfer: dict[str, Path]) -> None:
    accuracy = {name: record_of(folder)["test"]["acc"] for name, folder in transfer.items()}
    assert accuracy["tuned"] > accuracy["scratch"] + 20, accuracy  # with seeds 0, 1 and 2 it was 39 to 45 more
    configs = [record_of(transfer[name])["config"] for name in ("tuned", "scratch")]
    assert configs[0]["trainer"] == configs[1]["trainer"] and configs[0]["data"] == configs[1]["data"]


def test_a_run_folder_as_a_checkpoint(transfer: dict[str, Path]) -> None:
    assert transfer["source"].name == "seed=0"  # a path that Hydra by itself would not read
    text = logged(transfer["tuned"])
    assert "best.safetensors: took 120 of 122 tensors, all but fc.weight, fc.bias, which start fresh" in text
    assert "left unused: fc.bias, fc.weight" in text
    assert record_of(transfer["tuned"])["resolved"]["normalize"] == "checkpoint"
    mean = {name: about(folder)["preprocessing"]["mean"] for name, folder in transfer.items()}
    assert mean["tuned"] == mean["source"] != mean["scratch"]  # images look to it as they did before
