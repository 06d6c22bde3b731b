"""What the process of a run can do before the run begins, while the one before it ends: its network, and the GPU's
context with the kernels of a step. Nothing of it changes a result: the network is the one that the run would build.
"""

import copy
import json
import logging
from contextlib import suppress
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from training.device import autocast, layout, resolve_threads
from training.engine.hardware.process import set_up_process
from training.engine.prepare import Prepared
from training.models.build import build_model, logits
from training.models.weights import initialize

IMAGES = 2  # of the step that loads a GPU's kernels


@dataclass(frozen=True)
class _Built:
    """A network that waits for its run. `random`: the state of torch's generator after it was built; `told`: what was
    logged meanwhile."""

    key: str
    model: nn.Module
    random: Tensor
    told: list[logging.LogRecord]


_waiting: list[_Built] = []  # one at most


def initial_model(prepared: Prepared) -> nn.Module:
    """The network of a run before its first step, on the CPU; torch's generator is left as its building leaves it."""
    if _waiting and _waiting[0].key == _key(prepared):
        built = _waiting.pop()
        torch.manual_seed(prepared.config.draws)
        torch.set_rng_state(built.random)
        tell(built.told)
        return built.model
    torch.manual_seed(prepared.config.draws)
    model = build_model(prepared.config.model, len(prepared.dataset.classes))
    initialize(model, prepared.config.model, prepared.config.weights, prepared.resolved.weights)
    return model


def get_ready(prepared: Prepared) -> None:
    """Build the network of a run that will begin in this process, and on a GPU take a step with a copy of it."""
    device = prepared.compute.device
    set_up_process(prepared.config.trainer, device, resolve_threads(prepared.config.trainer.threads))
    _waiting.clear()
    with kept_records() as told:
        model = initial_model(prepared)
    _waiting.append(_Built(_key(prepared), model, torch.get_rng_state(), told))
    if device.startswith("cuda"):
        with suppress(Exception):  # the run will say what is wrong
            _load_kernels(prepared, copy.deepcopy(model))
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _load_kernels(prepared: Prepared, model: nn.Module) -> None:
    """A step of a copy: CUDA loads a kernel when it is first used."""
    compute, size = prepared.compute, prepared.config.data.size
    model.to(compute.device).to(memory_format=layout(compute))
    images = torch.zeros(IMAGES, 3, size, size, device=compute.device).contiguous(memory_format=layout(compute))
    with autocast(compute):
        loss = logits(model(images)).float().logsumexp(1).mean()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()


def _key(prepared: Prepared) -> str:
    """What decides the network at its beginning."""
    config = prepared.config
    parts = [asdict(config.model), asdict(config.weights), config.draws, prepared.resolved.weights]
    return json.dumps([*parts, list(prepared.dataset.classes)], sort_keys=True, default=str)


class kept_records:
    """Keep what is logged instead of showing it; yields the list."""

    def __init__(self) -> None:
        self.records: list[logging.LogRecord] = []

    def __enter__(self) -> list[logging.LogRecord]:
        self.root = logging.getLogger()
        self.before = self.root.handlers, self.root.level
        handler = logging.Handler()
        handler.emit = self.records.append  # type: ignore[method-assign, assignment]
        self.root.handlers = [handler]
        self.root.setLevel(logging.INFO)
        return self.records

    def __exit__(self, *error: object) -> None:
        self.root.handlers = self.before[0]
        self.root.setLevel(self.before[1])


def tell(records: list[logging.LogRecord]) -> None:
    """Log what was kept."""
    for record in records:
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)
