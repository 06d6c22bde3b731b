"""What is said of an image beside its pixels: whether it is of one colour, transparent, one of several frames, and how
large its file says."""

from pathlib import Path

from PIL import Image

from training.data.files.decoding import formats

FIRST_IS_ALL = ("MPO", "PSD")  # the first frame is the picture: of PSD all layers together


def one_colour(rgb: Image.Image) -> bool:
    """Whether all pixels of an RGB image are the same. Quick for most that are not."""
    first = rgb.getpixel((0, 0))
    places = ((rgb.width // 2, rgb.height // 2), (rgb.width - 1, rgb.height - 1), (rgb.width // 3, rgb.height // 4))
    if any(rgb.getpixel(place) != first for place in places):
        return False
    return all(low == high for low, high in rgb.getextrema())  # type: ignore[misc]


def is_transparent(image: Image.Image, path: Path | None) -> bool:
    """Whether some pixels of an image (of its file, where there is one) are not wholly opaque."""
    if path is None:
        return _transparent(image)
    try:
        with Image.open(path, formats=formats()) as opened:
            return _transparent(opened)
    except Exception:  # it could be read before, by other means
        return False


def _transparent(image: Image.Image) -> bool:
    if not image.has_transparency_data:
        return False
    image = image.convert("LA") if image.mode == "La" else image
    lowest = image.convert("RGBA").getchannel("A").getextrema()[0]
    return isinstance(lowest, int | float) and lowest < 255


def has_frames(path: Path) -> bool:
    """Whether a file holds several frames or pages, of which the first is read. What a phone's JPEG holds beside its
    picture (MPO: a depth map, a preview) is none."""
    try:
        with path.open("rb") as file:
            if file.read(2) == b"\xff\xd8":  # a JPEG, the most frequent kind, holds one
                return False
        with Image.open(path, formats=formats()) as opened:
            return opened.format not in FIRST_IS_ALL and bool(getattr(opened, "is_animated", False))
    except Exception:
        return False


def header(path: Path) -> tuple[int, int, str] | None:
    """Width, height and mode as the file says; None where that can't be read."""
    try:
        with Image.open(path, formats=formats()) as opened:
            return (*opened.size, opened.mode)
    except Exception:
        return None
