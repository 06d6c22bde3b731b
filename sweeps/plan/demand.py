"""What a run asks of a GPU: its memory, as finished runs of its kind recorded it, or by a rule; and how long it takes.

The rule sends a batch through the network on torch's meta device, which holds no numbers: what autograd would keep for
the backward pass is counted, and the multiplications with torch's own counter.
"""

import glob
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from sweeps.plan.jobs import Job
from sweeps.plan.summary import Pace
from training.config import ModelConfig, as_dict
from training.record import Record, read_record
from training.run_folder import RECORD
from training.schema.settings import model_name

MARGIN = 1.1  # on what was recorded: cudnn may choose other workspaces beside others
RULE_MARGIN = 1.5  # on what the rule says
WORKSPACE_MB = 512.0  # of cudnn and cuBLAS, and what an allocator leaves unused
NUMBERS_A_PARAMETER = 6.5  # weight, gradient, two of Adam's, average, float32 each; a cast one, and room to evaluate
LOOKED_AT = 20  # records of a kind at most, the newest first
MIB = 2**20


@dataclass(frozen=True)
class Demand:
    """What a run asks of a GPU. `kind`: what runs of the same memory have in common. MB are 2**20 bytes, without the
    CUDA context, and have their margin; None: not known. `settled`: the epoch after which its memory grows no more.
    `splits`: where memory is short its steps become smaller ones (trainer.on_oom=accumulate), which changes results."""

    kind: str
    recorded_mb: float | None = None
    rule_mb: float | None = None
    settled: int = 1
    splits: bool = False


@dataclass
class Demands:
    """Of the jobs of a sweep; what is known is looked up once for each kind."""

    pace: Pace = field(default_factory=Pace)
    recorded: dict[str, float | None] = field(default_factory=dict)

    def of(self, job: Job) -> Demand:
        """What this job asks of a GPU."""
        assert job.prepared is not None
        trainer, compute = job.run.trainer, job.prepared.compute
        kind = kind_of(as_dict(job.run), compute.precision)
        if kind not in self.recorded:
            self.recorded[kind] = recorded_mb(kind, _records(job))
        network = network_cost(*_network(job))
        dataset = job.prepared.dataset
        images = len(dataset.names) * 3 * job.run.data.stored**2 / MIB
        rule = None if network is None else rule_mb(network, trainer.batch_size, compute.precision != "fp32", images)
        splits = trainer.on_oom == "accumulate"
        return Demand(kind, self.recorded[kind], rule, trainer.frozen_epochs + 1, splits)

    def longest_first(self, jobs: Sequence[Job]) -> list[Job]:
        """The order in which to begin them, so that no slot idles at the end; equal ones stay in theirs."""
        costs = [self._cost(job) for job in jobs]
        minutes = [self.pace.minutes(job) for job in jobs]
        seconds = seconds_of(costs, [None if one is None else 60 * one for one in minutes])
        order = sorted(range(len(jobs)), key=lambda index: -seconds[index])
        return [jobs[index] for index in order]

    def _cost(self, job: Job) -> float | None:
        """Multiplications of the whole run, backward passes left out."""
        network = network_cost(*_network(job)) if job.prepared is not None else None
        if network is None or job.prepared is None:
            return None
        return network.flops * len(job.prepared.dataset.split["train"]) * job.run.trainer.epochs


def seconds_of(costs: Sequence[float | None], known: Sequence[float | None]) -> list[float]:
    """Of each run its seconds: where they aren't known, by its cost, at the rate of those of which both are; of one of
    which nothing is known the mean of the others."""
    pairs = [(cost, seconds) for cost, seconds in zip(costs, known, strict=True) if cost and seconds]
    rate = statistics.median(seconds / cost for cost, seconds in pairs) if pairs else 1.0
    guessed = [
        seconds if seconds is not None else None if cost is None else cost * rate
        for cost, seconds in zip(costs, known, strict=True)
    ]
    told = [one for one in guessed if one is not None]
    mean = statistics.mean(told) if told else 0.0
    return [mean if one is None else one for one in guessed]


def kind_of(config: Mapping[str, Any], precision: str | None) -> str:
    """What decides the memory of a run on a GPU: network, size, batch, and how it is trained. Of a record's config,
    which may be of another version, or a run's."""
    trainer, data, optimizer = (_part(config, name) for name in ("trainer", "data", "optimizer"))
    settings = [trainer.get(key) for key in ("batch_size", "compile", "capture", "ema", "techniques")]
    model = [_part(config, "model").get(key) for key in ("_target_", "name", "kwargs")]
    kind = [model, data.get("size"), optimizer.get("_target_"), precision, settings, trainer.get("freeze_epochs")]
    return json.dumps(kind, sort_keys=True, default=str)


def recorded_mb(kind: str, records: Sequence[Record]) -> float | None:
    """The most that finished runs of this kind took, with its margin; None where none has told."""
    alike = [
        record.gpu_memory_mb
        for record in records
        if record.gpu_memory_mb and kind_of(record.config or {}, record.resolved.precision) == kind
    ]
    return MARGIN * max(alike) if alike else None


def _records(job: Job) -> list[Record]:
    """The newest records of the job's model, in its sweep and those beside it."""
    sweep, network = job.folder.parents[1], job.run.model
    model = glob.escape(model_name(network._target_, network.name, network.accepts))
    found: list[tuple[float, Path]] = []
    for file in sweep.parent.glob(f"*/{model}-*/seed=*/{RECORD}"):
        try:
            found.append((file.stat().st_mtime, file.parent))
        except OSError:  # removed meanwhile
            continue
    newest = [folder for _, folder in sorted(found, reverse=True)[:LOOKED_AT]]
    return [record for record in map(read_record, newest) if record is not None]


@dataclass(frozen=True)
class NetworkCost:
    """Of an image: `flops` of the forward pass, `kept` bytes of float32 for the backward pass, and `largest` ones of
    one result. `parameters`: of the network, their number."""

    flops: float
    kept: float
    largest: float
    parameters: int


def rule_mb(network: NetworkCost, batch: int, half: bool, images_mb: float) -> float:
    """Memory of a run in MB, with a wide margin, by network and batch. `half`: bf16 or fp16. `images_mb`: of all
    images, which lie on the GPU."""
    width = 0.6 if half else 1.0  # some results stay in float32
    steps = batch * (network.kept + 2 * network.largest) * width
    evaluation = 4 * batch * 3 * network.largest * width
    weights = 4 * NUMBERS_A_PARAMETER * network.parameters
    return RULE_MARGIN * ((weights + max(steps, evaluation)) / MIB + images_mb + WORKSPACE_MB)


def _network(job: Job) -> tuple[str, int, int]:
    assert job.prepared is not None
    return json.dumps(as_dict(job.run)["model"], sort_keys=True), len(job.prepared.dataset.classes), job.run.data.size


@lru_cache(maxsize=64)
def network_cost(model: str, classes: int, size: int) -> NetworkCost | None:
    """`model`: its config as JSON. None for a network that can't work without numbers (one of your own, say)."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from training.models.build import build_model, logits

    batch, kept, results = 2, dict[int, int](), [0]
    try:
        with torch.device("meta"):
            network = build_model(ModelConfig(**json.loads(model)), classes).train()
        own = {id(parameter) for parameter in network.parameters()}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            if id(tensor) not in own:
                kept[id(tensor)] = tensor.numel() * tensor.element_size()
                results.append(kept[id(tensor)])
                alive.append(tensor)  # so that no other gets its id
            return tensor

        alive: list[torch.Tensor] = []
        counter = FlopCounterMode(display=False)
        with counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            logits(network(torch.empty(batch, 3, size, size, device="meta")))
    except Exception:  # whatever it does with numbers that aren't there
        return None
    count = sum(parameter.numel() for parameter in network.parameters())
    return NetworkCost(counter.get_total_flops() / batch, sum(kept.values()) / batch, max(results) / batch, count)


def _part(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = config.get(name)
    return part if isinstance(part, Mapping) else {}
