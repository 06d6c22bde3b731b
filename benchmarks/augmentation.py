"""What augmentation takes of a training epoch: TrivialAugment, random erasing, mixup and cutmix of a whole batch.

python -m benchmarks.augmentation [--model resnet50] [--batch 64] [--size 224] [--repeats 5]

Milliseconds a batch of each (median, least to largest), and its share of an epoch that has it: its time beside that of
a bare step of the network, in the precision that a run would have. By turns, so that a change of the machine's speed
hits all. The bars: TrivialAugment and erasing together at most 5 % on a GPU and 15 % on a CPU, resnet50 at batch 64.
"""

import argparse
import statistics
from collections.abc import Callable

import numpy as np
import torch
import torchvision
from torch.nn import functional

from benchmarks.loop_setting import now
from benchmarks.measure import show, spread
from training.config import TrainerConfig
from training.data.pixels.bulk_augmentation import erase, trivial
from training.device import Compute, autocast, keep_freed_memory, layout, resolve_compute
from training.engine.techniques.mixup import mixed
from training.schema.data_config import AugmentConfig

CLASSES = 10


def timed(work: Callable[[], object]) -> float:
    """Ms of one call."""
    started = now()
    work()
    return 1000 * (now() - started)


def works(model: str, batch: int, size: int, compute: Compute) -> dict[str, Callable[[], object]]:
    """A bare training step, and what augmentation does with a batch, by name."""
    network = torchvision.models.get_model(model, num_classes=CLASSES)
    network.to(compute.device, memory_format=layout(compute))
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    pixels = torch.randint(256, (batch, 3, size, size), dtype=torch.uint8, device=compute.device)
    images = torch.randn(batch, 3, size, size, device=compute.device).contiguous(memory_format=layout(compute))
    labels = torch.arange(batch, device=compute.device) % CLASSES
    draw = np.random.default_rng(0)

    def step() -> None:
        optimizer.zero_grad()
        with autocast(compute):
            scores = network(images)
        functional.cross_entropy(scores.float(), labels).backward()
        optimizer.step()

    def seeds() -> np.ndarray:
        return draw.integers(0, 2**31, batch)

    def mix(config: AugmentConfig) -> None:
        list(mixed([(images, labels)], config, CLASSES, int(seeds()[0]), 1))

    return {
        "step": step,
        "trivial": lambda: trivial(pixels, seeds()),
        "erasing": lambda: erase(images, seeds(), 0.25),
        "mixup": lambda: mix(AugmentConfig(mixup=0.2)),
        "cutmix": lambda: mix(AugmentConfig(cutmix=1.0)),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    compute = resolve_compute(TrainerConfig(), args.size)
    if compute.device == "cpu":
        keep_freed_memory()
    found: dict[str, list[float]] = {}
    todo = works(args.model, args.batch, args.size, compute)
    for repeat in range(args.repeats + 1):
        for name, work in todo.items():
            took = timed(work)
            found[name] = [*found.get(name, []), took] if repeat else []  # the first one warms up
    step = statistics.median(found["step"])
    rows = []
    for name, times in found.items():
        share = statistics.median(times) / (statistics.median(times) + step)
        rows.append([name, spread(times, ".1f"), "" if name == "step" else f"{share:.1%}"])
    both = statistics.median(found["trivial"]) + statistics.median(found["erasing"])
    rows.append(["trivial and erasing", f"{both:.1f}", f"{both / (both + step):.1%}"])
    title = f"{args.model}, batch {args.batch}, {args.size} px, {compute.precision} on {compute.device}"
    show(title, ["", "ms a batch", "share of an epoch"], rows)


if __name__ == "__main__":
    main()
