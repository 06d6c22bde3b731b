"""The sets of images that benchmarks train on: class folders below train/, val/ and test/.

As many photographs as a benchmark asks for; and sets that are made of real photographs and of scikit-learn's digits.
"""

import io
import random
import shutil
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter, ImageOps
from sklearn.datasets import load_digits

from benchmarks.measure import ROOT

TRASHNET = ROOT.parent / "shared" / "data" / "trashnet"
SPLITS = ("train", "val", "test")


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


def once(folder: Path, write: Callable[[Path], object]) -> Path:
    """`folder`, written unless it is there; whole or not at all."""
    if not folder.exists():
        part = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        write(part)
        part.rename(folder)
    return folder


def digits(folder: Path, train: int = 60, val: int = 15, test: int = 40, of: range = range(10)) -> Path:
    """scikit-learn's handwritten digits, 8 x 8 px, so many images of each."""
    data = load_digits()
    for digit in of:
        images = iter(data.images[data.target == digit])
        for split, count in zip(SPLITS, (train, val, test), strict=True):
            place = folder / split / str(digit)
            place.mkdir(parents=True)
            for index, image in enumerate(islice(images, count)):
                pixels = np.rint(image * (255 / 16)).astype(np.uint8)
                Image.fromarray(pixels).save(place / f"{index:03}.png")
    return folder


def materials(root: Path, folder: Path, side: int = 96) -> Path:
    """The middle `side` px of each photograph at its own scale: what the things are made of, and not their shape."""
    for split, name, file, _ in _photographs(root):
        image = Image.open(file).convert("RGB")
        left, top = (image.width - side) // 2, (image.height - side) // 2
        place = folder / split / name
        place.mkdir(parents=True, exist_ok=True)
        image.crop((left, top, left + side, top + side)).save(place / f"{file.stem}.png")
    return folder


def damage(root: Path, folder: Path, side: int = 128) -> Path:
    """The photographs anew, the class not what they show but what was done to them: five kinds of damage, or none."""
    for split, _, file, number in _photographs(root):
        draw = np.random.default_rng([number, SPLITS.index(split)])
        image = ImageOps.fit(Image.open(file).convert("RGB"), (side, side))
        kind = list(DAMAGE)[number % len(DAMAGE)]
        place = folder / split / kind
        place.mkdir(parents=True, exist_ok=True)
        DAMAGE[kind](image, draw).save(place / f"{number:04}.png")
    return folder


def _photographs(root: Path) -> Iterator[tuple[str, str, Path, int]]:
    """Split, class, file and number in its split of each photograph below `root`; neighbours are of unlike classes."""
    for split in SPLITS:
        files = sorted((root / split).glob("*/*"), key=lambda file: (file.name, file.parent.name))
        random.Random(0).shuffle(files)
        for number, file in enumerate(files):
            yield split, file.parent.name, file, number


def _compressed(image: Image.Image, draw: np.random.Generator) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(draw.integers(5, 20)))
    return Image.open(buffer)


def _noisy(image: Image.Image, draw: np.random.Generator) -> Image.Image:
    noise = draw.normal(0, draw.uniform(6, 14), (image.height, image.width, 3))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


def _coarse(image: Image.Image, draw: np.random.Generator) -> Image.Image:
    small = image.width // int(draw.integers(2, 4))
    return image.resize((small, small), Image.Resampling.BOX).resize(image.size, Image.Resampling.NEAREST)


DAMAGE: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {
    "none": lambda image, draw: image,
    "blurred": lambda image, draw: image.filter(ImageFilter.GaussianBlur(float(draw.uniform(0.7, 1.6)))),
    "noisy": _noisy,
    "compressed": _compressed,
    "coarse": _coarse,
    "sharpened": lambda image, draw: image.filter(ImageFilter.UnsharpMask(2, int(draw.integers(80, 200)), 2)),
}
