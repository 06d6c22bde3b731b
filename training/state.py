"""The resume state: everything that a killed run needs to go on as if nothing had happened."""

import io
import logging
import pickle
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.record import RESUME, write_whole

log = logging.getLogger(__name__)


@dataclass
class State:
    """How far a run is. Tensors lie on the CPU."""

    epoch: int = 0  # epochs that are over
    best_epoch: int = 0
    best_acc: float = -1.0  # val accuracy in per cent
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    best_logits: Tensor | None = None  # of the val images, at the best epoch
    best_loss: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0  # of all epochs
    threads: int = 0
    code_version: str = ""


def save_state(folder: Path, state: State, parts: dict[str, Any]) -> None:
    """Write `state` and the state dicts of model, optimizer and the rest, whole or not at all. Raises OSError."""
    buffer = io.BytesIO()
    content = {item.name: getattr(state, item.name) for item in fields(state)}
    torch.save({"state": content, "parts": {name: part.state_dict() for name, part in parts.items()}}, buffer)
    write_whole(folder / RESUME, buffer.getbuffer())


def load_state(folder: Path, code_version: str) -> tuple[State, dict[str, Any]] | None:
    """What save_state wrote; None where there is nothing, it can't be read, or other code wrote it."""
    file = folder / RESUME
    if not file.exists():
        return None
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
        state = State(**content["state"])
    except (OSError, RuntimeError, pickle.UnpicklingError, KeyError, TypeError, EOFError) as error:
        log.warning("%s can't be read, so the run starts over: %s", file, error)
        return None
    if state.code_version != code_version:
        log.warning("%s was written by another version of training/, so the run starts over", file)
        return None
    return state, content["parts"]


def copy_weights(model: torch.nn.Module) -> dict[str, Tensor]:
    """The model's tensors, copied to the CPU."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in model.state_dict().items()}
