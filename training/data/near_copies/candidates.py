"""Which pairs of images are worth a closer look: the nearest by the low frequencies of their small grey pictures.

A perceptual hash (Zauner 2010, "Implementation and benchmarking of perceptual image hash functions") keeps the signs of
these DCT coefficients. Here they stay numbers, weighted by their frequency, because a tenth cropped off turns as many
signs as another image does (docs/data.md); and whole blocks of images are compared at once by a matrix product, in
memory that does not grow.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.fft import dctn

SIDE = 32  # px of the small grey pictures
CLOSER_SIDE = 128  # of those for a closer look
FREQUENCIES = 8  # coefficients with u + v below it
WINDOW = 0.9  # share of the sides that the crops show with which crops are looked for: the middle, and four corners
PLACES = ((0, 0), (-1, -1), (-1, 1), (1, -1), (1, 1))
NEAREST, LEAST = 8, 0.75  # pairs an image at most, and the least cosine of their descriptors
CROWDED = 4  # times as many as are kept: from there on it is quicker to look for the nearest of a piece first
BLOCK, WIDE = 1024, 8192  # images whose neighbours are looked for at once, among so many: 32 MB a product


@dataclass(frozen=True)
class Pairs:
    """P pairs of images by their indices, int64 [P] each: `first` as it is, or mirrored, may be `second`."""

    first: np.ndarray
    second: np.ndarray
    mirrored: np.ndarray  # bool [P]


def small_grey(image: Image.Image, side: int = SIDE) -> np.ndarray:
    """An image as uint8 [side, side], stretched, antialiased."""
    return np.asarray(image.convert("L").resize((side, side), Image.Resampling.BILINEAR))


def candidates(small: np.ndarray) -> Iterator[Pairs]:
    """Pairs of images `small` uint8 [N, SIDE, SIDE] that may show the same, some of them twice; a piece at a time."""
    upright = descriptors(small)
    crops = [descriptors(small, WINDOW, place) for place in PLACES]
    turned = descriptors(small[:, :, ::-1])
    for start in range(0, len(small), BLOCK):
        rows = slice(start, start + BLOCK)
        for mirrored, queries in ((False, (upright[rows], *(crop[rows] for crop in crops))), (True, (turned[rows],))):
            first, second = nearest(queries, upright, start)
            yield Pairs(first, second, np.full(len(first), mirrored))


def descriptors(small: np.ndarray, window: float = 1.0, place: tuple[int, int] = (0, 0)) -> np.ndarray:
    """Weighted DCT coefficients of length 1, float32 [N, D]; of a `window` that is so large, at a side or corner
    (`place`: -1, 0, 1 down and across)."""
    u, v = np.mgrid[:FREQUENCIES, :FREQUENCIES]
    kept = (u + v > 0) & (u + v < FREQUENCIES)
    weight = np.hypot(u, v)[kept].astype(np.float32)  # natural images have amplitudes of about 1 / frequency
    down, across = (_window(window, at) for at in place)
    found = np.empty((len(small), len(weight)), dtype=np.float32)
    for start in range(0, len(small), BLOCK):
        part = small[start : start + BLOCK].astype(np.float32)
        part = part if window == 1 else down @ part @ across.T
        spectrum = dctn(part, axes=(1, 2), norm="ortho")[:, :FREQUENCIES, :FREQUENCIES]
        found[start : start + BLOCK] = spectrum[:, kept] * weight
    found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6)
    return found


def _window(window: float, at: int) -> np.ndarray:
    """What resamples SIDE numbers from a `window` of them: float32 [SIDE, SIDE]."""
    centre = (SIDE - 1) / 2
    places = (np.arange(SIDE) - centre) * window + centre + at * (1 - window) * centre
    weights: np.ndarray = np.clip(1 - np.abs(places[:, None] - np.arange(SIDE)), 0, 1).astype(np.float32)
    return weights


def nearest(
    queries: tuple[np.ndarray, ...], known: np.ndarray, start: int, least: float = LEAST
) -> tuple[np.ndarray, np.ndarray]:
    """For images from `start` on, the NEAREST of all whose cosine with one of the `queries` is `least` or more: indices
    of both, int64 [P] each, a first image's together and the most alike before."""
    count = len(queries[0])
    best = np.full((count, NEAREST), -2.0, dtype=np.float32)
    where = np.zeros((count, NEAREST), dtype=np.int64)
    for left in range(0, len(known), WIDE):
        part = known[left : left + WIDE].T
        cosine = queries[0] @ part
        for query in queries[1:]:
            np.maximum(cosine, query @ part, out=cosine)
        own = np.arange(count)
        own = own[(own + start >= left) & (own + start < left + part.shape[1])]
        cosine[own, own + start - left] = -2
        better = cosine > np.maximum(best[:, -1:], least)
        if better.sum() > CROWDED * NEAREST * count and part.shape[1] > NEAREST:
            better &= cosine >= np.partition(cosine, -NEAREST, axis=1)[:, -NEAREST, None]
        rows, columns = np.nonzero(better)
        _keep_nearest(best, where, rows, columns + left, cosine[rows, columns])
    rows, ranks = np.nonzero(best >= least)
    return rows + start, where[rows, ranks]


def _keep_nearest(
    best: np.ndarray, where: np.ndarray, rows: np.ndarray, columns: np.ndarray, cosine: np.ndarray
) -> None:
    """Put what was found into the sorted lists of the nearest, in place."""
    order = np.lexsort((-cosine, rows))
    rows, columns, cosine = rows[order], columns[order], cosine[order]
    ends = np.flatnonzero(np.diff(rows, prepend=-1))
    rank = np.arange(len(rows)) - np.repeat(ends, np.diff(ends, append=len(rows)))
    kept = rank < NEAREST
    new = np.full_like(best, -2.0)
    new[rows[kept], rank[kept]] = cosine[kept]
    place = np.zeros_like(where)
    place[rows[kept], rank[kept]] = columns[kept]
    both, places = np.concatenate([best, new], axis=1), np.concatenate([where, place], axis=1)
    order = np.argsort(-both, axis=1, kind="stable")[:, :NEAREST]
    best[:] = np.take_along_axis(both, order, axis=1)
    where[:] = np.take_along_axis(places, order, axis=1)
