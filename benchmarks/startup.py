"""What a run of a sweep costs besides its training and the construction of its network.

python -m benchmarks.startup [--models resnet18 resnet50 swin_v2_t] [--repeats 3]

Runs of one step in one slot, each forked by the local launcher. `besides`: from the beginning of a run's preparation to
its record, less the step itself; it holds all that a run does before its first step (settings, images, weights,
optimizer, TensorBoard) and also evaluation, saving and predictions after it. `construction`: torchvision's builder
alone, in a process that has built one network before.
"""

import argparse
import json
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import torchvision

from benchmarks.measure import python, show, spread


def construction(model: str, repeats: int) -> list[float]:
    """Seconds to build it."""
    found = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        torchvision.models.get_model(model, num_classes=10)
        found.append(time.perf_counter() - started)
    return found[1:]


def besides(model: str, repeats: int) -> list[float]:
    """Seconds of each run but the first, which decodes the images for all."""
    with tempfile.TemporaryDirectory() as root:
        words = [f"model={model}", f"seed=range({repeats + 1})", "trainer.epochs=1", "debug.max_steps=1"]
        python("train.py", "-m", *words, "data.size=64", "scheduler=none", f"sweep.root={root}")
        files = Path(root).glob("*/*/seed=*/record.json")
        times = [json.loads(file.read_text())["time"] for file in files if file.parent.name != "seed=0"]
        return [whole(one) - sum(one["epoch_seconds"]) for one in times]


def whole(times: dict[str, Any]) -> float:
    """Seconds from the beginning of a run's preparation to its record."""
    return (datetime.fromisoformat(times["finished"]) - datetime.fromisoformat(times["started"])).total_seconds()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["resnet18", "resnet50", "swin_v2_t"])
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    rows = []
    for model in args.models:
        rows.append([model, spread(besides(model, args.repeats)), spread(construction(model, args.repeats))])
    show("A run of one step, digits at 64 px", ["model", "besides, s", "construction, s"], rows)


if __name__ == "__main__":
    main()
