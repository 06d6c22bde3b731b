"""Images as the network's input wants them: decoded, put right (EXIF, mode), brought to one size, kept in memory.

Every image passes through here once, whatever it came as; training starts from the stored uint8 squares.
"""

import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from training.config import DataConfig
from training.parallel import in_threads

if TYPE_CHECKING:
    from training.dataset import Dataset

# Pillow warns above this many pixels and refuses twice as many, so that a small file can't fill the memory. Its own
# limit is a third of this, which a phone's 200 megapixels exceed.
Image.MAX_IMAGE_PIXELS = 2**28
NO_PICTURES = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}  # recognized but not decoded, or run by Ghostscript
TURNS = {  # EXIF orientation -> what undoes it
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
Triple = tuple[float, float, float]  # red, green, blue
log = logging.getLogger(__name__)


class BadImage(OSError):
    """An image that can't be read. The message is `where: why`."""


@functools.cache
def formats() -> tuple[str, ...]:
    """Names of the file formats that Pillow decodes by itself."""
    Image.init()
    return tuple(name for name in Image.ID if name not in NO_PICTURES)


@functools.cache
def extensions() -> frozenset[str]:
    """Extensions of image files, in lower case and with the dot."""
    known = set(formats())
    return frozenset(ending for ending, name in Image.registered_extensions().items() if name in known)


def load_image(path: Path) -> Image.Image:
    """The first frame of a file, decoded and put right (to_rgb). Raises BadImage with the path."""
    return decode(lambda: _read(path), str(path))


def decode(load: Callable[[], Image.Image], where: str) -> Image.Image:
    """`load()` put right (to_rgb); whatever goes wrong becomes a BadImage that says `where`."""
    try:
        return to_rgb(load())
    except (BadImage, MemoryError):
        raise
    except Exception as error:  # broken files make Pillow raise almost anything, from SyntaxError to struct.error
        raise BadImage(f"{where}: {_reason(error)}") from error


def _read(path: Path) -> Image.Image:
    with Image.open(path, formats=formats()) as image:
        return to_rgb(image)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not an image that Pillow can read"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    text = " ".join(str(error).split())
    return text if isinstance(error, OSError) else f"{type(error).__name__} {text}".strip()


def to_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow image as upright 8-bit RGB without metadata, from its current frame (the first after opening).

    Transparency is laid on white, as on a page (dropping alpha would show whatever colour lies hidden beneath it).
    16-bit grey is divided by 256, not clipped. Floats up to 1 are taken as 0..1, others as 0..255. The result may be
    `image` itself. Raises what Pillow raises for a broken file, and TypeError for what is no Pillow image.
    """
    if not isinstance(image, Image.Image):
        raise TypeError(f"expected a Pillow image, got {type(image).__name__}")
    if type(image) is Image.Image and image.mode == "RGB" and not image.info:
        return image
    if 0 in image.size:
        raise ValueError("the image has no pixels")
    image.load()
    turn = TURNS.get(_orientation(image))
    if image.mode.startswith("I"):  # I;16 in its byte orders, and I, which is what some 16-bit files open as
        image = Image.fromarray((np.clip(np.asarray(image), 0, 65535) // 256).astype(np.uint8))
    elif image.mode == "F":
        values = np.nan_to_num(np.asarray(image))
        scale = 255 if values.max() <= 1 else 1
        image = Image.fromarray(np.clip(np.rint(values * scale), 0, 255).astype(np.uint8))
    elif image.has_transparency_data:
        image = image.convert("LA") if image.mode == "La" else image
        page = Image.new("RGBA", image.size, "white")
        page.alpha_composite(image.convert("RGBA"))
        image = page
    image = image.convert("RGB")
    image = image if turn is None else image.transpose(turn)
    image.info.clear()  # so that a second pass through here doesn't turn it again
    return image


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # broken EXIF says nothing, and the pixels are fine
        return 1


def stored(image: Image.Image, config: DataConfig) -> np.ndarray:
    """An image, put right (to_rgb), at its stored size: uint8 [S, S, 3], S = config.stored px, bilinear, antialiased.

    stretch: the whole image, whatever its shape. crop: its middle square, which is the same as resizing the shorter
    side to S and taking the centre, without ever holding the long side of a panorama.
    """
    image = to_rgb(image)
    width, height = image.size
    side = (config.stored, config.stored)
    if config.resize == "stretch":
        return np.asarray(image.resize(side, Image.Resampling.BILINEAR))
    short = min(width, height)
    left, top = (width - short) / 2, (height - short) / 2
    square = (left, top, left + short, top + short)
    return np.asarray(image.resize(side, Image.Resampling.BILINEAR, box=square))


class ImageStore:
    """The stored images of a data set: decoded when first asked for, then kept if all of them fit config.memory_gb."""

    def __init__(self, dataset: "Dataset", config: DataConfig) -> None:
        count, side = len(dataset.names), config.stored
        self.dataset, self.config = dataset, config
        self._kept = np.zeros(count, dtype=bool)
        self._pixels: np.ndarray | None = None
        if count * side * side * 3 <= config.memory_gb * 1e9:
            self._pixels = np.empty((count, side, side, 3), dtype=np.uint8)  # untouched pages cost nothing
        else:
            log.info("data.memory_gb=%g is too little for %d images: decoding in each epoch", config.memory_gb, count)

    def one(self, index: int) -> np.ndarray:
        """uint8 [S, S, 3]. Raises BadImage (an OSError) with the path if the file has vanished or broken since."""
        if self._pixels is not None and self._kept[index]:
            kept: np.ndarray = self._pixels[index]
            return kept
        image = decode(lambda: self.dataset.load(index), self.dataset.where(index))
        pixels = stored(image, self.config)
        if self._pixels is not None:
            self._pixels[index] = pixels
            self._kept[index] = True
        return pixels

    def batch(self, indices: np.ndarray) -> np.ndarray:
        """Images of a data set by their indices [B]: uint8 [B, S, S, 3], a copy. Raises BadImage as `one` does."""
        if self._pixels is None:
            found = in_threads(self.one, indices.tolist(), "decoding images")
            side = self.config.stored
            return np.stack(found) if found else np.empty((0, side, side, 3), dtype=np.uint8)
        self.fill(indices)
        chosen: np.ndarray = self._pixels[indices]
        return chosen

    def fill(self, indices: np.ndarray, describe: str = "decoding images") -> None:
        """Decode ahead what isn't in memory yet, if it is to be kept there; with a progress bar if it takes long."""
        missing = np.unique(indices[~self._kept[indices]])
        if self._pixels is not None and len(missing):
            in_threads(lambda index: self.one(index) is None, missing.tolist(), describe)

    def mean_std(self, indices: np.ndarray) -> tuple[Triple, Triple]:
        """Mean and standard deviation per channel, on a scale of 0 to 1, over all pixels of the images.

        Exact: counted in whole numbers, so neither order nor threads matter. A channel that never changes has std 0.
        """
        counts = np.zeros((3, 256), dtype=np.int64)
        for start in range(0, len(indices), 4096):
            counts += sum(in_threads(self._levels, indices[start : start + 4096].tolist(), "measuring colours"))
        levels = np.arange(256)
        total = int(counts[0].sum())
        sums, squares = (counts @ levels).tolist(), (counts @ levels**2).tolist()
        mean = [value / total / 255 for value in sums]
        std = [(total * square - value**2) ** 0.5 / total / 255 for value, square in zip(sums, squares, strict=True)]
        return (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])

    def _levels(self, index: int) -> np.ndarray:
        """How often each value occurs in each channel of an image: int64 [3, 256]."""
        pixels = self.one(index).reshape(-1, 3)
        return np.stack([np.bincount(pixels[:, channel], minlength=256) for channel in range(3)])
