"""One training loop in a process of its own, for benchmarks/training.py: prints what it took as JSON.

python -m benchmarks.loops ROW MODEL FOLDER SIZE BATCH EPOCHS [by-turns]

By turns: it stops itself (SIGSTOP) after every epoch and goes on at SIGCONT, so that another loop can train meanwhile.

ROW: ours (-untracked: without TensorBoard; -all-histograms: of every layer; -fp32: not in bf16; -plain: without
CUDA graphs); tutorial (DataLoader with 2 workers, defaults); tuned (the same with channels_last and bf16 where
the CPU has it); lightning (its Trainer, the same precision); ceiling (the bare network, forwards, backwards and
optimizer steps of training and forwards of evaluation alike, on batches that lie in memory, same precision and
layout; -kept: on a CPU it keeps freed memory, as ours does). All evaluate on val after each epoch, and all but the
ceilings save. FOLDER: class folders below train/, val/ and test/. The first epoch is not counted. On a GPU where
there is one, else on the CPU.
"""

import contextlib
import itertools
import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn
from torch.nn import functional
from torchvision.transforms import v2

from training.config import TrainerConfig
from training.device import autocast, keep_freed_memory, resolve_compute

STARTED = time.perf_counter()
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
SIZE = int(sys.argv[4]) if len(sys.argv) > 4 else None
COMPUTE = resolve_compute(TrainerConfig(), SIZE)  # what suits this machine and images, for all rows but the tutorial's
CUDA = COMPUTE.device.startswith("cuda")
TRACKED: list[float] = []  # seconds that ours spent on TensorBoard after each epoch


def main() -> None:
    """Run the row that the command line names."""
    row, model, folder, size, batch, epochs = sys.argv[1:7]
    CLOCK.by_turns = sys.argv[7:] == ["by-turns"]
    first = ROWS[row](model, Path(folder), int(size), int(batch), int(epochs))
    images = sum(1 for _ in Path(folder, "train").rglob("*.*"))
    seconds = sum(CLOCK.epochs[1:])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    if CUDA:
        peak = torch.cuda.max_memory_reserved() / 1024
    speed = images * (len(CLOCK.epochs) - 1) / seconds
    found = {"images_per_s": speed, "seconds": seconds, "first_s": first - STARTED, "mb": peak / 1024}
    print(json.dumps(found | {"tracked": sum(TRACKED[1:]) / seconds}))


class Clock:
    """The seconds of each epoch, without those in which another loop had its turn."""

    def __init__(self) -> None:
        self.by_turns = False
        self.epochs: list[float] = []
        self.began = time.perf_counter()
        self.stopped = 0.0

    def epoch(self) -> None:
        """An epoch is over."""
        ended = now()
        self.epochs.append(ended - self.began)
        if self.by_turns:
            os.kill(os.getpid(), signal.SIGSTOP)
        self.began = time.perf_counter()
        self.stopped += self.began - ended

    def monotonic(self) -> float:
        """time.monotonic() of a process that was never stopped: ours saves by it."""
        return time.monotonic() - self.stopped


CLOCK = Clock()


def ours(model: str, folder: Path, size: int, batch: int, epochs: int, *more: str) -> float:
    """A run of finegrid, with its defaults and what `more` overrides."""
    from hydra import compose, initialize_config_dir

    from sweeps.hydra_glue.compose import run_config, set_hydra_defaults
    from training.engine import checkpoint as state
    from training.engine import loop
    from training.engine.prepare import prepare
    from training.engine.run import run
    from training.engine.tracking.tensorboard import Tracker

    set_hydra_defaults()
    state.time = CLOCK  # type: ignore[assignment]
    steps: list[float] = []
    before = loop.Trainer._step

    def step(self: Any) -> Any:  # the end of the first one; costs a microsecond
        result = before(self)
        if not steps:
            steps.append(now())
        return result

    def track(*given: Any) -> None:
        started = time.perf_counter()
        tracked(*given)
        TRACKED.append(time.perf_counter() - started)

    tracked = Tracker.epoch
    loop.Trainer._step, Tracker.epoch = step, track  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as root:
        overrides = [f"model={model}", "data=folder", f"data.root={folder}", f"data.size={size}"]
        overrides += [f"trainer.batch_size={batch}", f"trainer.epochs={epochs}", f"sweep.root={root}", "augment=flip"]
        overrides += more
        with initialize_config_dir(str(Path(__file__).parents[1] / "conf")):
            config = compose("config", overrides)
        run(prepare(run_config(config)), lambda _: CLOCK.epoch())
    return steps[0]


def now() -> float:
    """When all that was asked of the device is done."""
    if CUDA:
        torch.cuda.synchronize()
    return time.perf_counter()


def precision(row: str) -> tuple[Callable[[], Any], bool]:
    """The autocast of a row, and whether it uses channels_last."""
    if row == "tutorial":
        return contextlib.nullcontext, False
    return lambda: autocast(COMPUTE), True


def loaders(folder: Path, size: int, batch: int) -> tuple[Any, Any]:
    """Train and val as the tutorials load them."""
    steps: list[Any] = [
        v2.ToImage(),
        v2.Resize((size, size)),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(MEAN, STD),
    ]
    train = torchvision.datasets.ImageFolder(folder / "train", v2.Compose([v2.RandomHorizontalFlip(), *steps]))
    val = torchvision.datasets.ImageFolder(folder / "val", v2.Compose(steps))
    of = torch.utils.data.DataLoader
    return of(train, batch, shuffle=True, num_workers=2, pin_memory=CUDA), of(
        val, batch, num_workers=2, pin_memory=CUDA
    )


def plain(row: str, model: str, folder: Path, size: int, batch: int, epochs: int) -> float:
    """A loop as people write it."""
    train, val = loaders(folder, size, batch)
    network = torchvision.models.get_model(model, num_classes=len(train.dataset.classes))
    return train_by_hand(row, network, train, val, epochs, save=True)


def ceiling(row: str, model: str, folder: Path, size: int, batch: int, epochs: int) -> float:
    """The network alone: every batch is there already."""
    if row == "ceiling-kept" and not CUDA:
        keep_freed_memory()
    train, val = loaders(folder, size, batch)
    layout = torch.channels_last if precision(row)[1] else torch.contiguous_format
    ready = [
        [(x.contiguous(memory_format=layout).to(COMPUTE.device), y.to(COMPUTE.device)) for x, y in loader]
        for loader in (train, val)
    ]
    network = torchvision.models.get_model(model, num_classes=len(train.dataset.classes))
    return train_by_hand(row, network, ready[0], ready[1], epochs, save=False)


def train_by_hand(
    row: str, network: nn.Module, train: Iterable[Any], val: Iterable[Any], epochs: int, save: bool
) -> float:
    """Train and evaluate; `save`: a checkpoint after each epoch. Gives the end of the first step."""
    cast, channels_last = precision(row)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network.to(COMPUTE.device, memory_format=layout)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=not save)

    def there(images: Any, labels: Any) -> Any:
        images = images.to(COMPUTE.device, non_blocking=True).contiguous(memory_format=layout)
        return images, labels.to(COMPUTE.device, non_blocking=True)

    first = 0.0
    with tempfile.TemporaryDirectory() as root:
        for _ in range(epochs):
            network.train()
            for images, labels in itertools.starmap(there, train):
                optimizer.zero_grad()
                with cast():
                    loss = functional.cross_entropy(network(images), labels)
                loss.backward()
                optimizer.step()
                first = first or now()
            network.eval()
            with torch.no_grad(), cast():
                for images, labels in itertools.starmap(there, val):
                    (network(images).argmax(1) == labels).sum()
            if save:
                torch.save({"model": network.state_dict(), "optimizer": optimizer.state_dict()}, Path(root) / "last.pt")
            CLOCK.epoch()
    return first


def lightning(model: str, folder: Path, size: int, batch: int, epochs: int) -> float:
    """Lightning's Trainer, which evaluates and saves by itself."""
    import lightning as L

    train, val = loaders(folder, size, batch)
    steps: list[float] = []

    class Module(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = torchvision.models.get_model(model, num_classes=len(train.dataset.classes))
            self.network.to(memory_format=torch.channels_last)

        def training_step(self, given: Any, _: int) -> Any:
            return functional.cross_entropy(
                self.network(given[0].contiguous(memory_format=torch.channels_last)), given[1]
            )

        def validation_step(self, given: Any, _: int) -> None:
            images = given[0].contiguous(memory_format=torch.channels_last)
            self.log("val_acc", (self.network(images).argmax(1) == given[1]).float().mean())

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW(self.parameters(), lr=1e-3)

        def on_train_batch_end(self, *_: Any) -> None:
            steps.append(now() if not steps else 0.0)

        def on_train_epoch_end(self) -> None:
            CLOCK.epoch()

    with tempfile.TemporaryDirectory() as root:
        kind: Any = {"bf16": "bf16-mixed", "fp16": "16-mixed", "fp32": "32-true"}[COMPUTE.precision]
        common: dict[str, Any] = {
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "num_sanity_val_steps": 0,
        }
        L.Trainer(
            max_epochs=epochs,
            precision=kind,
            accelerator="cuda" if CUDA else "cpu",
            devices=1,
            default_root_dir=root,
            **common,
        ).fit(Module(), train, val)
    return steps[0]


ROWS: dict[str, Callable[..., float]] = {
    "ours": ours,
    "ours-untracked": lambda *given: ours(*given, "tracking=none"),
    "ours-all-histograms": lambda *given: ours(*given, "tracking.histogram_layers=[all]"),
    "ours-fp32": lambda *given: ours(*given, "trainer.precision=fp32", "trainer.memory_format=contiguous"),
    "ours-plain": lambda *given: ours(*given, "trainer.capture=false"),
    "tutorial": lambda *given: plain("tutorial", *given),
    "tuned": lambda *given: plain("tuned", *given),
    "lightning": lightning,
    "ceiling": lambda *given: ceiling("ceiling", *given),
    "ceiling-kept": lambda *given: ceiling("ceiling-kept", *given),
}

if __name__ == "__main__":
    main()
