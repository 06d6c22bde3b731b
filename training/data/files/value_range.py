"""Which values of deep images are black and white: grey of 16 and 32 bits, and floats. Decided once for a data set.

Neither the mode of a file nor one image alone says it: 12-bit cameras and microscopes write 16-bit files, CT numbers
are negative, floats come as 0..1 and as 0..255. So the range follows from the bit depth and the values of all deep
images of a data set, leaving out a few hot pixels. 8-bit images are always 0..255. What was read rightly before there
was such a rule (EARLIER) keeps its pixels to the bit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

Range = tuple[float, float]  # what becomes 0, and what becomes 255
Ranges = Mapping[str, Range]  # by kind: integer, float; a kind that is missing is read as before (EARLIER)
INTEGER, FLOAT = "integer", "float"
EARLIER: Ranges = {}  # integers as 0..65535; floats as 0..1, or as 0..255 where an image goes beyond 1
WHOLE_16: Range = (0.0, 65535.0)
CEILINGS = tuple(2.0**bits - 1 for bits in (8, 10, 12, 14, 16, 18, 20, 24, 28, 32))
BEYOND = 1.02  # times a ceiling: overshoot of a resize or a filter, not another bit depth
BEYOND_ONE = 1.1
UNDERSHOOT = 0.05  # of the largest value, below 0
HOT = 200  # one of so many pixels may be hot or dead, where a gap parts it from the others
MOST = 1 << 22  # pixels of an image that are looked at for that


@dataclass(frozen=True)
class Values:
    """Of one deep image: its mode, the values without hot pixels (low, high), all finite ones (least, most), and
    `top`, the largest as the earlier reading saw it (infinity among them)."""

    mode: str
    low: float
    high: float
    least: float
    most: float
    top: float

    @property
    def kind(self) -> str:
        """integer or float."""
        return FLOAT if self.mode == "F" else INTEGER

    def to_json(self) -> list[Any]:
        """For a cache."""
        return list(astuple(self))


def kind_of(mode: str) -> str | None:
    """Of a Pillow mode: integer, float, or None for 8 bits a channel."""
    return FLOAT if mode == "F" else INTEGER if mode.startswith("I") else None


def measured(mode: str, pixels: np.ndarray) -> Values:
    """What is to be known of a deep image's pixels, an array of any shape."""
    flat = pixels.reshape(-1)
    top = float(np.nan_to_num(flat).max())
    if mode == "F":
        flat = flat[np.isfinite(flat)]
    if not flat.size:
        return Values(mode, 0.0, 0.0, 0.0, 0.0, top)
    least, most = float(flat.min()), float(flat.max())
    low, high = without_hot(flat[:: -(-flat.size // MOST)])
    return Values(mode, low, high, least, most, top)


def without_hot(flat: np.ndarray) -> Range:
    """Least and largest value without a few that lie far from all others: more than twice the others' span."""
    few = max(1, flat.size // HOT)
    if flat.size <= 4 * few:
        return float(flat.min()), float(flat.max())
    parted = np.partition(flat, [few, flat.size - few - 1]).astype(np.float64)
    bottom, top = np.sort(parted[: few + 1]), np.sort(parted[flat.size - few - 1 :])
    low, high = bottom[-1], top[0]
    if low == high:  # a plain ground with a few dots: they are the picture
        return float(bottom[0]), float(top[-1])
    return 0.0 - _edge(-bottom[::-1], -high), _edge(top, low)  # 0.0 -: no negative zero


def _edge(values: np.ndarray, other_end: float) -> float:
    """The last of ascending `values` before a gap, if there is one."""
    gaps = np.flatnonzero(np.diff(values) > 2 * (values[:-1] - other_end))
    return float(values[gaps[0]] if len(gaps) else values[-1])


def decide(images: Sequence[Values]) -> dict[str, Range]:
    """The range of each kind that is there."""
    found: dict[str, Range] = {}
    for kind in (INTEGER, FLOAT):
        if some := [image for image in images if image.kind == kind]:
            low, high = min(image.low for image in some), max(image.high for image in some)
            found[kind] = _range(kind, low, high)
    return found


def _range(kind: str, low: float, high: float) -> Range:
    unit = kind == FLOAT and high <= BEYOND_ONE
    if low < -UNDERSHOOT * (1 if unit else high) or high < 0:
        return (-1.0, 1.0) if unit and low >= -BEYOND_ONE else (low, max(high, 0.0))
    if unit:
        return 0.0, 1.0
    if kind == FLOAT and high < 16:  # 16 levels of 256 are no picture
        return 0.0, high
    return 0.0, next((one for one in CEILINGS if high <= one * BEYOND), high)


def as_before(image: Values, ranges: Ranges) -> bool:
    """Whether these ranges give the pixels that the earlier reading gave."""
    taken = ranges.get(image.kind)
    if taken is None or (image.top <= 0 and taken[0] == 0):  # black either way
        return True
    if image.kind == INTEGER:
        return taken == WHOLE_16
    return taken == ((0.0, 1.0) if image.top <= 1 else (0.0, 255.0))


def to_8_bit(pixels: np.ndarray, mode: str, ranges: Ranges) -> np.ndarray:
    """uint8 of the same shape: the range linear to 0..255, what lies outside at its ends, NaN as its lower end."""
    kind = kind_of(mode)
    taken = ranges.get(kind or "")
    if kind == INTEGER and taken in (None, WHOLE_16):
        levels = np.clip(pixels, 0, 65535) // 256
    elif taken is None:
        values = np.nan_to_num(pixels)
        levels = np.clip(np.rint(values * (255 if values.max() <= 1 else 1)), 0, 255)
    else:
        low, high = taken
        values = np.nan_to_num(pixels.astype(np.float32 if kind == FLOAT else np.float64), nan=low)
        with np.errstate(over="ignore"):
            levels = np.clip(np.rint((values - low) * (255 / (high - low))), 0, 255)
    eight: np.ndarray = levels.astype(np.uint8)
    return eight


def one_level(image: Values, ranges: Ranges) -> bool:
    """Whether all pixels of a deep image become the same."""
    pixels = np.array([image.least, image.most], dtype=np.float32 if image.kind == FLOAT else np.int64)
    if ranges.get(image.kind) is None and image.kind == FLOAT:
        pixels = np.array([image.least, image.most, image.top], dtype=np.float32)
    return len(np.unique(to_8_bit(pixels, image.mode, ranges)[:2])) == 1


def described(images: Sequence[Values], ranges: Ranges, asked: bool = False) -> list[str]:
    """A line for each kind: what its images hold, and as what that is read."""
    lines = []
    for kind, (low, high) in ranges.items():
        some = [image for image in images if image.kind == kind]
        if not some:
            continue
        found = min(image.low for image in some), max(image.high for image in some)
        whole = min(image.least for image in some), max(image.most for image in some)
        few = "" if whole == found else f" (a few pixels {_number(whole[0])}..{_number(whole[1])})"
        bits = f" ({round(np.log2(high + 1))} bit)" if low == 0 and high in CEILINGS else ""
        why = " (data.value_range)" if asked else bits
        line = f"{_what(some)} hold {_number(found[0])}..{_number(found[1])}{few}: "
        line += f"read as {_number(low)}..{_number(high)}{why}"
        if (found[1] - found[0]) * 16 < high - low and found[1] > found[0]:
            line += (
                f"; nearly one colour: data.value_range=[{_number(found[0])}, {_number(found[1])}] would use all levels"
            )
        lines.append(line)
    return lines


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.6g}"


def _what(images: Sequence[Values]) -> str:
    kinds = sorted({"float" if image.mode == "F" else "32" if image.mode == "I" else "16" for image in images})
    return "float images" if kinds == ["float"] else f"{' and '.join(kinds)}-bit grey images"


def words(ranges: Ranges) -> str:
    """The same for the documentation of an exported file; empty where there is nothing to say."""
    return "; ".join(
        f"{'grey of 16 and 32 bits' if kind == INTEGER else 'floats'}: {_number(low)}..{_number(high)} read as 0..255"
        for kind, (low, high) in ranges.items()
    )


def from_json(content: Any) -> Ranges:
    """Ranges as a record or a weights file has them. Raises TypeError or ValueError."""
    return {str(kind): (float(low), float(high)) for kind, (low, high) in dict(content or {}).items()}
