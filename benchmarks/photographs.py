"""Class folders with as many photographs as a benchmark asks for."""

import random
import shutil
from itertools import cycle, islice
from pathlib import Path


def subset(root: Path, folder: Path, images: int, val: int, test: int) -> None:
    """Copy so many train, val and test images, evenly over the classes; again and again where there are fewer."""
    draw = random.Random(0)
    for split, count in (("train", images), ("val", val), ("test", test)):
        classes = sorted(path for path in (root / split).iterdir() if path.is_dir())
        for number, name in enumerate(classes):
            files = sorted(name.iterdir())
            draw.shuffle(files)
            place = folder / split / name.name
            place.mkdir(parents=True)
            share = count // len(classes) + (number < count % len(classes))
            for copy, file in enumerate(islice(cycle(files), share)):
                shutil.copy(file, place / f"{copy}{file.suffix}")
