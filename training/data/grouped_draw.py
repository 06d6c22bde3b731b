"""A stratified draw that keeps groups of images together."""

import numpy as np

from training.errors import ConfigError


def draw_groups(
    labels: np.ndarray,
    groups: np.ndarray,
    shares: dict[str, float],
    seed: int,
    classes: tuple[str, ...],
    named: str,
) -> dict[str, np.ndarray]:
    """Split images with `labels` int64 [N] by `shares` that add up to 1, and no group (`groups` int64 [N]) in two.

    Returns indices [n] for each key, ascending. As in scikit-learn's StratifiedGroupKFold, large groups are placed
    first, each where its classes lack most; groups as large in an order that is drawn (as in splits.draw). With groups
    of one image each class gets its share to within one image. Raises ConfigError, with what is `named`, where a class
    has too few groups for every part to get one.
    """
    if seed < 0:
        raise ConfigError(f"data.split_seed={seed}: expected 0 or more")
    _, numbers = np.unique(groups, return_inverse=True)
    sizes = np.bincount(numbers)
    drawn = np.argsort(np.random.PCG64([seed, len(shares), 1]).random_raw(len(sizes)), kind="stable")
    order = drawn[np.argsort(-sizes[drawn], kind="stable")]
    members = np.split(np.argsort(numbers, kind="stable"), np.cumsum(sizes)[:-1])
    lacks = np.outer(list(shares.values()), np.bincount(labels, minlength=len(classes)))  # images of a class in a part
    left = np.array(list(shares.values())) * len(labels)
    part = np.empty(len(labels), dtype=np.int64)
    for group in order:
        counts = np.bincount(labels[members[group]], minlength=len(classes))
        wanted = np.round(lacks @ counts, 6)
        best = np.flatnonzero(wanted == wanted.max())
        chosen = best[np.round(left[best], 6).argmax()]
        part[members[group]] = chosen
        lacks[chosen] -= counts
        left[chosen] -= counts.sum()
    found = {name: np.flatnonzero(part == number) for number, name in enumerate(shares)}
    for name, rows in found.items():
        for label in sorted({*labels.tolist()} - {*labels[rows].tolist()}):
            count = len({*groups[labels == label].tolist()})
            what = f"class {classes[label]} has {count} group(s), of which none fell to {name}"
            raise ConfigError(f"{named}: {what}: it needs more of them, or smaller ones")
    return found
