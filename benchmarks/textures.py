"""Pictures to learn from where no ImageNet weights are: textures, with colours, scale and turn by chance.

python -m benchmarks.textures FOLDER

Sixteen classes below train/, val/ and test/: a starting point for benchmarks/finetune.py that is made here in minutes
(as with the fractals of Kataoka et al. 2020, arXiv 2101.08515).
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import zoom

SIDE = 112  # px
COUNTS = {"train": 150, "val": 20, "test": 20}  # of a class
Field = np.ndarray  # float [SIDE, SIDE]
Rng = np.random.Generator


def cells(draw: Rng, x: Field, y: Field) -> tuple[Field, Field]:
    """Distances to the nearest and the next of some points, in units of their usual distance."""
    points = draw.uniform(-1.2, 1.2, (int(draw.integers(15, 60)), 2))
    apart = np.hypot(x[..., None] - points[:, 0], y[..., None] - points[:, 1]) * len(points) ** 0.5
    nearest = np.partition(apart, 1, axis=-1)
    return nearest[..., 0], nearest[..., 1]


def clouds(draw: Rng, _x: Field, _y: Field) -> Field:
    """Noise in octaves."""
    octaves = [zoom(draw.random((2**k, 2**k)), SIDE / 2**k, order=1)[:SIDE, :SIDE] / 2**k for k in range(2, 6)]
    return np.sum(octaves, axis=0) * 2


def leaves(round_ones: bool) -> Callable[[Rng, Field, Field], Field]:
    """Discs or boxes that cover each other, each of one shade."""

    def paint(draw: Rng, x: Field, y: Field) -> Field:
        found = np.full_like(x, draw.random())
        for _ in range(int(draw.integers(25, 60))):
            (u, v), size, shade = draw.uniform(-1.2, 1.2, 2), draw.uniform(0.08, 0.4), draw.random()
            turn = draw.uniform(0, np.pi)
            a, b = (x - u) * np.cos(turn) + (y - v) * np.sin(turn), (y - v) * np.cos(turn) - (x - u) * np.sin(turn)
            found[np.hypot(a, b) < size if round_ones else np.maximum(np.abs(a), np.abs(b) * 1.7) < size] = shade
        return found

    return paint


def lines(draw: Rng, x: Field, y: Field) -> Field:
    """Straight ones, across."""
    found = np.zeros_like(x)
    for _ in range(int(draw.integers(8, 25))):
        turn = draw.uniform(0, np.pi)
        found[np.abs(x * np.cos(turn) + y * np.sin(turn) - draw.uniform(-1, 1)) < draw.uniform(0.01, 0.04)] = 1
    return found


def bricks(draw: Rng, x: Field, y: Field) -> Field:
    """Rows of them, every second one shifted."""
    many = draw.uniform(3, 8)
    row = np.floor(y * many)
    return (((x * many / 2 + row / 2) % 1 > 0.1) & (y * many % 1 > 0.18)).astype(float)


def wave(value: Field) -> Field:
    """Sine, from 0 to 1."""
    return np.sin(value) / 2 + 0.5


def often(draw: Rng) -> float:
    """A frequency."""
    return float(draw.uniform(8, 30))


TEXTURES: dict[str, Callable[[Rng, Field, Field], Field]] = {
    "stripes": lambda draw, x, y: wave(often(draw) * x),
    "waves": lambda draw, x, y: wave(often(draw) * (x + draw.uniform(0.1, 0.3) * np.sin(often(draw) / 2 * y))),
    "checks": lambda draw, x, y: (np.sin((f := often(draw)) * x) * np.sin(f * y) > 0).astype(float),
    "dots": lambda draw, x, y: (
        np.hypot(x * (f := draw.uniform(3, 9)) % 1 - 0.5, y * f % 1 - 0.5) < draw.uniform(0.15, 0.4)
    ).astype(float),
    "rings": lambda draw, x, y: wave(often(draw) * np.hypot(x, y)),
    "spiral": lambda draw, x, y: wave(often(draw) * np.hypot(x, y) + draw.integers(1, 5) * np.arctan2(y, x)),
    "rays": lambda draw, x, y: wave(draw.integers(5, 20) * np.arctan2(y, x)),
    "cells": lambda draw, x, y: np.clip(cells(draw, x, y)[0] * 1.5, 0, 1),
    "cracks": lambda draw, x, y: (np.subtract(*cells(draw, x, y)[::-1]) < draw.uniform(0.08, 0.2)).astype(float),
    "clouds": clouds,
    "grain": lambda draw, x, y: draw.random(x.shape),
    "discs": leaves(True),
    "boxes": leaves(False),
    "lines": lines,
    "bricks": bricks,
    "net": lambda draw, x, y: np.maximum(wave((f := often(draw)) * x), wave(f * y)) ** 4,
}


def picture(name: str, seed: int) -> Image.Image:
    """One of this class."""
    draw = np.random.default_rng([list(TEXTURES).index(name), seed])
    turn, scale = draw.uniform(0, 2 * np.pi), draw.uniform(0.7, 1.4)
    across, down = np.meshgrid(*[np.linspace(-1, 1, SIDE)] * 2)
    x = scale * (across * np.cos(turn) + down * np.sin(turn)) + draw.uniform(-0.3, 0.3)
    y = scale * (down * np.cos(turn) - across * np.sin(turn)) + draw.uniform(-0.3, 0.3)
    colours = draw.uniform(0, 255, (3, 3))
    field = np.clip(TEXTURES[name](draw, x, y), 0, 1)[..., None]
    pixels = colours[0] + (colours[1] - colours[0]) * field
    light = (draw.uniform(-1, 1) * across + draw.uniform(-1, 1) * down)[..., None]
    pixels = (
        pixels
        + draw.uniform(0, 0.3) * light * (colours[2] - pixels)
        + draw.normal(0, draw.uniform(2, 12), pixels.shape)
    )
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def write(folder: Path) -> Path:
    """All of them, as class folders of PNGs."""
    for name in TEXTURES:
        seed = 0
        for split, count in COUNTS.items():
            place = folder / split / name
            place.mkdir(parents=True)
            for _ in range(count):
                picture(name, seed).save(place / f"{seed:03}.png")
                seed += 1
    return folder


if __name__ == "__main__":
    write(Path(sys.argv[1]))
