"""Training loops as people write them, for benchmarks/loops.py: the tutorials', the same with what one tunes, and
Lightning's. All save a checkpoint and evaluate after every epoch."""

import contextlib
import itertools
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn
from torch.nn import functional
from torchvision.transforms import v2

from benchmarks.loop_setting import CLOCK, Setting, now
from training.device import autocast

MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
MOST_WORKERS = 8


def loader_settings(cuda: bool, cores: int) -> dict[str, Any]:
    """Of a DataLoader. With a GPU as many workers as cores, at most 8, which stay from epoch to epoch, and pinned
    memory. On a CPU, whose cores they would take from the network, two, as tutorials have it."""
    if not cuda:
        return {"num_workers": 2, "pin_memory": False}
    return {"num_workers": min(MOST_WORKERS, cores), "pin_memory": True, "persistent_workers": True}


def loaders(setting: Setting) -> tuple[Any, Any]:
    """Train and val as the tutorials load them."""
    steps: list[Any] = [
        v2.ToImage(),
        v2.Resize((setting.size, setting.size)),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(MEAN, STD),
    ]
    folder, of = setting.folder, torch.utils.data.DataLoader
    train = torchvision.datasets.ImageFolder(folder / "train", v2.Compose([v2.RandomHorizontalFlip(), *steps]))
    val = torchvision.datasets.ImageFolder(folder / "val", v2.Compose(steps))
    how = loader_settings(setting.cuda, len(os.sched_getaffinity(0)))
    return of(train, setting.batch, shuffle=True, **how), of(val, setting.batch, **how)


def by_hand(setting: Setting, tuned: bool) -> float:
    """A loop as people write it; gives the end of the first step. `tuned`: channels_last, and the precision that suits
    the machine."""
    train, val = loaders(setting)
    cast: Callable[[], Any] = (lambda: autocast(setting.compute)) if tuned else contextlib.nullcontext
    layout = setting.layout if tuned else torch.contiguous_format
    device = setting.compute.device
    network: nn.Module = torchvision.models.get_model(setting.model, num_classes=len(train.dataset.classes))
    network.to(device, memory_format=layout)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)

    def there(images: Any, labels: Any) -> Any:
        images = images.to(device, non_blocking=True).contiguous(memory_format=layout)
        return images, labels.to(device, non_blocking=True)

    first = 0.0
    with tempfile.TemporaryDirectory() as root:
        for _ in range(setting.epochs):
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
            torch.save({"model": network.state_dict(), "optimizer": optimizer.state_dict()}, Path(root) / "last.pt")
            CLOCK.epoch()
    return first


def lightning(setting: Setting) -> float:
    """Lightning's Trainer, which evaluates and saves by itself."""
    import lightning as L

    train, val = loaders(setting)
    steps: list[float] = []

    class Module(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = torchvision.models.get_model(setting.model, num_classes=len(train.dataset.classes))
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
        kind: Any = {"bf16": "bf16-mixed", "fp16": "16-mixed", "fp32": "32-true"}[setting.compute.precision]
        common: dict[str, Any] = {
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "num_sanity_val_steps": 0,
        }
        L.Trainer(
            max_epochs=setting.epochs,
            precision=kind,
            accelerator="cuda" if setting.cuda else "cpu",
            devices=1,
            default_root_dir=root,
            **common,
        ).fit(Module(), train, val)
    return steps[0]
