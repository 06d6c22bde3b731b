"""Real photographs and real weights, for tests: what packages bring."""

import shutil
from pathlib import Path

import pytest
import sklearn.datasets
from PIL import Image

from benchmarks import real_weights

CHINA, FLOWER = (Path(sklearn.datasets.__file__).parent / "images" / f"{name}.jpg" for name in ("china", "flower"))
needs_weights = pytest.mark.skipif(not real_weights.available(), reason=real_weights.ABSENT)


def tiles(root: Path, side: int = 96) -> Path:
    """Class folders china/ and flower/ below train/, val/ and test/: pieces of the two photographs, `side` px; each
    split has a row of them to itself."""
    shutil.rmtree(root, ignore_errors=True)
    for photo in (CHINA, FLOWER):
        image = Image.open(photo)
        for row, split in enumerate(("train", "val", "test")):
            place = root / split / photo.stem
            place.mkdir(parents=True)
            for column in range(image.width // side):
                box = (column * side, row * side, (column + 1) * side, (row + 1) * side)
                image.crop(box).save(place / f"{column}.png")
    return root
