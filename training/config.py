"""What one run is made of: the schema that conf/ is checked against.

A field is part of a run's identity unless its metadata says otherwise (`outside`): paths, threads, the device,
tracking and launching change where and how fast a run happens, not what comes out. `seed` and
`data.fold` stand beside the identity: they tell its replicates apart.
"""

import dataclasses
import difflib
import hashlib
import math
from dataclasses import dataclass, field
from typing import Any, Literal

from training.errors import ConfigError
from training.metrics import check_monitor

AUTO = "auto"  # of optimizer.lr
SPLITS = ("train", "val", "test")
MOST = {"epochs": 10**6, "batch_size": 10**9, "accumulate": 10**9, "threads": 4096}  # beyond it is a slip


def outside(default: Any) -> Any:
    """A field with `default` that does not enter the identity."""
    return field(default=default, metadata={"identity": False})


def need(condition: bool, message: str) -> None:
    """Raise ConfigError(message) unless `condition` holds."""
    if not condition:
        raise ConfigError(message)


def is_range(value: Any) -> bool:
    """Whether it is [lo, hi], two finite numbers with lo < hi."""
    numbers = isinstance(value, list | tuple) and all(type(one) in (int, float) and abs(one) < 1e38 for one in value)
    return numbers and len(value) == 2 and value[0] < value[1]


def folders_of(named: Any) -> list[Any]:
    """What data.splits names for a split, one folder or several, as a list; 2019 is a folder's name too."""
    several = named if isinstance(named, list | tuple) else [named]
    return [str(one) if isinstance(one, int | float) and not isinstance(one, bool) else one for one in several]


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
class DataConfig:
    """The images, their splits, and how they are brought to one size."""

    _target_: str = "training.sources.digits"
    name: str | None = None  # for data=torchvision: of the set
    root: str | None = outside(None)  # folder of images
    csv: str | None = outside(None)  # a table path,label[,split] instead of class folders
    # folders in root by split, {train: A, test: [B, C]}, {}: all are classes; null: by their names
    splits: dict[str, Any] | None = outside(None)  # (the fingerprint knows the outcome)
    kwargs: dict[str, Any] = field(default_factory=dict)  # for a source of your own
    val_fraction: float = 0.15  # of all images that come without a split
    test_fraction: float = 0.15
    split_seed: int = 0
    sampling: Literal["natural", "balanced"] = "natural"  # balanced: as many draws an epoch, each class as often
    folds: int | None = None  # cross-validation: train and val images in so many stratified parts
    fold: int | None = outside(None)  # which of them is val, from 0; it stands beside the identity, as the seed does
    size: int = 32  # px, what the network sees
    resize: Literal["stretch", "crop"] = "stretch"  # crop: shorter side resized, then the centre
    stored_size: int | None = None  # px, what images are resized to once; null: size (stretch) or size / 0.875 (crop)
    normalize: Literal["auto", "none", "imagenet", "dataset"] = "auto"
    value_range: Any = outside("auto")  # [lo, hi]: black and white of deep images; the fingerprint knows the outcome
    verify: bool = outside(False)  # hash every file again, not only those that seem to have changed
    on_bad: Literal["raise", "skip"] = outside("raise")  # what a corrupt image does; the fingerprint knows the outcome
    cache: Literal["auto", "memory", "disk", "none"] = outside("auto")  # of decoded images; auto: see pixel_cache.py
    cache_gb: float = outside(20.0)  # the disk cache of all data sets together
    memory_gb: float = outside(4.0)  # decoded images are kept in memory up to this size

    def __post_init__(self) -> None:
        need(8 <= self.size <= 4096, f"data.size={self.size}: expected 8 to 4096 px")
        for key in ("val_fraction", "test_fraction"):
            value = getattr(self, key)
            need(0 < value < 0.9, f"data.{key}={value}: expected a fraction between 0 and 0.9")
        need(self.val_fraction + self.test_fraction < 0.95, "data.val_fraction + data.test_fraction leave no train set")
        need(self.folds is None or self.folds >= 2, f"data.folds={self.folds}: expected 2 or more")
        self._check_fold()
        self._check_splits()
        stored = self.stored_size
        need(stored is None or self.size <= stored <= 8192, f"data.stored_size={stored}: expected {self.size} to 8192")
        for key in ("cache_gb", "memory_gb"):
            need(getattr(self, key) >= 0, f"data.{key}={getattr(self, key)}: expected 0 or more")
        ok = self.value_range == AUTO or is_range(self.value_range)
        need(ok, f"data.value_range={self.value_range}: expected auto or [lo, hi], two finite numbers with lo < hi")

    def _check_fold(self) -> None:
        if self.folds is None:
            need(self.fold is None, f"data.fold={self.fold} needs data.folds=K, the number of folds")
            return
        last = self.folds - 1
        every = f"data.fold={','.join(map(str, range(min(self.folds, 5))))}{',...' * (self.folds > 5)}"
        need(self.fold is not None, f"data.folds={self.folds} needs data.fold=0 to {last}, or with -m all: {every}")
        need(
            self.fold in range(self.folds), f"data.fold={self.fold}: expected 0 to {last} with data.folds={self.folds}"
        )

    def _check_splits(self) -> None:
        if not self.splits:
            return
        self.splits = {split: folders for split, folders in self.splits.items() if folders is not None}
        for split, folders in self.splits.items():
            near = difflib.get_close_matches(str(split).lower(), SPLITS, 1, 0.4)
            hint = f" (did you mean {near[0]}?)" if near else ""
            need(split in SPLITS, f"data.splits: {split}, expected train, val or test{hint}")
            named = folders_of(folders)
            ok = bool(named) and all(isinstance(name, str) and name for name in named)
            need(ok, f"data.splits: {split}: {folders}, expected a folder in data.root, or a list of them")
        need("train" in self.splits, f"data.splits={self.splits} names no folder for train")

    @property
    def stored(self) -> int:
        """The side of the stored images in px."""
        if self.stored_size is not None:
            return self.stored_size
        return self.size if self.resize == "stretch" else round(self.size / 0.875)


@dataclass
class AugmentConfig:
    """What happens to a training image, drawn per image and epoch."""

    flip: float = 0.0  # probability of a horizontal flip
    crop_scale: list[float] | None = None  # random resized crop: least and largest share of the area
    crop_ratio: list[float] = field(default_factory=lambda: [0.75, 1.3333])  # width / height
    trivial: bool = False  # TrivialAugmentWide: one operation of random strength
    erasing: float = 0.0  # probability that a random rectangle is erased
    mixup: float = 0.0  # alpha of mixup, drawn per batch; 0: none
    cutmix: float = 0.0  # alpha of cutmix, drawn per batch; 0: none; with mixup: one of the two
    own: list[dict[str, Any]] = field(default_factory=list)  # transforms of your own: _target_ and its arguments each

    def __post_init__(self) -> None:
        need(0 <= self.flip <= 1, f"augment.flip={self.flip}: expected a probability, 0 to 1")
        need(0 <= self.erasing <= 1, f"augment.erasing={self.erasing}: expected a probability, 0 to 1")
        for key in ("mixup", "cutmix"):
            value = getattr(self, key)
            need(0 <= value < math.inf, f"augment.{key}={value}: expected an alpha of 0 (none) or more")
        scale = self.crop_scale
        ok = scale is None or (len(scale) == 2 and 0 < scale[0] <= scale[1] <= 1)
        need(ok, f"augment.crop_scale={scale}: expected [least, largest] with 0 < least <= largest <= 1")
        ratio = self.crop_ratio
        ok = len(ratio) == 2 and 0 < ratio[0] <= ratio[1] < math.inf
        need(ok, f"augment.crop_ratio={ratio}: expected [least, largest], both above 0")


@dataclass
class OptimizerConfig:
    """Any torch optimizer."""

    _target_: str = "torch.optim.AdamW"
    lr: int | float | str = 1e-3  # auto: what a range test finds (training/engine/lr_range_test.py)
    weight_decay: float = 0.0
    decay_norm_and_bias: bool = False  # true: decay every parameter, as torch does
    layer_decay: float | None = None  # factor on lr from each layer to the one before it; null: one lr for all
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
    freeze_epochs: int = 0  # at first, in which the head alone learns
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    memory_format: Literal["auto", "contiguous", "channels_last"] = "auto"
    clip_norm: float | None = None  # largest gradient norm; null: no clipping
    label_smoothing: float = 0.0
    class_weights: Literal["none", "balanced"] = "none"  # of the loss; balanced: rare classes count more
    ema: float | None = None  # decay of the average of the weights that is validated and kept; null: none
    techniques: list[dict[str, Any]] = field(default_factory=list)  # of your own: _target_ and its arguments each
    deterministic: bool = True
    compile: bool = False  # torch.compile: rounds differently, and takes a C++ compiler and a minute a run
    capture: bool = False  # on CUDA, forward and backward in one launch; for small batches: engine/cuda_graph.py
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
        need(self.freeze_epochs >= 0, f"{frozen}: expected 0 or more")
        ok = not self.freeze_epochs or self.freeze_epochs < self.epochs
        need(ok, f"{frozen} leaves nothing of trainer.epochs={self.epochs}")
        ok = not self.capture or (self.accumulate == 1 and not self.freeze_epochs and not self.compile)
        need(ok, "trainer.capture=true goes with neither accumulate, freeze_epochs nor compile")
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


@dataclass
class TrackingConfig:
    """What TensorBoard gets to see, and what else is measured."""

    tensorboard: bool = True
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
