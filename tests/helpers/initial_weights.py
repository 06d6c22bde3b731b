"""What a run left of its weights, and a run that changes none of them."""

import json
from pathlib import Path
from typing import Any

import safetensors
import torch
from conftest import QUICK
from torch import Tensor

# A few steps that change nothing, so that what a run leaves are the weights that it began with.
FROZEN = [*QUICK, "optimizer.lr=1e-30", "optimizer.weight_decay=0", "trainer.precision=fp32"]


def logged(folder: Path) -> str:
    return (folder / "run.log").read_text()


def learnt(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without the head, and without what BatchNorm counts even where nothing is learnt."""
    counted = ("running_mean", "running_var", "num_batches_tracked")
    heads = tuple(f"{head}.{kind}" for head in ("head", "fc", "classifier") for kind in ("weight", "bias"))
    return {name: tensor for name, tensor in state.items() if not name.endswith((*counted, *heads))}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.allclose(one[name], other[name], 0, 1e-20) for name in one)


def about(folder: Path) -> dict[str, Any]:
    """What the weights of a run say about themselves."""
    with safetensors.safe_open(folder / "best.safetensors", framework="pt") as file:
        content: dict[str, Any] = json.loads(file.metadata()["finegrid"])
    return content
