"""What precision and layout are worth on a CPU: images/s of bare training steps by size of images.

python -m benchmarks.precision [--models resnet18 mobilenet_v2] [--sizes 32 64 160 224] [--repeats 5]

What trainer.precision=auto and trainer.memory_format=auto go by (training/device.py). fp32 and bf16, contiguous and
channels_last by turns, so that a change of the machine's speed hits all; each round half a second a setting, the first
one doesn't count. Medians (least to largest). Half a minute a model and size.
"""

import argparse
import itertools
import time
from collections.abc import Callable

import torch
import torchvision
from torch.nn import functional

from benchmarks.measure import show, spread
from training.device import Compute, autocast, keep_freed_memory, layout

WAYS = [Compute("cpu", *way) for way in itertools.product(("fp32", "bf16"), ("contiguous", "channels_last"))]
ROUND_S = 0.5


def step_of(model: str, size: int, batch: int, compute: Compute) -> Callable[[], None]:
    """One training step of a network from scratch on images of noise."""
    network = torchvision.models.get_model(model, num_classes=10).to(memory_format=layout(compute))
    images = torch.randn(batch, 3, size, size).contiguous(memory_format=layout(compute))
    labels = torch.arange(batch) % 10
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)

    def step() -> None:
        with autocast(compute):
            scores = network(images)
        functional.cross_entropy(scores.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def rate(step: Callable[[], None], batch: int) -> float:
    """Images/s over half a second, at least one step."""
    started, steps = time.perf_counter(), 0
    while not steps or time.perf_counter() - started < ROUND_S:
        step()
        steps += 1
    return steps * batch / (time.perf_counter() - started)


def main() -> None:
    """A row a model and size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["resnet18", "resnet50", "mobilenet_v2", "efficientnet_b0"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[32, 64, 96, 160, 224])
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    keep_freed_memory()
    rows = []
    for model, size in itertools.product(args.models, args.sizes):
        batch = max(16, min(64, 64 * 64 // size))
        steps = [step_of(model, size, batch, way) for way in WAYS]
        rounds = [[rate(step, batch) for step in steps] for _ in range(args.repeats + 1)][1:]
        row = [spread(list(column), ".1f") for column in zip(*rounds, strict=True)]
        rows.append([model, str(size), str(batch), *row])
    names = [f"{way.precision} {way.memory_format}" for way in WAYS]
    title = f"Images/s of bare steps, median (least to largest), {torch.get_num_threads()} threads"
    show(title, ["model", "px", "batch", *names], rows)


if __name__ == "__main__":
    main()
