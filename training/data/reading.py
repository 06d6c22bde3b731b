"""How pixels are made of what the images of a data set hold, decided once for all of them, and what stands out."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from training.data.files.value_range import (
    EARLIER,
    FLOAT,
    INTEGER,
    Range,
    Ranges,
    as_before,
    decide,
    described,
    one_level,
)
from training.data.integrity import Look
from training.schema.checks import AUTO

NAMED = 20  # images that a record names, of those that stand out
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading:
    """`ranges`: which values become 0 and 255, by kind; `lines`: that in words; `differs`: what of it earlier versions
    read otherwise, part of the fingerprint then; `one_colour`, `blank`: names of images that come out in one colour,
    the blank ones white because they are white on transparency; `giants`: of those that are reduced; `frames`: of those
    with several frames or pages, of which the first is read."""

    ranges: Ranges = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    differs: dict[str, Any] = field(default_factory=dict)
    one_colour: tuple[str, ...] = ()
    blank: tuple[str, ...] = ()
    giants: tuple[str, ...] = ()
    frames: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """Why the fingerprint is another than earlier versions gave."""
        parts = list(self.lines) * ("value_range" in self.differs)
        if "giants" in self.differs:
            parts.append(f"{len(self.giants)} images of more than 50 megapixels are reduced when they are decoded")
        return "; ".join(parts)

    def tell(self) -> None:
        """Say in the log what should be known before training."""
        for line in self.lines:
            log.log(logging.WARNING if "nearly one colour" in line else logging.INFO, "%s", line)
        if self.one_colour:
            log.warning("%d image(s) come out in one single colour: %s", len(self.one_colour), _few(self.one_colour))
        if self.blank:
            why = "white on transparency, and transparency is laid on white"
            log.warning("%d image(s) come out blank (%s): %s", len(self.blank), why, _few(self.blank))
        if self.giants:
            log.info("%d image(s) of more than 50 megapixels are reduced when decoded", len(self.giants))
        if self.frames:
            what = "file(s) with several frames or pages, of which the first alone is read"
            log.warning("%d %s: %s", len(self.frames), what, _few(self.frames))

    def single_valued(self) -> dict[str, Any]:
        """For the record: how many images are of one colour, how many of these blank on white, and the first names."""
        names = sorted({*self.one_colour, *self.blank})
        return {"n": len(names), "blank_on_white": len(self.blank), "names": names[:NAMED]} if names else {}


READ_AS_EVER = Reading()


def reading_of(names: Sequence[str], looks: Sequence[Look], asked: Any) -> Reading:
    """What follows from all images; `asked`: data.value_range, auto or [lo, hi]."""
    deep = {name: values for name, look in zip(names, looks, strict=True) if (values := look.values) is not None}
    ranges: dict[str, Range] = dict(EARLIER)
    if asked == AUTO:
        ranges = decide(list(deep.values()))
    else:
        given = (float(asked[0]), float(asked[1]))
        ranges = {INTEGER: given, FLOAT: given}
    by_name = list(zip(names, looks, strict=True))
    giants = tuple(name for name, look in by_name if "giant" in look.seen)
    differs: dict[str, Any] = {}
    if not all(as_before(values, ranges) for values in deep.values()):
        kinds = {values.kind for values in deep.values()}
        differs["value_range"] = {kind: list(one) for kind, one in ranges.items() if kind in kinds}
    if giants:
        differs["giants"] = "reduced"
    flat = {name for name, values in deep.items() if one_level(values, ranges)}
    return Reading(
        ranges=ranges,
        lines=tuple(described(list(deep.values()), ranges, asked != AUTO)),
        differs=differs,
        one_colour=tuple(name for name, look in by_name if "one" in look.seen or name in flat),
        blank=tuple(name for name, look in by_name if "blank" in look.seen),
        giants=giants,
        frames=tuple(name for name, look in by_name if "frames" in look.seen),
    )


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
