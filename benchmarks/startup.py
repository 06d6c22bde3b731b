"""What a run of a sweep takes from its slot to its first step, and what a slot spends between two runs.

python -m benchmarks.startup [--models resnet18 resnet50 swin_v2_t] [--repeats 3]

Runs of one step in one slot, each forked by the local launcher; the first, which decodes the images for all, is left
out. From the beginning of a run's preparation (settings, images, network, weights, optimizer, TensorBoard) to its first
batch in the network; and what torchvision's builder takes, which is done before the run begins where another one ends.
The gap is what a slot spends between two runs: from the record of one (the last file that it writes) to the first batch
of the next, all included. With random weights, and with those of a checkpoint (whose classes are others).
"""

import argparse
import json
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn

from benchmarks.measure import python, show, spread


def timed(num_classes: int, network: str, notes: str) -> nn.Module:
    """The network, which notes how long it took to build and when its first batch came."""
    started = time.perf_counter()
    built: nn.Module = torchvision.models.get_model(network, num_classes=num_classes)
    took = time.perf_counter() - started

    def note(module: nn.Module, given: Any) -> None:
        if given[0].device.type != "meta":  # a sketch of it is checked before the run
            hook.remove()
            content = json.dumps({"construction": took, "at": time.time()})
            Path(notes, f"{time.time_ns()}.json").write_text(content)

    hook = built.register_forward_pre_hook(note)
    return built


def measured(model: str, weights: str, repeats: int) -> list[list[float]]:
    """Seconds of start-up, of construction, and of the gap before it, of each run but the first."""
    with tempfile.TemporaryDirectory() as root:
        notes = Path(root, "notes")
        notes.mkdir()
        own = ["model._target_=benchmarks.startup.timed", f"model.name={model}", f"+model.kwargs.network={model}"]
        words = [*own, f"+model.kwargs.notes={notes}", f"seed=range({repeats + 1})", "hydra.launcher.slots=1"]
        words += ["trainer.epochs=1", "debug.max_steps=1", "data.size=64", "scheduler=none", f"weights={weights}"]
        if weights == "checkpoint":
            torch.save(torchvision.models.get_model(model).state_dict(), Path(root, "start.pth"))
            words.append(f"weights.path={root}/start.pth")
        python("train.py", "-m", *words, f"sweep.root={root}")
        found = [json.loads(file.read_text()) for file in sorted(notes.glob("*.json"))]
        files = sorted(Path(root).glob("*/*/*/record.json"), key=lambda file: file.stat().st_mtime_ns)
        starts = [json.loads(file.read_text())["time"]["started"] for file in files]
        began = [datetime.fromisoformat(text).timestamp() for text in starts]
        gaps = [note["at"] - file.stat().st_mtime for note, file in zip(found[1:], files[:-1], strict=True)]
        pairs = list(zip(found, began, strict=True))[1:]
        ours = [note["at"] - start for note, start in pairs]
        return [ours, [note["construction"] for note, _ in pairs], gaps]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["resnet18", "resnet50", "swin_v2_t"])
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    rows = [
        [model, weights, *map(spread, measured(model, weights, args.repeats))]
        for model in args.models
        for weights in ("none", "checkpoint")
    ]
    show(
        "A run of one step, digits at 64 px",
        ["model", "weights", "to the first step, s", "construction, s", "gap, s"],
        rows,
    )


if __name__ == "__main__":
    main()
