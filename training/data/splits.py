"""Which images train, validate and test, where the data doesn't say: a stratified draw that depends on a seed alone."""

import numpy as np

from training.errors import ConfigError
from training.schema.checks import SPLITS as SPLITS


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
