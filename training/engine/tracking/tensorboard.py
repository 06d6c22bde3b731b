"""What TensorBoard gets to see, in the run's own folder."""

import fnmatch
import logging
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from training.config import RunConfig, TrackingConfig, as_dict
from training.engine.tracking.histograms import histograms
from training.models.build import head_prefix
from training.schema.settings import settings_of

log = logging.getLogger(__name__)


class Tracker:
    """Writes events. `first_epoch` is the one that is about to be trained: later ones of a killed run are hidden."""

    def __init__(self, folder: Path, config: TrackingConfig, model: nn.Module, first_epoch: int) -> None:
        self.config = config
        self.model = model
        self.layers = chosen_layers(model, config.histogram_layers)
        self.writer = SummaryWriter(str(folder), purge_step=first_epoch) if config.tensorboard else None

    def epoch(self, epoch: int, scalars: dict[str, float]) -> None:
        """Scalars of a finished epoch, named like `loss/train`, and where due histograms of weights and gradients."""
        if self.writer is None:
            return
        for name, value in scalars.items():
            self.writer.add_scalar(name, value, epoch)
        every = self.config.histograms_every
        if every and epoch % every == 0:
            self._histograms(epoch)
        self.writer.flush()

    def _histograms(self, epoch: int) -> None:
        assert self.writer is not None
        chosen = {name: parameter for name, parameter in self.model.named_parameters() if name in self.layers}
        tensors: dict[str, torch.Tensor] = {f"weights/{name}": parameter for name, parameter in chosen.items()}
        # a gradient isn't finite where fp16 skipped the last step; it has no histogram then
        tensors |= {f"gradients/{name}": p.grad for name, p in chosen.items() if p.grad is not None}
        for name, histogram in histograms(tensors).items():
            self.writer.add_histogram_raw(
                name,
                min=histogram.least,
                max=histogram.largest,
                num=histogram.count,
                sum=histogram.total,
                sum_squares=histogram.squares,
                bucket_limits=histogram.limits,
                bucket_counts=histogram.counts,
                global_step=epoch,
            )

    def end(self, config: RunConfig, weights: str, val_acc: float, test_acc: float) -> None:
        """The row of the HParams table. (SummaryWriter.add_hparams would open a run of its own for it.)"""
        if self.writer is None or self.writer.file_writer is None:
            return
        settings = settings_of(as_dict(config))  # with the names that folder and table have
        table: dict[str, Any] = {
            "model": settings.model,
            "weights": weights,
            "optimizer": settings.optimizer,
            "lr": config.optimizer.lr,
            "weight_decay": settings.weight_decay,
            "scheduler": settings.scheduler,
            "batch_size": settings.batch_size,
            "epochs": settings.epochs,
            "seed": config.seed,
        }
        for summary in hparams(table, {"final/val_acc": val_acc, "final/test_acc": test_acc}):
            self.writer.file_writer.add_summary(summary)
        self.writer.add_scalar("final/val_acc", val_acc, config.trainer.epochs)
        self.writer.add_scalar("final/test_acc", test_acc, config.trainer.epochs)

    def close(self) -> None:
        """Flush what is left."""
        if self.writer is not None:
            self.writer.close()


def chosen_layers(model: nn.Module, patterns: list[str]) -> set[str]:
    """The names of the parameters that the patterns choose. `first`, `head` and `all` are words, the rest are globs."""
    names = [name for name, _ in model.named_parameters()]
    owner = {name: name.rpartition(".")[0] for name in names}
    chosen: set[str] = set()
    for pattern in patterns:
        if pattern == "all":
            chosen.update(names)
        elif pattern in ("first", "head"):
            layer = owner[names[0]] if pattern == "first" else head_prefix(model)
            chosen.update(name for name in names if owner[name] == layer)
        else:
            matching = fnmatch.filter(names, pattern)
            chosen.update(matching)
            if not matching:
                log.warning("tracking.histogram_layers: %s fits no parameter, such as %s", pattern, names[-1])
    return chosen
