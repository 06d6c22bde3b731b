"""The parts of a record, as record.json has them (training/record.py)."""

from dataclasses import dataclass, field
from typing import Any

from training.schema.json_parts import Extra, as_number


@dataclass
class Resolved:
    """What the `auto`s and names of the config stood for."""

    weights: str | None = None  # none, IMAGENET1K_V2, checkpoint:<hash>; of a soup `soup of <n>`
    normalize: str | None = None
    precision: str | None = None
    memory_format: str | None = None
    device: str | None = None
    device_name: str | None = None
    lr: float | None = None  # what optimizer.lr=auto has found
    capture: str | None = None  # on CUDA: on, off, or why steps were not recorded as CUDA graphs
    micro_batch: int | None = None  # images at once, where trainer.on_oom=accumulate made them fewer
    licence: str | None = None  # of the initial weights, where their family tells it
    wise_alpha: float | None = None  # what trainer.wise has chosen: the share of the trained weights
    probe_c: float | None = None  # what trainer.probe has chosen: the inverse weight of its penalty
    extra: Extra = field(default_factory=dict)


@dataclass
class Counts:
    """Images a split."""

    train: int | None = None
    val: int | None = None
    test: int | None = None
    extra: Extra = field(default_factory=dict)


@dataclass
class LeftOut:
    """What lies among the images and was not used, and why (bad images: DataSummary.skipped)."""

    system: dict[str, Any] | None = None  # name of the system's and programs' own files and folders: how many
    files: dict[str, Any] | None = None  # ending of files that are no images: how many
    folders: dict[str, Any] | None = None  # folder of the root: why
    loose: dict[str, Any] | None = None  # folder: images in it that are in no class folder
    extra: Extra = field(default_factory=dict)


@dataclass
class DataSummary:
    """What the run saw of its data."""

    fingerprint: str | None = None
    classes: list[Any] | None = None
    n: Counts = field(default_factory=Counts)
    skipped: list[Any] | None = None
    shared: Counts = field(default_factory=Counts)  # images that are in another split, too
    value_range: dict[str, Any] | None = None  # of deep images, by kind (integer, float): what became 0 and 255
    read_as: list[Any] | None = None  # the same in words, and from what it follows
    single_valued: dict[str, Any] | None = None  # images that come out in one colour: n, blank_on_white, names
    giants: int | None = None  # images that were reduced when decoded
    frames: int | None = None  # files with several frames or pages, of which the first was read
    drawn: list[Any] | None = None  # splits that were drawn; the others came with the data
    split_folders: dict[str, Any] | None = None  # train, val, test: their folders, relative to the root
    left_out: LeftOut = field(default_factory=LeftOut)
    two_labels: Counts = field(default_factory=Counts)  # files that have another label in train or in the same split
    two_labels_first: list[Any] | None = None  # some of them: "a/1.png (a), b/1.png (b)"
    repeated: int | None = None  # images of train that are there before, under the same label
    twins: Counts = field(default_factory=Counts)  # images with a copy, near ones too, in train (group_by=duplicates)
    extra: Extra = field(default_factory=dict)


@dataclass
class Versions:
    """Of the software that the run was made with."""

    python: str | None = None
    torch: str | None = None
    torchvision: str | None = None
    packages: str | None = None  # all that is installed: NAME==VERSION NAME==VERSION ...
    extra: Extra = field(default_factory=dict)


@dataclass
class Machine:
    """On which the run was made (its GPU: Resolved.device_name)."""

    system: str | None = None  # and its kernel, processor and C library
    processor: str | None = None
    cores: int | None = None
    instructions: str | None = None  # the widest that torch uses: AVX512
    cuda: str | None = None  # that torch was built with
    cudnn: str | None = None
    extra: Extra = field(default_factory=dict)


@dataclass
class Failure:
    """Why a run failed or diverged. `log`: the last lines of its log, where its process died."""

    kind: str | None = None
    message: str | None = None
    log: list[Any] | None = None
    extra: Extra = field(default_factory=dict)


@dataclass
class Scores:
    """Of a split at the selected epoch: per cent, but for the loss and the number of images, n."""

    acc: float | None = None
    loss: float | None = None
    balanced_acc: float | None = None
    macro_f1: float | None = None
    per_class_acc: dict[str, Any] | None = None
    n: int | None = None
    extra: Extra = field(default_factory=dict)  # metrics of a user's own among them

    def figure(self, name: str) -> float | None:
        """One of them by its name, such as macro_f1; None where there is no such number."""
        return as_number(getattr(self, name, self.extra.get(name)))


@dataclass
class Percentiles:
    """Of a time in ms an image."""

    median: float | None = None
    p95: float | None = None
    extra: Extra = field(default_factory=dict)


@dataclass
class Latency:
    """By the number of images at once (training/engine/latency.py)."""

    batch_1: Percentiles = field(default_factory=Percentiles)
    batch_32: Percentiles = field(default_factory=Percentiles)
    extra: Extra = field(default_factory=dict)


@dataclass
class SoupSummary:
    """How a soup was made (training/soup.py)."""

    size: int | None = None  # runs whose weights were averaged
    candidates: int | None = None
    members: list[Any] | None = None
    weights: str | None = None  # what its runs began with, as resolved.weights
    tried: list[Any] | None = None
    best_single: dict[str, Any] | None = None
    against_best_single: dict[str, Any] | None = None
    extra: Extra = field(default_factory=dict)


@dataclass
class Times:
    """`minutes`: of all processes that worked on the run; the rest: of training alone, without validation."""

    started: str | None = None  # ISO 8601, UTC
    finished: str | None = None
    minutes: float | None = None
    images_per_s: float | None = None
    epoch_seconds: list[Any] | None = None
    host: str | None = None
    process: int | None = None
    extra: Extra = field(default_factory=dict)
