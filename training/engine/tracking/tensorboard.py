"""What TensorBoard gets to see, in the run's own folder."""

import fnmatch
import logging
import math
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn
from torch.optim import Optimizer
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from training.config import RunConfig, TrackingConfig, as_dict
from training.engine.tracking.histograms import histograms
from training.models.build import head_prefix
from training.schema.settings import settings_of

RATE = "learning_rate/"  # by optimizer step; the other curves are by epoch
RATES_AN_EPOCH = 50  # points
ALL_WEIGHTS = ("decay", "no_decay", "all")  # names of parameter groups that share one learning rate
OVERRIDES = ".hydra/overrides.yaml"  # what was asked for, as Hydra leaves it in the run's folder
log = logging.getLogger(__name__)


class Tracker:
    """Writes events. `first_epoch` is the one that is about to be trained: later ones of a killed run are hidden."""

    def __init__(self, folder: Path, config: TrackingConfig, model: nn.Module, first_epoch: int) -> None:
        self.config = config
        self.model = model
        self.folder, self.first_epoch = folder, first_epoch
        self.layers = chosen_layers(model, config.histogram_layers)
        # before the writer says that what is later than `first_epoch` is to be forgotten: steps are counted otherwise
        self.rates = earlier_rates(folder) if config.tensorboard and first_epoch > 1 else []
        self.writer = SummaryWriter(str(folder), purge_step=first_epoch) if config.tensorboard else None

    def watch(self, optimizer: Optimizer, steps_an_epoch: int) -> None:
        """Show the learning rates of `optimizer` about RATES_AN_EPOCH times an epoch, by the number of steps before."""
        if self.writer is None:
            return
        writer, every = self.writer, max(1, math.ceil(steps_an_epoch / RATES_AN_EPOCH))
        done = (self.first_epoch - 1) * steps_an_epoch
        for tag, step, value in self.rates:
            if self.first_epoch <= step < done:  # what was hidden
                writer.add_scalar(tag, value, step)

        def show(optimizer: Optimizer, *_: Any) -> None:
            nonlocal done
            if done % steps_an_epoch % every == 0:
                for tag, rate in rates_of(optimizer).items():
                    writer.add_scalar(tag, rate, done)
            done += 1

        optimizer.register_step_pre_hook(show)

    def epoch(self, epoch: int, scalars: dict[str, float]) -> None:
        """Scalars of a finished epoch, named like `loss/train`, and where due histograms of weights and
        gradients. (Learning rates are left to `watch`.)"""
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
        } | asked_for(self.folder, as_dict(config))
        for summary in hparams(table, {"final/val_acc": val_acc, "final/test_acc": test_acc}):
            self.writer.file_writer.add_summary(summary)
        self.writer.add_scalar("final/val_acc", val_acc, config.trainer.epochs)
        self.writer.add_scalar("final/test_acc", test_acc, config.trainer.epochs)

    def close(self) -> None:
        """Flush what is left."""
        if self.writer is not None:
            self.writer.close()


def rates_of(optimizer: Optimizer) -> dict[str, float]:
    """The learning rates of the next step, by their tags."""
    named = {str(group.get("name", "all")): float(group["lr"]) for group in optimizer.param_groups}
    return {RATE + ("all_weights" if name in ALL_WEIGHTS else name): rate for name, rate in named.items()}


def earlier_rates(folder: Path) -> list[tuple[str, int, float]]:
    """Tag, step and value of the learning rates that earlier processes of a run have shown."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logging.getLogger("tensorboard").setLevel(logging.WARNING)  # it tells of every file
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "histograms": 1, "tensors": 0})
    try:
        tags = [tag for tag in events.Reload().Tags()["scalars"] if tag.startswith(RATE)]
    except Exception:  # a file cut off, of whatever kind: the curve begins where the run goes on
        return []
    return [(tag, point.step, point.value) for tag in tags for point in events.Scalars(tag)]


def asked_for(folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    """What was asked for on the command line or by a search, every swept key among it, with the value that it has in
    `config`; a choice of a group (augment: standard) by its name."""
    try:
        lines = yaml.safe_load((folder / OVERRIDES).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    found: dict[str, Any] = {}
    for line in lines if isinstance(lines, list) else []:
        key, equals, choice = str(line).lstrip("+").partition("=")
        section, _, _ = key.partition(".")
        if not equals or section in ("hydra", "sweep", "tracking") or key in SAID:
            continue
        value: Any = config
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        plain = isinstance(value, bool | int | float | str)
        found[key] = value if plain else choice if value is None or "." not in key else str(value)
    return found


# Keys that the table has under the names that users see
SAID = {"model", "weights", "optimizer", "scheduler", "seed", "optimizer.lr", "optimizer.weight_decay"}
SAID |= {"trainer.batch_size", "trainer.epochs", "model._target_", "model.name"}


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
