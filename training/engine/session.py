"""A run in progress: network, optimizer, batches, and how far it has come."""

import csv
import io
import logging
import os
import time
from dataclasses import replace
from typing import Any

import torch

from training.code_version import code_version
from training.config import AUTO
from training.data.batches import Batches, Preprocessing, split_batches
from training.data.image_store import ImageStore
from training.device import keep_freed_memory, layout, resolve_threads
from training.engine.checkpoint import Saver, State, copy_weights, load_state
from training.engine.loop import Trainer, finite, reseed
from training.engine.loss import balanced_weights
from training.engine.lr_range_test import found_rate
from training.engine.metrics import MONITORS, Predictions, monitored
from training.engine.optimizer import Schedule, build_optimizer, learning_rates
from training.engine.prepare import Prepared
from training.engine.techniques.ema import Average
from training.engine.techniques.freeze import freeze
from training.engine.techniques.mixup import mixed
from training.engine.tracking.tensorboard import Tracker
from training.errors import Diverged
from training.models.build import build_model, head_prefix
from training.models.trained_model import metadata, weights_file
from training.models.weights import checkpoint_file, fetch_imagenet, imagenet_weights, load_into, put, read_checkpoint
from training.progress import bar
from training.run_folder import HISTORY, write_whole

log = logging.getLogger(__name__)
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Session:
    """Builds everything a run needs, and takes up a resume state that lies in its folder."""

    def __init__(self, prepared: Prepared, micro_batch: int | None = None) -> None:
        self.prepared, self.config, self.folder = prepared, prepared.config, prepared.folder
        self.opened = time.perf_counter()
        loaded = load_state(self.folder)
        self.state, parts = loaded if loaded else (State(code_version=code_version()), {})
        self.seconds_before = self.state.seconds
        self.state.micro_batch = micro_batch or self.state.micro_batch
        self.state.threads = self.state.threads or resolve_threads(self.config.trainer.threads)
        self._set_torch_up()
        self.model = self._build_model()
        store = ImageStore(prepared.dataset, self.config.data)
        self.preprocessing = self._preprocessing(store)
        self.batches = Batches(prepared.dataset, store, self.preprocessing, prepared.compute)
        self.state.lr = self.state.lr or self._learning_rate()
        self.trainer = self._build_trainer()
        self.parts: dict[str, Any] = {
            "model": self.model,
            "optimizer": self.trainer.optimizer,
            "schedule": self.trainer.schedule,
            "scaler": self.trainer.scaler,
        }
        if self.trainer.average is not None:
            self.parts["average"] = self.trainer.average
        for name, content in parts.items():
            self.parts[name].load_state_dict(content)
        self.saver = Saver(self.folder, self.config.trainer.save_every_s)
        self.tracker = Tracker(self.folder, self.config.tracking, self.model, self.state.epoch + 1)

    def _set_torch_up(self) -> None:
        deterministic = self.config.trainer.deterministic
        torch.set_num_threads(self.state.threads)
        device = self.prepared.compute.device
        if device == "cpu":
            keep_freed_memory()
        if device.startswith("cuda:"):  # streams and graphs belong to the current one
            torch.cuda.set_device(device)
        if deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(deterministic, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # for bugs of torch's
        torch.backends.cudnn.benchmark = not deterministic

    def _build_model(self) -> torch.nn.Module:
        torch.manual_seed(self.config.draws)
        model = build_model(self.config.model, len(self.prepared.dataset.classes))
        weights, head = self.prepared.resolved.weights, head_prefix(model)
        if weights.startswith("checkpoint:"):
            file = checkpoint_file(self.config.weights.path)
            load_into(model, read_checkpoint(file)[0], head, str(file))
        elif weights != "none":
            state = fetch_imagenet(self.config.model.name, weights, model.state_dict(), head)
            load_into(model, state, head, weights)
        model.to(memory_format=layout(self.prepared.compute))
        model.to(self.prepared.compute.device)
        if self.config.trainer.compile:  # its CUDA graphs (reduce-overhead) would take back gradients that we look at
            model.compile()
        return model

    def _preprocessing(self, store: ImageStore) -> Preprocessing:
        normalize, weights = self.prepared.resolved.normalize, self.prepared.resolved.weights
        mean, std = IMAGENET
        if normalize == "none":
            mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
        elif normalize == "checkpoint":
            saved = read_checkpoint(checkpoint_file(self.config.weights.path))[1]["preprocessing"]
            mean, std = saved["mean"], saved["std"]
        elif normalize == "imagenet" and weights.startswith("IMAGENET"):
            preset = imagenet_weights(self.config.model.name, weights).transforms()
            mean, std = preset.mean, preset.std
        elif normalize == "dataset":
            mean, std = store.mean_std(self.prepared.dataset.split["train"])
            std = tuple(max(value, 1e-3) for value in std)  # type: ignore[assignment]
        return Preprocessing(self.config.data.size, tuple(mean), tuple(std))  # type: ignore[arg-type]

    def _learning_rate(self) -> float:
        lr = self.config.optimizer.lr
        if lr != AUTO:
            return float(lr)
        given = self.model, self.batches, self.config, self.prepared.compute, self.folder
        return found_rate(*given, class_weights=self.class_weights, micro_batch=self.state.micro_batch)

    def _build_trainer(self) -> Trainer:
        trainer, compute = self.config.trainer, self.prepared.compute
        optimizer = build_optimizer(self.model, replace(self.config.optimizer, lr=self.state.lr))
        schedule = Schedule(optimizer, self.config.scheduler, trainer.epochs, self.steps_per_epoch)
        kind = compute.device.partition(":")[0]
        scaler = torch.amp.GradScaler(kind, enabled=compute.precision == "fp16")
        average = None if trainer.ema is None else Average(self.model, trainer.ema)
        parts = (self.model, optimizer, schedule, scaler, trainer, compute, self.config.debug.max_steps, average)
        return Trainer(*parts, class_weights=self.class_weights, micro_batch=self.state.micro_batch)

    @property
    def class_weights(self) -> torch.Tensor | None:
        """Of the loss, float32 [classes]."""
        if self.config.trainer.class_weights == "none":
            return None
        dataset = self.prepared.dataset
        weights = balanced_weights(dataset.labels[dataset.split["train"]], len(dataset.classes))
        return torch.from_numpy(weights).to(self.prepared.compute.device)

    @property
    def parameter_count(self) -> int:
        """How many numbers the network learns."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def batch_count(self) -> int:
        """Batches in an epoch."""
        return len(split_batches(self.prepared.dataset.split["train"], self.config.trainer.batch_size))

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in an epoch."""
        steps = -(-self.batch_count // self.config.trainer.accumulate)
        return min(steps, self.config.debug.max_steps or steps)

    def train_one_epoch(self) -> dict[str, float]:
        """Train, validate, select, and save the resume state. Gives the row of history.csv. Raises Diverged."""
        started, state, config = time.perf_counter(), self.state, self.config
        epoch = state.epoch + 1
        self.saver.changing()
        reseed(config.draws, epoch)
        rates = learning_rates(self.trainer.optimizer)
        if config.trainer.freeze_epochs:
            frozen = epoch <= config.trainer.freeze_epochs
            self.trainer.frozen = freeze(self.model, head_prefix(self.model), self.trainer.optimizer, frozen)
        batches = self.batches.train(config.draws, epoch, config.trainer.batch_size, config.augment)
        batches = mixed(batches, config.augment, len(self.prepared.dataset.classes), config.draws, epoch)
        total = min(self.batch_count, self.steps_per_epoch * config.trainer.accumulate)
        with bar(f"epoch {epoch}/{config.trainer.epochs}", total) as advance:
            result = self.trainer.epoch(batches, advance)
        val = self._evaluate("val")
        if not finite(result.loss, val.loss):
            raise Diverged(epoch)
        self.trainer.schedule.after_epoch(val.loss)
        row = {
            "epoch": epoch,
            "lr": max(rates.values()),  # at the epoch's first step
            "train_loss": result.loss,
            "train_acc": result.acc,
            "val_loss": val.loss,
            "val_acc": val.accuracy,
            "grad_norm": result.grad_norm,
            "seconds": result.seconds,
            "images_per_s": result.images / result.seconds,
        }
        monitor = config.trainer.monitor
        found = monitored(val, monitor, self.prepared.dataset.classes)
        row.setdefault(monitor, found)  # a column of its own where it is neither accuracy nor loss
        value = MONITORS[monitor][1] * found
        if value > state.best_value:
            state.improved_epoch = epoch
        if value >= state.best_value:  # the later one on a tie: the longer-trained model
            state.best_epoch, state.best_value, state.best_loss = epoch, value, val.loss
            state.best_weights, state.best_logits = copy_weights(self.trainer.judged), torch.from_numpy(val.logits)
        state.epoch = epoch
        state.history.append(row)
        state.seconds += time.perf_counter() - started
        self._write_history()
        self.tracker.epoch(epoch, _scalars(row, rates))
        self.saver.save(state, self.parts)  # last: what comes before it is written again if this fails
        return row

    @property
    def out_of_patience(self) -> bool:
        """Whether the monitor has not improved for so long that training ends early (Prechelt 1998, "Early stopping -
        but when?"). Epochs in which all but the head is frozen don't count."""
        patience, state = self.config.trainer.patience, self.state
        since = max(state.improved_epoch, self.config.trainer.freeze_epochs)
        return patience is not None and state.epoch - since >= patience

    def _evaluate(self, split: str) -> Predictions:
        size = self.state.micro_batch or self.config.trainer.batch_size
        return self.trainer.evaluate(self.batches.evaluate(split, size))

    def _write_history(self) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self.state.history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.state.history)
        write_whole(self.folder / HISTORY, text.getvalue().encode())

    def final_predictions(self) -> tuple[Predictions, Predictions]:
        """Val and test at the selected epoch. The only place where test images are looked at."""
        state = self.state
        assert state.best_logits is not None
        dataset = self.prepared.dataset
        val = Predictions(dataset.labels[dataset.split["val"]], state.best_logits.numpy(), state.best_loss)
        self.saver.changing()
        put(self.trainer.judged, state.best_weights)
        return val, self._evaluate("test")

    def best_weights_file(self) -> bytes:
        """best.safetensors: the selected weights, with all that a user of them has to know in the metadata."""
        prepared = self.prepared
        about = metadata(self.config, prepared.dataset.classes, self.preprocessing, prepared.identity)
        return weights_file(self.state.best_weights, about)

    def seconds(self) -> float:
        """Time spent on this run: all epochs, of earlier processes too, and whatever else this process did for it."""
        return self.seconds_before + time.perf_counter() - self.opened

    def close(self) -> None:
        """Let go of TensorBoard's file, when the resume state is on the disk. Raises OSError where it can't be."""
        try:
            self.tracker.close()
        finally:
            self.saver.flush()
            self.saver.wait()


def _scalars(row: dict[str, float], rates: dict[str, float]) -> dict[str, float]:
    scalars = {f"{kind}/{split}": row[f"{split}_{kind}"] for split in ("train", "val") for kind in ("loss", "acc")}
    scalars |= {f"lr/{group}": rate for group, rate in rates.items()}
    scalars |= {"speed/images_per_s": row["images_per_s"], "speed/epoch_seconds": row["seconds"]}
    scalars |= {f"{name}/val": row[f"val_{name}"] for name in ("balanced_acc", "macro_f1") if f"val_{name}" in row}
    return scalars | {"gradient_norm": row["grad_norm"]}
