"""How long a trained network takes for an image: from uint8 in memory to class scores in memory, on one device.

Milliseconds an image: the time of a batch, divided by its images. Whatever else the device does at the time counts, the
other runs of a sweep too.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from training.config import RunConfig
from training.console.progress import bar
from training.device import Compute, autocast, layout, resolve_threads
from training.errors import ConfigError
from training.record import Record, write_record
from training.schema.record_parts import Latency, Percentiles

if TYPE_CHECKING:
    from torch import nn

    from training.data.batches import Preprocessing
    from training.engine.prepare import Prepared

BATCHES = (1, 32)  # as training.record.Latency names them
WARM_UP = 3  # calls before the first that counts: memory is found, kernels are chosen
LEAST, MOST, ENOUGH_S = 10, 100, 3.0  # calls that count, and the seconds after which no more than LEAST are made
log = logging.getLogger(__name__)


def measure(answer: Callable[[np.ndarray], object], side: int) -> Latency:
    """Median and 95th percentile in ms an image, alone and in a batch of 32.

    `answer` takes uint8 [B, 3, side, side] and comes back when the scores are there.
    """
    found = []
    with bar("measuring latency", len(BATCHES) * MOST) as advance:
        for batch in BATCHES:
            images = np.random.default_rng(0).integers(0, 256, (batch, 3, side, side), dtype=np.uint8)
            for _ in range(WARM_UP):
                answer(images)
            times: list[float] = []
            while len(times) < MOST and (len(times) < LEAST or sum(times) < ENOUGH_S):
                started = time.perf_counter()
                answer(images)
                times.append(time.perf_counter() - started)
                advance()
            advance(MOST - len(times))
            median, p95 = np.percentile(np.array(times) * 1000 / batch, [50, 95]).tolist()
            found.append(Percentiles(median, p95))
    return Latency(batch_1=found[0], batch_32=found[1])


def lacks_latency(config: RunConfig, record: Record) -> bool:
    """Whether a run is done but for its latency, which it was asked for and which can be measured still."""
    missing = record.status == "done" and record.latency_ms == Latency()
    return config.tracking.latency and missing and record.weights_removed is None


def latency_of(model: "nn.Module", preprocessing: "Preprocessing", side: int, compute: Compute) -> Latency:
    """That of a network that lies on its device, as it was trained: same precision, same layout. Empty, with a warning,
    where it can't be measured, since a result is not to be lost over it."""
    import torch

    from training.data.batches import to_device
    from training.models.build import logits

    model.eval()

    @torch.no_grad()
    def answer(images: np.ndarray) -> object:
        pixels = preprocessing.plain(to_device(torch.from_numpy(images), compute.device))
        with autocast(compute):
            return logits(model(pixels.contiguous(memory_format=layout(compute)))).float().cpu()

    try:
        found = measure(answer, side)
    except (RuntimeError, MemoryError) as error:  # no memory for 32 images, say
        log.warning("the latency can't be measured: %s", error)
        return Latency()
    alone, together = found.batch_1.median, found.batch_32.median
    log.info("latency: %.3f ms an image alone, %.3f ms in a batch of %d", alone, together, BATCHES[-1])
    return found


def add_latency(prepared: "Prepared", record: Record) -> Record:
    """Measure the network of a finished run, from its file, and add that to its record; gives the record."""
    import torch

    from training.models.trained_model import TrainedModel
    from training.targets import trusting

    compute = prepared.compute
    try:
        with trusting([prepared.config.model._target_]):  # which the user has just named
            trained = TrainedModel.load(prepared.folder, compute.device)
    except ConfigError as error:
        log.warning("the latency can't be measured: %s", error)
        return record
    torch.set_num_threads(record.threads or resolve_threads("auto"))
    model = trained.network.to(memory_format=layout(compute))
    record = replace(record, latency_ms=latency_of(model, trained.preprocessing, trained.images.stored, compute))
    write_record(prepared.folder, record)
    return record
