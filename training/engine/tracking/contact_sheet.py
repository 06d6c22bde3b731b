"""A few images of each class in one picture, from images that are decoded already."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from training.data.dataset import Dataset
from training.data.image_store import ImageStore

MOST_CLASSES, COLUMNS, SIDE, LABEL = 24, 8, 64, 136  # rows; images a row; px of an image, and of the name before them
LETTERS = 21  # of a name, that fit


@dataclass(frozen=True)
class Sample:
    """Of some classes: `rows` has for each a few train images, uint8 [n, S, S, 3]."""

    classes: list[int]
    rows: list[np.ndarray]


def sampled(dataset: Dataset, store: ImageStore) -> Sample:
    """At most COLUMNS train images of at most MOST_CLASSES classes, evenly spaced. Raises BadImage (an OSError)."""
    train = dataset.split["train"]
    labels = dataset.labels[train]
    count = len(dataset.classes)
    classes = _spaced(np.arange(count), MOST_CLASSES).tolist()
    chosen = [_spaced(train[labels == label], COLUMNS) for label in classes]
    pixels = store.batch(np.concatenate(chosen))
    rows = np.split(pixels, np.cumsum([len(one) for one in chosen])[:-1])
    return Sample(classes, rows)


def _spaced(values: np.ndarray, most: int) -> np.ndarray:
    places = np.linspace(0, len(values) - 1, min(most, len(values))).astype(np.int64)
    spaced: np.ndarray = values[places]
    return spaced


def values_of(sample: Sample) -> dict[str, Any]:
    """Least and largest value, and mean and standard deviation of each channel, 0 to 255."""
    pixels = np.concatenate([row for row in sample.rows if len(row)])
    flat = pixels.reshape(-1, 3)
    counts = [np.bincount(flat[:, channel], minlength=256) for channel in range(3)]
    levels, total = np.arange(256), len(flat)
    means = [float(one @ levels) / total for one in counts]
    spread = [float((one @ (levels - mean) ** 2) / total) ** 0.5 for one, mean in zip(counts, means, strict=True)]
    return {
        "n": len(pixels),
        "low": int(flat.min()),
        "high": int(flat.max()),
        "mean": [round(one, 1) for one in means],
        "std": [round(one, 1) for one in spread],
    }


def sheet(dataset: Dataset, sample: Sample) -> bytes:
    """A WebP with a row a class: its name, then its images. Raises OSError where Pillow can't write it."""
    page = Image.new("RGB", (LABEL + COLUMNS * SIDE, SIDE * len(sample.rows)), "white")
    draw = ImageDraw.Draw(page)
    for line, (label, images) in enumerate(zip(sample.classes, sample.rows, strict=True)):
        draw.text((4, SIDE * line + SIDE // 2 - 6), short(dataset.classes[label]), fill="black")
        for column, pixels in enumerate(images):
            way = Image.Resampling.NEAREST if len(pixels) < SIDE else Image.Resampling.BILINEAR
            small = Image.fromarray(pixels).resize((SIDE, SIDE), way)
            page.paste(small, (LABEL + SIDE * column, SIDE * line))
    stream = io.BytesIO()
    page.save(stream, "WEBP", quality=80, method=0)
    return stream.getvalue()


def short(name: str) -> str:
    """A class by the letters that Pillow's own font has."""
    text = "".join(letter if 32 <= ord(letter) < 127 else "?" for letter in name)
    return text if len(text) <= LETTERS else f"{text[: LETTERS - 2]}.."
