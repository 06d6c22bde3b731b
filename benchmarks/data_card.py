"""What the data card costs beside reading the images: python -m benchmarks.data_card [--count 20000] [--side 48]"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from training.data.dataset import open_dataset
from training.data.image_store import ImageStore
from training.engine.tracking.data_card import leave_data_card
from training.schema.data_config import DataConfig

CLASSES = 10


def write_images(root: Path, count: int, side: int) -> None:
    """JPEGs of coloured squares: four fifths for train, a tenth each for val and test."""
    random = np.random.default_rng(0)
    for split, share in (("train", 0.8), ("val", 0.1), ("test", 0.1)):
        for label in range(CLASSES):
            folder = root / split / str(label)
            folder.mkdir(parents=True)
            for index in range(round(count * share / CLASSES)):
                pixels = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).resize((side, side)).save(folder / f"{index}.jpg")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--side", type=int, default=48)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / "data"
        write_images(root, options.count, options.side)
        os.environ["FINEGRID_CACHE"] = str(Path(temporary) / "cache")
        config = DataConfig(_target_="training.sources.folder", root=str(root), size=32)
        used = [time.process_time()]
        dataset = open_dataset(config)
        store = ImageStore(dataset, config)
        used.append(time.process_time())
        leave_data_card(Path(temporary), dataset, config, store)
        used.append(time.process_time())
        leave_data_card(Path(temporary), dataset, config, store)
        used.append(time.process_time())
    reading, card, again = np.diff(used)
    share = 100 * card / reading
    print(
        f"{options.count} images of {options.side} px: {reading:.2f} s of CPU time to read them, {card:.3f} s for the"
    )
    print(f"card ({share:.1f} %), {again:.3f} s for each further run")
    return 0


if __name__ == "__main__":
    sys.exit(main())
