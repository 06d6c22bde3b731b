"""Twins of images, as they come about: encoded again, resized, cropped, brightened, mirrored."""

import io
from collections.abc import Callable

from PIL import Image, ImageEnhance, ImageOps


def encoded_again(image: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=40)
    return Image.open(stream).convert("RGB")


def half(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.BILINEAR)


def cropped(image: Image.Image, left: float = 0.5, top: float = 0.5) -> Image.Image:
    """Without a tenth of its width and height; `left`, `top`: 0 to 1, the share of that which is cut off there."""
    width, height = image.size
    x, y = round(0.1 * width * left), round(0.1 * height * top)
    return image.crop((x, y, x + round(0.9 * width), y + round(0.9 * height)))


def brightened(image: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(1.3)


KINDS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "encoded again": encoded_again,
    "half": half,
    "cropped": cropped,
    "cropped in a corner": lambda image: cropped(image, 0, 1),
    "brightened": brightened,
    "mirrored": ImageOps.mirror,
}
