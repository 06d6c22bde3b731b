"""Images as the network's input wants them: decoded, put right (EXIF, mode), brought to one size.

Every image passes through here once, whatever it came as; training starts from the stored uint8 squares.
"""

import functools
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from training.config import DataConfig

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
    if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113 (Path's raise for a name too long)
        raise BadImage(f"{path}: not a file")  # a pipe would be waited for
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
