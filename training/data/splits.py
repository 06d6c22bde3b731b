"""Which images train, validate and test; where the data doesn't say, a stratified draw that depends on a seed alone."""

import logging
from typing import TYPE_CHECKING

import numpy as np

from training.data.grouped_draw import draw_groups
from training.errors import ConfigError
from training.schema.checks import SPLITS as SPLITS
from training.schema.data_config import DataConfig

if TYPE_CHECKING:
    from training.data.sources import Source

log = logging.getLogger(__name__)


def split_or_fold(
    source: "Source", config: DataConfig, where: str, groups: np.ndarray | None = None
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """The indices of each split, int64 ascending, and the names of those that were drawn. `where`: what to call the
    data in messages; `groups` [N]: images that a draw doesn't part. Raises ConfigError for a class with too few images
    to draw from."""
    split, drawn = _split(source, config, where, groups)
    if config.folds is not None and config.fold is not None:
        split, drawn = _fold(source, config, config.folds, config.fold, split, drawn, groups)
    return split, drawn


def needs_draw(source: "Source", config: DataConfig) -> bool:
    """Whether not all splits come with the data."""
    given = set() if source.splits is None else set(source.splits.tolist())
    return config.folds is not None or bool(set(SPLITS) - given)


def _drawn(
    source: "Source", config: DataConfig, rows: np.ndarray, fractions: dict[str, float], groups: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Train and `fractions` of the images `rows`, as positions in `rows`."""
    if groups is None:
        return draw(source.labels[rows], fractions, config.split_seed, source.classes)
    shares = {"train": 1 - sum(fractions.values()), **fractions}
    named = f"data.group_by={config.group_by}"
    return draw_groups(source.labels[rows], groups[rows], shares, config.split_seed, source.classes, named)


def _split(
    source: "Source", config: DataConfig, where: str, groups: np.ndarray | None
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """The indices of each split, and which of them were drawn: from all images, or from train where that is given."""
    fractions = {"val": config.val_fraction, "test": config.test_fraction}
    if source.splits is None:
        return _drawn(source, config, np.arange(len(source.labels)), fractions, groups), SPLITS
    split = {name: np.flatnonzero(source.splits == name) for name in SPLITS}
    drawn = tuple(name for name in fractions if not len(split[name]))
    if drawn:
        train = split["train"]
        shares = {name: fractions[name] for name in drawn}
        parts = _drawn(source, config, train, shares, groups)
        split.update({name: train[part] for name, part in parts.items()})
        taken = " and ".join(f"{len(split[name])} images for {name}" for name in drawn)
        log.info("%s comes without %s: drew %s from train", where, " and ".join(drawn), taken)
    return split, drawn


def _fold(
    source: "Source",
    config: DataConfig,
    folds: int,
    fold: int,
    split: dict[str, np.ndarray],
    drawn: tuple[str, ...],
    groups: np.ndarray | None,
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Train and val of one fold. The test images are the same as without folds, so that both can be compared."""
    pool = np.sort(np.concatenate([split["train"], split["val"]]))
    if groups is None:
        parts = draw_fold(source.labels[pool], folds, fold, config.split_seed, source.classes)
    else:
        shares = {f"fold {number}": 1 / folds for number in range(folds)}
        named = f"data.group_by={config.group_by}"
        every = draw_groups(source.labels[pool], groups[pool], shares, config.split_seed, source.classes, named)
        val = every[f"fold {fold}"]
        parts = {"train": np.setdiff1d(np.arange(len(pool)), val), "val": val}
    split = split | {name: pool[part] for name, part in parts.items()}
    # val_fraction has a say in which images are drawn for test, and in nothing else
    return split, SPLITS if {"val", "test"} <= set(drawn) else ("train", *(name for name in drawn if name == "test"))


def draw(
    labels: np.ndarray, fractions: dict[str, float], seed: int, classes: tuple[str, ...] | None = None
) -> dict[str, np.ndarray]:
    """Split images with `labels` int64 [N] into train and the given `fractions` of them, class by class.

    Returns indices [n] for `train` and each key of `fractions`, ascending. Each class gets its share in every split to
    within one image, and at least one; a tie in rounding goes to the split that has come off short so far. The order
    comes from PCG64's raw stream, the one that NumPy promises never to change (NEP 19).
    Raises ConfigError for a class with fewer images than there are splits (named from `classes`, if given).
    """
    if seed < 0:
        raise ConfigError(f"data.split_seed={seed}: expected 0 or more")
    names = ("train", *fractions)
    shares = np.array([1 - sum(fractions.values()), *fractions.values()])
    owed = np.zeros(len(names))
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        if len(of_class) < len(names):
            name = classes[label] if classes else label
            wanted = f"{', '.join(names[:-1])} and {names[-1]}"
            raise ConfigError(
                f"class {name} has {len(of_class)} image(s) to draw {wanted} from: it needs {len(names)} or more"
            )
        exact = np.round(shares * len(of_class), 9)
        counts = _whole_numbers(exact, owed)
        owed += exact - counts
        order = np.argsort(np.random.PCG64([seed, int(label)]).random_raw(len(of_class)), kind="stable")
        ends = np.cumsum(counts)[:-1]
        for name, part in zip(names, np.split(of_class[order], ends), strict=True):
            parts[name].append(part)
    return {name: np.sort(np.concatenate(part)) for name, part in parts.items()}


def draw_fold(
    labels: np.ndarray, folds: int, fold: int, seed: int, classes: tuple[str, ...] | None = None
) -> dict[str, np.ndarray]:
    """Split images with `labels` int64 [N] into `folds` parts, class by class: part `fold` is val, the rest is train.

    Returns indices [n] for `train` and `val`, ascending. Each class is spread over the folds to within one image, and
    so are all images. The order is drawn as in `draw`, from another stream of its seed.
    Raises ConfigError for a class with fewer images than folds (named from `classes`, if given).
    """
    if seed < 0:
        raise ConfigError(f"data.split_seed={seed}: expected 0 or more")
    part = np.empty(len(labels), dtype=np.int64)
    start = 0
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        if len(of_class) < folds:
            name = classes[label] if classes else label
            raise ConfigError(
                f"data.folds={folds}: class {name} has {len(of_class)} image(s) that aren't test, expected one a fold"
            )
        order = np.argsort(np.random.PCG64([seed, int(label), folds]).random_raw(len(of_class)), kind="stable")
        part[of_class[order]] = (start + np.arange(len(of_class))) % folds
        start += len(of_class)  # the next class goes on where this one ended, so that no fold gets all the odd images
    return {"train": np.flatnonzero(part != fold), "val": np.flatnonzero(part == fold)}


def _whole_numbers(exact: np.ndarray, owed: np.ndarray) -> np.ndarray:
    """Whole numbers with the sum of `exact`, by largest remainder (a tie goes to the most owed), none of them zero."""
    counts: np.ndarray = np.floor(exact).astype(np.int64)
    remainder = np.round(exact - counts, 6)
    first = np.lexsort((-owed, -remainder))
    counts[first[: round(exact.sum()) - counts.sum()]] += 1
    while (counts == 0).any():
        counts[counts.argmax()] -= 1
        counts[counts.argmin()] += 1
    return counts
