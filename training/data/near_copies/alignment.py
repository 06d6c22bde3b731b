"""How alike two small grey pictures are when one is laid onto the other: moved and scaled by Gauss-Newton steps (Lucas
and Kanade 1981), since it may be a crop of the other, and with its grey values, since it may have been brightened."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits  # comes with scikit-learn

from training.device import resolve_threads

STEPS_COARSE, STEPS_FINE = 4, 2
LEAST = 0.85  # correlation after the coarse steps below which there is no closer look
OVERLAP = 0.6  # of the area that has to be in both
SCALES, SHIFT = (0.8, 1.25), 0.13  # at most: of a side, and relative to it
BLUR = 2.0  # px: what is finer is detail
BLUR_CLOSER = 4.0  # the same, of a closer look
WHITE, LEAST_LEFT = 250, 0.1  # a grey level that is taken for white, and the share of the area that has to be darker
PIECE_CLOSER = 8
PIECE = 128  # pairs at once, so that they stay in the processor's cache


@dataclass(frozen=True)
class Likeness:
    """Of P pairs, float32 [P] each: correlation of the grey values, and of the detail, -1 to 1."""

    grey: np.ndarray
    detail: np.ndarray


def likeness(first: np.ndarray, second: np.ndarray) -> Likeness:
    """How alike are P pairs of pictures uint8 [P, S, S] (S even) where the best move lays one onto the other."""
    grey, detail = np.full(len(first), -1, dtype=np.float32), np.full(len(first), -1, dtype=np.float32)

    def compare(start: int) -> None:
        rows = slice(start, start + PIECE)
        one, other = first[rows].astype(np.float32), second[rows].astype(np.float32)
        move = np.tile(np.array([1, 0, 1, 0], dtype=np.float32), (len(one), 1))
        coarse, move = _aligned(_halved(one), _halved(other), move, STEPS_COARSE)
        near = np.flatnonzero(coarse >= LEAST)
        if len(near):
            _, move = _aligned(one[near], other[near], move[near], STEPS_FINE)
            grey[start + near], detail[start + near] = _compared(one[near], other[near], move)

    with ThreadPoolExecutor(resolve_threads("auto")) as pool:
        list(pool.map(compare, range(0, len(first), PIECE)))
    return Likeness(grey, detail)


def closer(first: np.ndarray, second: np.ndarray) -> Likeness:
    """The same of pictures uint8 [P, S, S] of a larger side (a power of 2 from 32 on), step by step from a side of 16:
    detail is then what the small pictures can't show. Where one was brightened until it became white, what is left of
    it counts."""
    grey, detail = np.full(len(first), -1, dtype=np.float32), np.full(len(first), -1, dtype=np.float32)

    def compare(start: int) -> None:
        rows = slice(start, start + PIECE_CLOSER)
        levels = [(first[rows].astype(np.float32), second[rows].astype(np.float32))]
        while levels[-1][0].shape[1] > 16:
            levels.append((_halved(levels[-1][0]), _halved(levels[-1][1])))
        move = np.tile(np.array([1, 0, 1, 0], dtype=np.float32), (len(levels[0][0]), 1))
        for one, other in reversed(levels):
            steps = STEPS_COARSE if one.shape[1] <= 32 else 1  # each level brings it to within a part of its pixels
            _, move = _aligned(one, other, move, steps)
        one, other = levels[0]
        here, fine = _compared(one, other, move, BLUR_CLOSER)
        white = np.flatnonzero(((one > WHITE) | (other > WHITE)).mean((1, 2)) > 0.02)
        if len(white):
            left = _compared(one[white], other[white], move[white], BLUR_CLOSER, whitest=WHITE)
            here[white], fine[white] = np.maximum(here[white], left[0]), np.maximum(fine[white], left[1])
        grey[rows], detail[rows] = here, fine

    with (
        threadpool_limits(1),
        ThreadPoolExecutor(resolve_threads("auto")) as pool,
    ):  # products of 128 px: one thread each
        list(pool.map(compare, range(0, len(first), PIECE_CLOSER)))
    return Likeness(grey, detail)


def _halved(pictures: np.ndarray) -> np.ndarray:
    count, side, _ = pictures.shape
    halved: np.ndarray = pictures.reshape(count, side // 2, 2, side // 2, 2).mean((2, 4))
    return halved


def _laid(pictures: np.ndarray, move: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pictures [P, S, S] moved by [P, 4] (scale and shift across, scale and shift down; shifts relative to S), and 1
    where that shows something of them, else 0."""
    side = pictures.shape[1]
    centre = (side - 1) / 2
    axis = np.arange(side, dtype=np.float32)
    weights, inside = [], []
    for scale, shift in ((move[:, 0], move[:, 1]), (move[:, 2], move[:, 3])):
        places = scale[:, None] * (axis - centre) + shift[:, None] * side + centre
        weights.append(np.clip(1 - np.abs(places[:, :, None] - axis), 0, 1))
        inside.append(((places >= -0.01) & (places <= side - 0.99)).astype(np.float32))
    laid = weights[1] @ pictures @ weights[0].transpose(0, 2, 1)
    return laid, inside[1][:, :, None] * inside[0][:, None, :]


def _products(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    products: np.ndarray = np.einsum("pij,pij->p", one, other)
    return products


def _normed(pictures: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Within the mask of mean 0 and length 1."""
    mean = _products(pictures, mask) / mask.sum((1, 2)).clip(1)
    centred = (pictures - mean[:, None, None]) * mask
    length = np.sqrt(_products(centred, centred) + 1e-6)
    normed: np.ndarray = centred / length[:, None, None]
    return normed


def _aligned(one: np.ndarray, other: np.ndarray, move: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """The best correlation [P] on the way, and the move [P, 4] of `one` that gave it."""
    side = one.shape[1]
    axis = (np.arange(side, dtype=np.float32) - (side - 1) / 2) / side
    best, chosen = np.full(len(one), -2, dtype=np.float32), move
    for step in range(steps + 1):
        laid, mask = _laid(one, move)
        here, there = _normed(laid, mask), _normed(other, mask)
        correlation = np.where(mask.mean((1, 2)) >= OVERLAP, _products(here, there), -1)
        better = correlation > best
        best, chosen = np.where(better, correlation, best), np.where(better[:, None], move, chosen)
        if step == steps:
            break
        across, down = np.zeros_like(here), np.zeros_like(here)
        across[:, :, 1:-1] = (here[:, :, 2:] - here[:, :, :-2]) * (side / 2)
        down[:, 1:-1] = (here[:, 2:] - here[:, :-2]) * (side / 2)
        across, down = across * mask, down * mask
        slopes = np.stack([across * axis, across, down * axis[:, None], down], axis=1).reshape(len(one), 4, -1)
        square = slopes @ slopes.transpose(0, 2, 1)
        damping = 1e-3 * np.trace(square, axis1=1, axis2=2) / 4 + 1e-9
        square += damping[:, None, None] * np.eye(4, dtype=np.float32)
        move = move + np.linalg.solve(square, slopes @ (there - here).reshape(len(one), -1, 1))[:, :, 0]
        move[:, ::2] = move[:, ::2].clip(*SCALES)
        move[:, 1::2] = move[:, 1::2].clip(-SHIFT, SHIFT)
    return best, chosen


def _compared(
    one: np.ndarray, other: np.ndarray, move: np.ndarray, blur: float = BLUR, whitest: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The correlations of grey values and of detail, `one` moved and with the grey values of `other`. `whitest`:
    without what is lighter; -1 where too little is left."""
    laid, mask = _laid(one, move)
    shape = laid.shape
    enough = np.ones(len(one), dtype=bool)
    if whitest is not None:
        mask = mask * (laid <= whitest) * (other <= whitest)
        enough = mask.mean((1, 2)) >= LEAST_LEFT
    flat, goal = (np.where(mask > 0, pictures, -1).reshape(len(one), -1) for pictures in (laid, other))
    toned = np.empty_like(flat)
    order = ((flat + 1) * 200).astype(np.uint16).argsort(1, kind="stable")  # of 16 bits: a radix sort
    np.put_along_axis(toned, order, np.sort(goal, axis=1), axis=1)  # the same histogram
    kept = mask > 0
    mean = (_products(other, mask) / mask.sum((1, 2)).clip(1))[:, None, None]
    there = np.where(kept, other, mean)
    here = np.where(kept, toned.reshape(shape), mean)
    grey = _products(_normed(here, mask), _normed(there, mask))
    inner = _shrunk(mask)
    blurred = _blur(shape[1], blur)
    fine = [_normed(pictures - blurred @ pictures @ blurred.T, inner) for pictures in (here, there)]
    return np.where(enough, grey, -1), np.where(enough, _products(*fine), -1)


def _shrunk(mask: np.ndarray) -> np.ndarray:
    """The mask without its rim of 3 px where there is nothing beyond it."""
    near = np.abs(np.subtract.outer(np.arange(mask.shape[1]), np.arange(mask.shape[1]))) <= 3
    outside = near.astype(np.float32) @ (1 - mask) @ near.astype(np.float32)
    shrunk: np.ndarray = (outside < 0.5).astype(np.float32)
    return shrunk


def _blur(side: int, width: float) -> np.ndarray:
    """What blurs `side` numbers: float32 [side, side]."""
    apart = np.subtract.outer(np.arange(side), np.arange(side)) / width
    weights = np.exp(-(apart**2) / 2)
    blur: np.ndarray = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    return blur
