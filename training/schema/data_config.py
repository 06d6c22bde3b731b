"""The parts of a config that say what the network sees: images and their augmentation."""

import difflib
import math
from dataclasses import dataclass, field
from typing import Any, Literal

from training.schema.checks import AUTO, SPLITS, folders_of, is_range, need, outside


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
    group_by: str | None = None  # what a drawn split doesn't part: duplicates, or a column of data.csv
    size: int = 32  # px, what the network sees
    test_size: int | None = None  # px, what the network sees in val, test and predictions; null: size
    resize: Literal["stretch", "crop"] = "stretch"  # crop: shorter side resized, then the centre
    # px, what images are resized to once; null: size (stretch) or size / 0.875 (crop), that of evaluation
    stored_size: int | None = None
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
        ok = self.test_size is None or self.size <= self.test_size <= 4096
        need(ok, f"data.test_size={self.test_size}: expected data.size={self.size} to 4096 px, or null")
        stored, least = self.stored_size, self.eval_size
        need(stored is None or least <= stored <= 8192, f"data.stored_size={stored}: expected {least} to 8192")
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
        return self.eval_size if self.resize == "stretch" else round(self.eval_size / 0.875)

    @property
    def eval_size(self) -> int:
        """The side in px of what the network sees in val, test and predictions."""
        return self.test_size or self.size

    @property
    def train_side(self) -> int:
        """The side in px to which stored images are reduced before training augments and crops them to `size`: it is to
        `size` as the stored side is to `eval_size`, so that both see the same part of an image."""
        return max(self.size, round(self.stored * self.size / self.eval_size))


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
