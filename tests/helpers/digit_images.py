"""scikit-learn's handwritten digits as a user's own images: class folders of PNGs."""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits


def write_digits(root: Path, digits: range, train: int, val: int, test: int) -> Path:
    """root/{train,val,test}/DIGIT/000.png ..., so many of each of `digits`."""
    data = load_digits()
    for digit in digits:
        images = iter(data.images[data.target == digit])
        for split, count in (("train", train), ("val", val), ("test", test)):
            folder = root / split / str(digit)
            folder.mkdir(parents=True)
            for index in range(count):
                Image.fromarray(np.rint(next(images) * (255 / 16)).astype(np.uint8)).save(folder / f"{index:03}.png")
    return root
