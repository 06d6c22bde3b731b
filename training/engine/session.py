"""A run in progress: network, optimizer, batches, and how far it has come."""

import logging
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch

from training.console.progress import bar
from training.data.batches import Batches, split_batches
from training.data.image_store import ImageStore
from training.data.pixels.preprocessing import Preprocessing
from training.data.resident import Slice
from training.device import layout, resolve_threads
from training.engine.ahead import initial_model
from training.engine.checkpoint import Saver, State, copy_weights, load_state
from training.engine.hardware.graphs import CudaRecorder
from training.engine.hardware.process import set_up_process
from training.engine.loop import EpochResult, Trainer, changed_by, finite, reseed
from training.engine.loss import build_loss, class_weights
from training.engine.lr_range_test import suggested_rate
from training.engine.optimizer import base_rate, build_optimizer
from training.engine.predictions import Predictions, measure, monitored, signed
from training.engine.prepare import Prepared
from training.engine.schedule import Schedule
from training.engine.step import why_not_captured
from training.engine.techniques import Batch, EpochContext, Technique, active_techniques, beginning_of, open_techniques
from training.engine.tracking.elsewhere import Elsewhere
from training.engine.tracking.history import scalars, write_history
from training.engine.tracking.tensorboard import Tracker
from training.errors import Diverged
from training.metrics import all_metrics, own_metrics
from training.models.matching import put
from training.models.trained_model import metadata, weights_file
from training.models.weights import trained_mean_std
from training.provenance.code_version import code_version
from training.schema.checks import AUTO

log = logging.getLogger(__name__)


def open_session(prepared: Prepared, micro_batch: int | None = None, plain: str = "") -> "Session":
    """The session of a run in this process, whose torch it sets up: a new one, or one that goes on from the resume
    state in the run's folder. `micro_batch`: images at once, at most, instead of what that state says. `plain`: why no
    step is to be recorded as a CUDA graph, where there is a reason."""
    state, saved = load_state(prepared.folder) or (State(code_version=code_version()), {})
    trainer = prepared.config.trainer
    state.micro_batch = micro_batch or state.micro_batch
    state.threads = state.threads or resolve_threads(trainer.threads)
    set_up_process(trainer, prepared.compute.device, state.threads)
    return Session(prepared, state, saved, plain)


class Session:
    """Everything that a run needs, built from its config, and how far it has come. `saved`: the state dicts of its
    parts from an earlier process, by name. `plain`: why no step is to be a CUDA graph; empty where none forbids it."""

    def __init__(self, prepared: Prepared, state: State, saved: dict[str, Any], plain: str = "") -> None:
        self.prepared, self.config, self.folder, self.state = prepared, prepared.config, prepared.folder, state
        self.opened, self.seconds_before = time.perf_counter(), state.seconds
        self.model = self._build_model()
        self.store = ImageStore(prepared.dataset, self.config.data)
        self.preprocessing = self._preprocessing(self.store)
        self.batches = Batches(prepared.dataset, self.store, self.preprocessing, prepared.compute)
        weights = class_weights(self.config.trainer, prepared.dataset, prepared.compute.device)
        self.loss = build_loss(self.config.loss, self.config.trainer, weights, prepared.compute.device)
        self.techniques = active_techniques(self.config)
        size = state.micro_batch or self.config.trainer.batch_size
        beginning = beginning_of(self.batches, self.config, prepared.compute, size)
        open_techniques(self.techniques, self.model, beginning, new=not state.epoch)
        state.lr = state.lr or self._learning_rate()
        if state.micro_batch:
            plain = plain or "batches are in pieces"
        self.not_captured = why_not_captured(prepared.compute, self.config.trainer, self.techniques, plain)
        self.trainer = self._build_trainer()
        self.parts = self._parts()
        for name, content in saved.items():
            self.parts[name].load_state_dict(content)
        keeps_trained = self.trainer.eval_model is self.model
        self.saver = Saver(self.folder, self.config.trainer.save_every_s, keeps_trained)
        self.tracker = Tracker(self.folder, self.config.tracking, self.model, state.epoch + 1)
        self.tracker.watch(self.trainer.optimizer, self.steps_per_epoch)
        self.elsewhere = Elsewhere(self.folder, self.config, prepared.subfolder, prepared.identity, state.epoch + 1)
        self.elsewhere.watch(self.trainer.optimizer, self.steps_per_epoch)

    def _parts(self) -> dict[str, Any]:
        """What has a state that a resumed run needs, by its name in the resume state."""
        trainer = self.trainer
        parts = {"model": self.model, "optimizer": trainer.optimizer, "schedule": trainer.schedule}
        parts |= {"scaler": trainer.scaler}
        return parts | {
            name: technique
            for name, technique in self.techniques.items()
            if type(technique).state_dict is not Technique.state_dict
        }

    def _build_model(self) -> torch.nn.Module:
        model = initial_model(self.prepared)
        model.to(memory_format=layout(self.prepared.compute))
        model.to(self.prepared.compute.device)
        if self.config.trainer.compile:  # its CUDA graphs (reduce-overhead) would take back gradients that we look at
            model.compile()
        return model

    def _preprocessing(self, store: ImageStore) -> Preprocessing:
        resolved, size = self.prepared.resolved, self.config.data.eval_size
        if resolved.normalize == "none":
            return Preprocessing(size, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        trained = trained_mean_std(resolved.normalize, self.config.model, self.config.weights, resolved.weights)
        if trained is not None:
            return Preprocessing(size, *trained)
        mean, std = store.mean_std(self.prepared.dataset.split["train"])
        red, green, blue = (max(value, 1e-3) for value in std)
        return Preprocessing(size, mean, (red, green, blue))

    def _learning_rate(self) -> float:
        lr = self.config.optimizer.lr
        if lr != AUTO:
            return float(lr)
        return suggested_rate(
            self.model,
            self.batches,
            self.config,
            self.prepared.compute,
            self.folder,
            loss=self.loss,
            micro_batch=self.state.micro_batch,
        )

    def _build_trainer(self) -> Trainer:
        trainer, compute = self.config.trainer, self.prepared.compute
        optimizer = build_optimizer(self.model, replace(self.config.optimizer, lr=self.state.lr))
        schedule = Schedule(optimizer, self.config.scheduler, trainer.epochs, self.steps_per_epoch)
        kind = compute.device.partition(":")[0]
        scaler = torch.amp.GradScaler(kind, enabled=compute.precision == "fp16")
        for technique in self.techniques.values():
            technique.start(self.model, optimizer)
        return Trainer(
            self.model,
            optimizer,
            schedule,
            scaler,
            trainer,
            compute,
            max_steps=self.config.debug.max_steps,
            techniques=list(self.techniques.values()),
            loss=self.loss,
            micro_batch=self.state.micro_batch,
            recorder=None if self.not_captured else CudaRecorder,
        )

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
        started, state = time.perf_counter(), self.state
        epoch = state.epoch + 1
        self.saver.changing()
        reseed(self.config.draws, epoch)
        rate = base_rate(self.trainer.optimizer)
        result = self._train(epoch)
        val = self._evaluate("val")
        if not finite(result.loss, val.loss):
            raise Diverged(epoch)
        self.trainer.schedule.after_epoch(val.loss)
        row = {
            "epoch": epoch,
            "lr": rate,  # at the epoch's first step
            "train_loss": result.loss,
            "train_acc": result.acc,
            "val_loss": val.loss,
            "val_acc": val.accuracy,
            "grad_norm": result.grad_norm,
            "seconds": result.seconds,
            "images_per_s": result.images / result.seconds,
        }
        self._select(epoch, val, row)
        state.epoch = epoch
        state.history.append(row)
        state.seconds += time.perf_counter() - started
        write_history(self.folder, state.history)
        self.tracker.epoch(epoch, scalars(row))
        self.elsewhere.epoch(epoch, scalars(row))
        self.saver.save(state, self.parts)  # last: what comes before it is written again if this fails
        return row

    def _train(self, epoch: int) -> EpochResult:
        config = self.config
        given = config.draws, epoch, config.trainer.batch_size, config.augment
        found = (technique.shortcut(epoch) for technique in self.trainer.techniques)
        shortcut = next((one for one in found if one is not None), None)
        self.trainer.use(shortcut)
        batches: Iterable[Batch | Slice] | None = None if shortcut is None else shortcut.train
        if batches is None and all(type(one).batches is Technique.batches for one in self.trainer.techniques):
            batches = self.batches.train_slices(*given)
        if batches is None:
            context = EpochContext(config.draws, epoch, len(self.prepared.dataset.classes))
            batches = changed_by(self.trainer.techniques, self.batches.train(*given), context)
        total = min(self.batch_count, self.steps_per_epoch * config.trainer.accumulate)
        with bar(f"epoch {epoch}/{config.trainer.epochs}", total) as advance:
            return self.trainer.epoch(batches, advance, epoch)

    def _select(self, epoch: int, val: Predictions, row: dict[str, float]) -> None:
        """Keep this epoch if it is the best so far. Adds the monitor, and the metrics of the user's own, to the row."""
        state, trainer = self.state, self.config.trainer
        metrics = {metric.monitor: metric for metric in all_metrics(trainer.metrics).values()}
        for name in (trainer.monitor, *(metric.monitor for metric in own_metrics(trainer.metrics).values())):
            if name not in row:  # accuracy and loss are there already
                row[name] = measure(val, metrics[name])
        value = signed(row[trainer.monitor], metrics[trainer.monitor])
        if value > state.best_value:
            state.improved_epoch = epoch
        if value >= state.best_value:  # the later one on a tie: the longer-trained model
            state.best_epoch, state.best_value, state.best_loss = epoch, value, val.loss
            state.best_weights, state.best_logits = copy_weights(self.trainer.eval_model), torch.from_numpy(val.logits)

    @property
    def out_of_patience(self) -> bool:
        """Whether the monitor has not improved for so long that training ends early (Prechelt 1998, "Early stopping -
        but when?"). Some techniques let it count from a later epoch."""
        patience, state = self.config.trainer.patience, self.state
        since = max([state.improved_epoch, *(technique.patience_from for technique in self.trainer.techniques)])
        return patience is not None and state.epoch - since >= patience

    def _evaluate(self, split: str, once: bool = False) -> Predictions:
        size = self.state.micro_batch or self.config.trainer.batch_size
        slices = self.batches.eval_slices(split, size)
        return self.trainer.evaluate(self.batches.evaluate(split, size) if slices is None else slices, once)

    def final_predictions(self) -> tuple[Predictions, Predictions]:
        """Val and test at the selected epoch. The only place where test images are looked at."""
        state = self.state
        assert state.best_logits is not None
        dataset = self.prepared.dataset
        val = Predictions(dataset.labels[dataset.split["val"]], state.best_logits.numpy(), state.best_loss)
        self.saver.changing()

        def judge(weights: dict[str, torch.Tensor]) -> float:
            return monitored(self._with_weights(weights), self.config.trainer)

        for technique in self.techniques.values():
            weights = technique.final_weights(state.best_weights, judge)
            if weights is not state.best_weights:
                state.best_weights, val = weights, self._with_weights(weights)
        put(self.trainer.eval_model, state.best_weights)
        return val, self._evaluate("test", once=True)

    def _with_weights(self, weights: dict[str, torch.Tensor]) -> Predictions:
        put(self.trainer.eval_model, weights)
        return self._evaluate("val", once=True)

    def best_weights_file(self) -> bytes:
        """best.safetensors: the selected weights, with all that a user of them has to know in the metadata."""
        prepared = self.prepared
        about = metadata(
            self.config,
            prepared.dataset.classes,
            self.preprocessing,
            prepared.identity,
            prepared.dataset.reading.ranges,
        )
        return weights_file(self.state.best_weights, about)

    def seconds(self) -> float:
        """Time spent on this run: all epochs, of earlier processes too, and whatever else this process did for it."""
        return self.seconds_before + time.perf_counter() - self.opened

    def close(self) -> None:
        """Let go of the trackers, when the resume state is on the disk. Raises OSError where it can't be."""
        try:
            self.elsewhere.close()
            self.tracker.close()
        finally:
            self.saver.flush()
            self.saver.wait()
