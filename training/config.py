"""What one run is made of: the schema that conf/ is checked against.

A field is part of a run's identity unless its metadata says otherwise (`outside`): paths, threads, the device,
tracking and launching change where and how fast a run happens, not what comes out. `seed` and
`data.fold` stand beside the identity: they tell its replicates apart.
"""

import dataclasses
import hashlib
import math
from dataclasses import dataclass, field
from typing import Any, Literal

from training.errors import ConfigError
from training.metrics import check_monitor
from training.schema.checks import ALL, AUTO, MOST, need, outside
from training.schema.data_config import AugmentConfig, DataConfig


@dataclass
class ModelConfig:
    """The network. Every model has the same keys, so that one command line fits all; what doesn't apply is ignored."""

    _target_: str = "training.models.torchvision_model"
    name: str = ""  # of torchvision's builder, or of another family's, whose `accepts` names it
    drop_path: float | None = None  # stochastic depth of the last block, 0..1; null: the builder's own
    dropout: float | None = None  # 0..1; null: the builder's own
    accepts: list[str] = field(default_factory=list, metadata={"identity": False})  # which of the three it takes
    weights: list[str] | None = outside(None)  # weight sources that exist, its default last; null: ask its family
    kwargs: dict[str, Any] = field(default_factory=dict)  # anything else the builder takes

    def __post_init__(self) -> None:
        own = self._target_ != ModelConfig._target_
        need(own or bool(self.name), "model=torchvision needs model.name=NAME, one of torchvision's classifiers")
        for key in ("drop_path", "dropout"):
            value = getattr(self, key)
            need(value is None or 0 <= value < 1, f"model.{key}={value}: expected 0 <= {key} < 1")

    @property
    def called(self) -> str:
        """What people call it: its name in a family that goes by names, or the `_target_` of one of your own."""
        return self.name if self._target_ == ModelConfig._target_ or "name" in self.accepts else self._target_


@dataclass
class WeightsConfig:
    """Where the initial weights come from."""

    source: str = "none"  # none, default, checkpoint, or one that the model's family has, such as imagenet1k_v1
    path: str | None = outside(None)  # for `checkpoint`: a .safetensors, a .pth state dict, or a run folder

    def __post_init__(self) -> None:
        if self.source == "checkpoint":
            need(bool(self.path), "weights=checkpoint needs weights.path=FILE (.safetensors, .pth or a run folder)")
        else:
            need(self.path is None, f"weights.path is only for weights=checkpoint, not for weights={self.source}")


@dataclass
class OptimizerConfig:
    """Any torch optimizer."""

    _target_: str = "torch.optim.AdamW"
    lr: int | float | str = 1e-3  # auto: what a range test finds (training/engine/lr_range_test.py)
    weight_decay: float = 0.0
    decay_norm_and_bias: bool = False  # true: decay every parameter, as torch does
    layer_decay: float | None = None  # factor on lr from each layer to the one before it; null: one lr for all
    head_lr_factor: float = 1.0  # on lr, of the layer that makes the class scores alone
    kwargs: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.lr != AUTO:
            try:
                self.lr = float(self.lr)
            except ValueError as error:
                raise ConfigError(f"optimizer.lr={self.lr}: expected a number above 0, or auto") from error
            need(0 < float(self.lr) < math.inf, f"optimizer.lr={self.lr}: expected a number above 0, or auto")
        ok = self.layer_decay is None or 0 < self.layer_decay <= 1
        need(ok, f"optimizer.layer_decay={self.layer_decay}: expected a factor above 0, up to 1")
        ok = 0 < self.head_lr_factor < math.inf
        need(ok, f"optimizer.head_lr_factor={self.head_lr_factor}: expected a factor above 0")
        need(0 <= self.weight_decay < math.inf, f"optimizer.weight_decay={self.weight_decay}: expected 0 or more")


@dataclass
class SchedulerConfig:
    """Any torch learning-rate schedule (null: a constant rate), after a linear warm-up."""

    _target_: str | None = None
    warmup_epochs: float = 0.0
    interval: Literal["step", "epoch"] = "epoch"  # the unit of kwargs: gamma per epoch or per step, ...
    kwargs: dict[str, Any] = field(default_factory=dict)  # T_max, total_steps, max_lr fill themselves where left out

    def __post_init__(self) -> None:
        need(self.warmup_epochs >= 0, f"scheduler.warmup_epochs={self.warmup_epochs}: expected 0 or more")


@dataclass
class LossConfig:
    """What training minimizes: a function or class (training/engine/loss.py says how it is called)."""

    _target_: str = "training.engine.loss.cross_entropy"
    kwargs: dict[str, Any] = field(default_factory=dict)


@dataclass
class TrainerConfig:
    """The training loop."""

    epochs: int = 6
    monitor: str = "val_acc"  # selects the best epoch: val_NAME of a metric (training/metrics.py)
    metrics: dict[str, Any] = field(default_factory=dict)  # of your own, NAME: {_target_, direction, ...}
    patience: int | None = None  # epochs without a better monitor after which training ends; null: never
    batch_size: int = 64
    accumulate: int = 1  # batches whose gradients are summed into one step
    freeze_epochs: int | str = 0  # at first, in which the head alone learns; all: in every one
    cache_features: bool = False  # in those, what the frozen layers make of each image is computed once
    probe: bool = False  # the head begins as a converged linear probe on the initial network's features
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    memory_format: Literal["auto", "contiguous", "channels_last"] = "auto"
    clip_norm: float | None = None  # largest gradient norm; null: no clipping
    label_smoothing: float = 0.0
    class_weights: Literal["none", "balanced"] = "none"  # of the loss; balanced: rare classes count more
    ema: float | None = None  # decay of the average of the weights that is validated and kept; null: none
    tta: Literal["none", "flip"] = "none"  # flip: evaluation and predictions average an image and its mirror image
    wise: bool = False  # the trained weights are interpolated with those of the start, as far as val likes it
    techniques: list[dict[str, Any]] = field(default_factory=list)  # of your own: _target_ and its arguments each
    deterministic: bool = True
    compile: bool = False  # torch.compile: rounds differently, and takes a C++ compiler and a minute a run
    # On CUDA, steps as CUDA graphs (engine/step.py). auto: wherever they can, to the same bits; true: or fail
    capture: bool | str = field(default=False, metadata={"as_default": (AUTO,)})
    on_oom: Literal["fail", "accumulate"] = outside("fail")  # accumulate: the same steps in smaller pieces
    threads: int | str = outside("auto")  # CPU threads; auto: all cores, shared among the slots of a sweep
    device: str = outside("auto")  # auto, cpu, mps, cuda, cuda:N
    save_every_s: float = outside(30.0)  # the resume state of a large network, at most; 0: after every epoch

    def __post_init__(self) -> None:
        for key in ("epochs", "batch_size", "accumulate"):
            value = getattr(self, key)
            need(value >= 1, f"trainer.{key}={value}: expected 1 or more")
            need(value <= MOST[key], f"trainer.{key}={value}: expected 1 to {MOST[key]}")
        check_monitor(self.monitor, self.metrics)
        frozen = f"trainer.freeze_epochs={self.freeze_epochs}"
        count = self.freeze_epochs
        ok = count == ALL or (isinstance(count, int) and not isinstance(count, bool) and count >= 0)
        need(ok, f"{frozen}: expected 0 or more, or all")
        ok = count in (0, ALL) or self.frozen_epochs < self.epochs
        need(ok, f"{frozen} leaves nothing of trainer.epochs={self.epochs}")
        need(self.capture in (True, False, AUTO), f"trainer.capture={self.capture}: expected auto, true or false")
        need(self.patience is None or self.patience >= 1, f"trainer.patience={self.patience}: expected 1 or more")
        need(self.clip_norm is None or self.clip_norm > 0, f"trainer.clip_norm={self.clip_norm}: expected above 0")
        need(self.ema is None or 0 < self.ema < 1, f"trainer.ema={self.ema}: expected a decay between 0 and 1")
        need(0 <= self.label_smoothing < 1, f"trainer.label_smoothing={self.label_smoothing}: expected 0 to 1")
        ok = self.threads == "auto" or (isinstance(self.threads, int) and self.threads >= 1)
        need(ok, f"trainer.threads={self.threads}: expected auto or 1 or more")
        ok = self.threads == "auto" or int(self.threads) <= MOST["threads"]
        need(ok, f"trainer.threads={self.threads}: expected auto or 1 to {MOST['threads']}")
        need(self.save_every_s >= 0, f"trainer.save_every_s={self.save_every_s}: expected 0 or more seconds")
        kind = self.device.partition(":")
        ok = kind[0] in ("auto", "cpu", "mps", "cuda") and (not kind[1] or kind[2].isdigit())
        need(ok, f"trainer.device={self.device}: expected auto, cpu, mps, cuda or cuda:N")

    @property
    def frozen_epochs(self) -> int:
        """How many epochs trainer.freeze_epochs stands for."""
        return self.epochs if self.freeze_epochs == ALL else int(self.freeze_epochs)


@dataclass
class TrackingConfig:
    """Who gets to see the run, what TensorBoard sees, and what else is measured."""

    tensorboard: bool = True
    wandb: bool = False  # these two beside it or instead (training/engine/tracking/elsewhere.py)
    mlflow: bool = False
    histograms_every: int = 1  # epochs; 0: none
    histogram_layers: list[str] = field(default_factory=lambda: ["first", "head"])  # or all, or patterns: layer4.*
    latency: bool = False  # measure how long the trained network takes for an image (training/engine/latency.py)

    def __post_init__(self) -> None:
        need(self.histograms_every >= 0, f"tracking.histograms_every={self.histograms_every}: expected 0 or more")


@dataclass
class DebugConfig:
    """Short cuts for finding mistakes, not for results."""

    overfit_batch: bool = False  # train and validate on one batch
    max_steps: int | None = None  # optimizer steps an epoch

    def __post_init__(self) -> None:
        need(self.max_steps is None or self.max_steps >= 1, f"debug.max_steps={self.max_steps}: expected 1 or more")


@dataclass
class SweepConfig:
    """Where runs go, and what is done with what lies there already."""

    name: str = "runs"
    root: str = "outputs"
    stale: Literal["warn", "rerun"] = "warn"  # a finished run of another version of training/
    impossible: Literal["error", "skip"] = "error"  # in a sweep: what can't be done together
    plan: bool = False  # print what a sweep would do, and end
    detach: bool = False  # the sweep goes on by itself, whatever becomes of this terminal; the same command shows it
    max_hours: float | None = None  # of the whole sweep; it ends with the epochs under way
    keep_weights: int | str = "all"  # of how many finished runs best.safetensors stays: all, best or a number

    def __post_init__(self) -> None:
        ok = bool(self.name) and self.name not in (".", "..") and not set(self.name) & set('/\\:*?"<>|\n\0')
        need(ok, f"sweep.name={self.name!r}: expected a plain folder name")
        length = len(self.name.encode(errors="surrogateescape"))
        need(length <= 200, f"sweep.name={self.name[:20]}...: {length} bytes long; a folder's name may have 200 here")
        need(bool(self.root), "sweep.root is empty, expected a folder; sweep.root=. is the current one")
        need(self.max_hours is None or self.max_hours > 0, f"sweep.max_hours={self.max_hours}: expected above 0")
        keep = self.keep_weights
        ok = keep in ("all", "best") or (isinstance(keep, int) and not isinstance(keep, bool) and keep >= 1)
        need(ok, f"sweep.keep_weights={keep}: expected all, best, or how many, 1 or more")


@dataclass
class RunConfig:
    """One run."""

    seed: int = outside(0)
    model: ModelConfig = field(default_factory=lambda: ModelConfig(name="resnet18"))
    weights: WeightsConfig = field(default_factory=WeightsConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig, metadata={"identity": False})
    debug: DebugConfig = field(default_factory=DebugConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig, metadata={"identity": False})

    def __post_init__(self) -> None:
        need(0 <= self.seed < 2**32, f"seed={self.seed}: expected 0 to 4294967295")
        warmup = self.scheduler.warmup_epochs
        ok = warmup < self.trainer.epochs
        need(
            ok or not warmup, f"scheduler.warmup_epochs={warmup} leaves nothing of trainer.epochs={self.trainer.epochs}"
        )

    @property
    def draws(self) -> int:
        """The seed of all that is random in this run. With folds each has one of its own, so that replicates of a
        configuration are draws of the seed too, whether they differ in seed or in fold."""
        if self.data.fold is None:
            return self.seed
        return int(hashlib.sha256(f"seed {self.seed} fold {self.data.fold}".encode()).hexdigest()[:8], 16)


def as_dict(config: RunConfig) -> dict[str, Any]:
    """The config as plain nested dicts, ready for JSON."""
    return dataclasses.asdict(config)
