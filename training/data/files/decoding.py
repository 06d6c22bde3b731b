"""Images as the network's input wants them: decoded, put right (EXIF, mode), brought to one size.

Every image passes through here once, whatever it came as; training starts from the stored uint8 squares.
"""

import functools
import io
import math
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from training.data.files import other_formats
from training.data.files.decode_memory import take
from training.data.files.value_range import EARLIER, FLOAT, Ranges, decide, kind_of, measured, to_8_bit
from training.data.files.without_metadata import only_pixels
from training.schema.data_config import DataConfig

# Pillow warns above this many pixels and refuses twice as many, so that a small file can't fill the memory. Its own
# limit is a third of this, which a phone's 200 megapixels exceed.
Image.MAX_IMAGE_PIXELS = 2**28
GIANT = 50_000_000  # pixels, above which an image is reduced when it is decoded
STRIP = 1 << 20  # pixels of a large image that are converted at once
BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}  # a pixel in memory; the others: 4
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


IN_FILE = "in_file"  # attribute of an image that came from a file: width, height and Pillow's mode there


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
    """The first frame of a file that stands alone, put right (to_rgb): grey of 16 and 32 bits and floats by the range
    of its own values. Raises BadImage with the path."""
    image = read_image(path)
    if kind_of(image.mode) is None:
        return image
    return to_rgb(image, decide([measured(image.mode, np.asarray(image))]))


def read_image(path: Path) -> Image.Image:
    """The first frame of a file, put right (to_rgb) but for the values of deep images: those have a range that only all
    images of a data set tell (value_range.py). Raises BadImage with the path."""
    return checked(lambda: _read(path), str(path))


def decode(load: Callable[[], Image.Image], where: str, ranges: Ranges = EARLIER) -> Image.Image:
    """`load()` put right (to_rgb); whatever goes wrong becomes a BadImage that says `where`."""
    return checked(lambda: to_rgb(load(), ranges), where)


def checked(load: Callable[[], Image.Image], where: str) -> Image.Image:
    """`load()`; whatever goes wrong becomes a BadImage that says `where`."""
    try:
        return load()
    except (BadImage, MemoryError):
        raise
    except Exception as error:  # broken files make Pillow raise almost anything, from SyntaxError to struct.error
        raise BadImage(f"{where}: {_reason(error)}") from error


def _read(path: Path) -> Image.Image:
    if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113 (Path's raise for a name too long)
        raise BadImage(f"{path}: not a file")  # a pipe would be waited for
    try:
        return _opened(path)
    except (OSError, SyntaxError, ValueError, struct.error) as error:
        if isinstance(error, OSError) and error.errno:  # not there, not allowed
            raise
        if isinstance(error, UnidentifiedImageError) and (what := other_formats.described(path)):
            raise BadImage(f"{path}: {what}") from error
        pixels = only_pixels(path)
        if pixels is None:
            raise
        try:
            return _opened(pixels)
        except Exception:
            raise error from None


def in_file(image: Image.Image) -> tuple[int, int, str]:
    """Width, height and mode that an image has in its file, where this module read it; else those that it has."""
    known: tuple[int, int, str] = getattr(image, IN_FILE, (*image.size, image.mode))
    return known


def _opened(file: "Path | io.BytesIO") -> Image.Image:
    with Image.open(file, formats=formats()) as image:
        known = (*image.size, image.mode)
        found = _loaded(image)
    setattr(found, IN_FILE, known)
    return found


def _loaded(image: Image.Image) -> Image.Image:
    """The pixels of an image that has been opened."""
    count = image.width * image.height
    if count > GIANT and image.format == "JPEG":  # MPO too
        image.draft(None, (-(-image.width // reduction(image.size)), -(-image.height // reduction(image.size))))
    count = image.width * image.height  # of the draft
    take(count * BYTES.get(image.mode, 4) + min(count, GIANT) * 4)
    if kind_of(image.mode) is None:
        return to_rgb(image)
    image.load()
    return _upright(image, image)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not an image that Pillow can read"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    text = " ".join(str(error).split())
    return text if isinstance(error, OSError) else f"{type(error).__name__} {text}".strip()


def to_rgb(image: Image.Image, ranges: Ranges = EARLIER) -> Image.Image:
    """Any Pillow image as upright 8-bit RGB without metadata, from its current frame (the first after opening).

    Transparency is laid on white, as on a page (dropping alpha would show whatever colour lies hidden beneath it).
    Grey of 16 and 32 bits and floats become 0..255 by `ranges`; without, integers are divided by 256, floats up to 1
    are taken as 0..1, others as 0..255. Images of more than 50 megapixels are reduced by a whole factor. The result may
    be `image` itself. Raises what Pillow raises for a broken file, and TypeError for what is no Pillow image.
    """
    if not isinstance(image, Image.Image):
        raise TypeError(f"expected a Pillow image, got {type(image).__name__}")
    factor = reduction(image.size)
    if type(image) is Image.Image and image.mode == "RGB" and not image.info and factor == 1:
        return image
    if 0 in image.size:
        raise ValueError("the image has no pixels")
    image.load()
    plain = kind_of(image.mode) is None and not image.has_transparency_data  # converted in one piece, without copies
    if image.width * image.height <= STRIP or (plain and factor == 1):
        return _upright(_flat(image, ranges), image)
    height = max(1, STRIP // image.width // factor) * factor
    if kind_of(image.mode) == FLOAT and FLOAT not in ranges:
        height = image.height  # the earlier reading goes by the largest value of all
    across, down = min(factor, image.width), min(factor, image.height)
    page = Image.new("RGB", (-(-image.width // across), -(-image.height // down)))
    for top in range(0, image.height, height):
        part = _flat(image.crop((0, top, image.width, min(top + height, image.height))), ranges)
        page.paste(part.reduce((across, down)) if factor > 1 else part, (0, top // down))
    return _upright(page, image)


def reduction(size: tuple[int, int]) -> int:
    """By what an image of this size is made smaller when it is decoded: 1 up to 50 megapixels, then what brings it
    below 25."""
    count = size[0] * size[1]
    return 1 if count <= GIANT else math.ceil(math.sqrt(count / (GIANT / 2)))


def _flat(image: Image.Image, ranges: Ranges) -> Image.Image:
    """The same pixels as RGB."""
    if kind_of(image.mode) is not None:
        image = Image.fromarray(to_8_bit(np.asarray(image), image.mode, ranges))
    elif image.has_transparency_data:
        image = image.convert("LA") if image.mode == "La" else image
        page = Image.new("RGBA", image.size, "white")
        page.alpha_composite(image.convert("RGBA"))
        image = page
    return image if image.mode == "RGB" else image.convert("RGB")


def _upright(image: Image.Image, tagged: Image.Image) -> Image.Image:
    """`image` turned as the EXIF data of `tagged` says, and without such data, lest it be turned again."""
    turn = TURNS.get(_orientation(tagged))
    if turn is not None:
        image = _turned(image, turn)
    elif image is tagged:
        image = image.copy()
    image.info.clear()
    return image


def _turned(image: Image.Image, turn: Image.Transpose) -> Image.Image:
    if kind_of(image.mode) is None:
        return image.transpose(turn)
    pixels = np.asarray(image)
    ways = {
        Image.Transpose.FLIP_LEFT_RIGHT: pixels[:, ::-1],
        Image.Transpose.ROTATE_180: pixels[::-1, ::-1],
        Image.Transpose.FLIP_TOP_BOTTOM: pixels[::-1],
        Image.Transpose.TRANSPOSE: pixels.T,
        Image.Transpose.ROTATE_270: np.rot90(pixels, -1),
        Image.Transpose.TRANSVERSE: pixels[::-1, ::-1].T,
        Image.Transpose.ROTATE_90: np.rot90(pixels),
    }
    return Image.fromarray(np.ascontiguousarray(ways[turn]))


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # broken EXIF says nothing, and the pixels are fine
        return 1


def stored(image: Image.Image, config: DataConfig, ranges: Ranges = EARLIER) -> np.ndarray:
    """An image, put right (to_rgb), at its stored size: uint8 [S, S, 3], S = config.stored px, bilinear, antialiased.

    stretch: the whole image, whatever its shape. crop: its middle square, which is the same as resizing the shorter
    side to S and taking the centre, without ever holding the long side of a panorama.
    """
    image = to_rgb(image, ranges)
    width, height = image.size
    side = (config.stored, config.stored)
    if config.resize == "stretch":
        return np.asarray(image.resize(side, Image.Resampling.BILINEAR))
    short = min(width, height)
    left, top = (width - short) / 2, (height - short) / 2
    square = (left, top, left + short, top + short)
    return np.asarray(image.resize(side, Image.Resampling.BILINEAR, box=square))
