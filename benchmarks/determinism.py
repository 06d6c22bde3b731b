"""What determinism costs a training step, by operation.

python -m benchmarks.determinism MODEL SIZE BATCH [--steps 10]

Bare steps on one batch that lies on the device, as trainer.deterministic=true has them and without (cudnn then chooses
its algorithms by trying them), under torch's profiler: milliseconds a step of each operation's own kernels, on a CPU of
its own work, those with the largest difference first. benchmarks.training runs it where determinism costs more than a
tenth.
"""

import argparse
from dataclasses import replace

import torch
import torchvision
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from benchmarks.measure import show
from training.config import TrainerConfig
from training.device import Compute, autocast, layout, resolve_compute
from training.engine.hardware.process import set_up_process

ROWS, WARM_UP = 10, 5


def by_operation(
    model: str, size: int, batch: int, compute: Compute, deterministic: bool, steps: int
) -> dict[str, float]:
    """Ms a step of each operation."""
    set_up_process(replace(TrainerConfig(), deterministic=deterministic), compute.device, torch.get_num_threads())
    network = torchvision.models.get_model(model, num_classes=10).to(compute.device, memory_format=layout(compute))
    images = torch.randn(batch, 3, size, size, device=compute.device).contiguous(memory_format=layout(compute))
    labels = torch.arange(batch, device=compute.device) % 10
    cuda = compute.device.startswith("cuda")

    def step() -> None:
        network.zero_grad()
        with autocast(compute):
            scores = network(images)
        functional.cross_entropy(scores.float(), labels).backward()

    for _ in range(WARM_UP):
        step()
    with profile(activities=[ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * cuda]) as found:
        for _ in range(steps):
            step()
        if cuda:
            torch.cuda.synchronize()
    own = "self_device_time_total" if cuda else "self_cpu_time_total"  # microseconds
    return {event.key: getattr(event, own) / 1000 / steps for event in found.key_averages()}


def determinism(model: str, size: int, batch: int, steps: int) -> None:
    """Print the table."""
    compute = resolve_compute(TrainerConfig(), size)
    first = by_operation(model, size, batch, compute, True, steps)
    second = by_operation(model, size, batch, compute, False, steps)
    differences = {name: first.get(name, 0.0) - second.get(name, 0.0) for name in {*first, *second}}
    names = sorted(differences, key=lambda name: -abs(differences[name]))[:ROWS]
    rows = [[name, f"{first.get(name, 0.0):.3f}", f"{second.get(name, 0.0):.3f}"] for name in names]
    rows.append(["all operations", f"{sum(first.values()):.3f}", f"{sum(second.values()):.3f}"])
    title = f"{model}, {size} px, batch {batch}, {compute.precision} on {compute.device}: ms a step by operation"
    show(title, ["operation", "deterministic", "free"], rows)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("size", type=int)
    parser.add_argument("batch", type=int)
    parser.add_argument("--steps", type=int, default=10)
    args = parser.parse_args()
    determinism(args.model, args.size, args.batch, args.steps)


if __name__ == "__main__":
    main()
