"""Images/s from files to stored squares: Pillow, as training/data/decoding.py has it, against torchvision.io.

python -m benchmarks.decode [--root ../shared/data/trashnet] [--size 224] [--repeats 3]

Both in as many threads as there are cores, over all files, by turns, from the page cache.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms.v2.functional import resize

from benchmarks.measure import ROOT, show, spread
from training.data.files.decoding import load_image, stored
from training.data.parallel import in_threads
from training.schema.data_config import DataConfig


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=ROOT.parent / "shared" / "data" / "trashnet")
    parser.add_argument("--size", type=int, default=224, help="px")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    files = sorted(path for path in args.root.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    config = DataConfig(size=args.size)
    torch.set_num_threads(1)  # the files are what goes in parallel

    def by_torchvision(file: Path) -> object:
        image = decode_image(file, ImageReadMode.RGB, apply_exif_orientation=True)
        return resize(image, [args.size, args.size], antialias=True).permute(1, 2, 0).contiguous()

    ways: dict[str, Callable[[Path], object]] = {
        "Pillow (ours)": lambda file: stored(load_image(file), config),
        "torchvision.io": by_torchvision,
    }
    found: dict[str, list[float]] = {way: [] for way in ways}
    for repeat in range(args.repeats + 1):  # the first fills the page cache
        for way in list(ways)[:: 1 if repeat % 2 == 0 else -1]:
            started = time.perf_counter()
            in_threads(ways[way], files, way)
            found[way].append(len(files) / (time.perf_counter() - started))
    show(
        f"{len(files)} files to {args.size} px",
        ["", "images/s"],
        [[way, spread(all_[1:], ".0f")] for way, all_ in found.items()],
    )


if __name__ == "__main__":
    main()
