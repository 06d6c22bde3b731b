"""Near copies among many images: pairs that show the same, and the groups that they make."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from training.data.near_copies.alignment import WHITE, closer, likeness
from training.data.near_copies.candidates import NEAREST, candidates

# A pair shows the same if its likeness is at least this, chosen on photographs and digits (docs/data.md) ...
GREY, DETAIL = 0.97, 0.9
# ... and it is much more alike than others are: the rest (1 - detail) is so small beside that of the image's middle
# candidate. All ones that a hand has written are alike, without being copies.
RATIO = 0.15
SURE_GREY, SURE_DETAIL = 0.9985, 0.985  # alike enough, whatever the others are: many copies of one image
CLOSER_GREY, CLOSER_DETAIL = 0.95, 0.85  # the same of the closer look, which has to confirm it
MIRRORED_DETAIL = 0.96  # a mirrored image is otherwise whole; and it has few neighbours that RATIO could go by
# ... where so much of one is white, perhaps since it was brightened, that detail is lost
WHITE_SHARE, WHITE_GREY, WHITE_DETAIL = 0.2, 0.975, 0.7
AT_ONCE = 512  # pairs of which the closer pictures are in memory: 16 MB
CloserLook = Callable[[Sequence[int]], Sequence[np.ndarray]]
FLAT = 3.0  # grey levels: a picture of a lower standard deviation shows nothing to compare


@dataclass(frozen=True)
class Twins:
    """Two images, by their indices, that show the same; `mirrored`: one as in a mirror. `alike`: of detail, 0 to 1."""

    first: int
    second: int
    mirrored: bool
    alike: float


def near_copies(
    small: np.ndarray, advance: Callable[[int], object] = lambda count: None, closer_look: CloserLook | None = None
) -> list[Twins]:
    """The near copies among images `small` uint8 [N, S, S] (candidates.small_grey), each pair once, first < second.

    Bounded memory: some 2 kB an image. `advance` is told how many images have been done. `closer_look`: gives some
    images by their indices [n] as uint8 [n, CLOSER_SIDE, CLOSER_SIDE]; with it, pairs that differ there are left out.
    """
    found: dict[tuple[int, int], Twins] = {}
    usable = np.flatnonzero(small.std((1, 2)) >= FLAT) if len(small) else np.empty(0, dtype=np.int64)
    pictures = small[usable]
    for pairs in candidates(pictures):
        one = pictures[pairs.first]
        one[pairs.mirrored] = one[pairs.mirrored][:, :, ::-1]
        alike = likeness(one, pictures[pairs.second])
        usual = _usual_rest(pairs.first, alike.detail)
        sure = (alike.grey >= SURE_GREY) & (alike.detail >= SURE_DETAIL)
        likely = (alike.grey >= GREY) & (alike.detail >= DETAIL) & (1 - alike.detail <= RATIO * usual)
        for row in np.flatnonzero(sure | likely):
            first, second = sorted((int(usable[pairs.first[row]]), int(usable[pairs.second[row]])))
            twins = Twins(first, second, bool(pairs.mirrored[row]), float(alike.detail[row]))
            before = found.get((first, second))
            if before is None or before.alike < twins.alike:
                found[first, second] = twins
        advance(len(np.unique(pairs.first)))
    pairs_found = sorted(found.values(), key=lambda twins: (twins.first, twins.second))
    return pairs_found if closer_look is None else _verified(pairs_found, closer_look)


def _verified(found: list[Twins], closer_look: CloserLook) -> list[Twins]:
    """Those of which the closer look shows the same."""
    kept = []
    for start in range(0, len(found), AT_ONCE):
        some = found[start : start + AT_ONCE]
        indices = sorted({index for twins in some for index in (twins.first, twins.second)})
        pictures = dict(zip(indices, closer_look(indices), strict=True))
        one = [pictures[twins.first][:, ::-1] if twins.mirrored else pictures[twins.first] for twins in some]
        first, second = np.stack(one), np.stack([pictures[twins.second] for twins in some])
        alike = closer(first, second)
        white = ((first > WHITE) | (second > WHITE)).mean((1, 2)) >= WHITE_SHARE
        mirrored = np.array([twins.mirrored for twins in some])
        same = (alike.grey >= CLOSER_GREY) & (alike.detail >= np.where(mirrored, MIRRORED_DETAIL, CLOSER_DETAIL))
        same |= white & ~mirrored & (alike.grey >= WHITE_GREY) & (alike.detail >= WHITE_DETAIL)
        kept += [twins for twins, ok in zip(some, same, strict=True) if ok]
    return kept


def _usual_rest(first: np.ndarray, detail: np.ndarray) -> np.ndarray:
    """For each pair [P], 1 - detail of the middle candidate of its first image; 1 where it has few."""
    order = np.lexsort((-detail, first))
    starts = np.flatnonzero(np.diff(first[order], prepend=-1))
    sizes = np.diff(starts, append=len(first))
    middle = np.where(sizes > NEAREST // 2, starts + NEAREST // 2, 0)
    usual = np.where(sizes > NEAREST // 2, 1 - detail[order][middle], 1.0) if len(first) else np.empty(0)
    back = np.empty(len(first), dtype=np.float64)
    back[order] = np.repeat(usual, sizes)
    return back


def groups_of(count: int, pairs: Iterable[tuple[int, int]]) -> np.ndarray:
    """The group of each of `count` images, int64 [count]: the least index of those that pairs connect it with."""
    parent = np.arange(count)

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = int(parent[index])
        return index

    for first, second in pairs:
        one, other = sorted((root(first), root(second)))
        parent[other] = one
    return np.array([root(index) for index in range(count)], dtype=np.int64)
