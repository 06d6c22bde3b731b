"""The digits of scikit-learn as a source, which needs no download: data=digits."""

import numpy as np
from PIL import Image

from training.data.sources import Source
from training.schema.checks import need
from training.schema.data_config import DataConfig


def digits(config: DataConfig) -> Source:
    """scikit-learn's 1797 handwritten digits, 8 x 8 grey (Alpaydin and Kaynak 1998, UCI's optical recognition set)."""
    need(not config.name, f"data.name={config.name} is not for data=digits: did you mean data=torchvision?")
    for key in ("root", "csv", "kwargs", "splits"):
        value = getattr(config, key)
        need(not value, f"data.{key}={value} is not for data=digits: did you mean data=folder data.{key}={value}?")
    from sklearn.datasets import load_digits  # takes a second, and only this needs it

    data = load_digits()
    pixels = np.rint(data.images * (255 / 16)).astype(np.uint8)
    names = tuple(f"digit-{index:04}" for index in range(len(pixels)))
    classes = tuple(str(digit) for digit in range(10))
    return Source(classes, names, data.target.astype(np.int64), None, lambda index: Image.fromarray(pixels[index]))
