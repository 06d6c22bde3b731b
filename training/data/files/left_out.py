"""What lies among the images and is not used: as the record has it, and in words."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from training.data.files.image_listing import count_system
from training.data.files.layout import Layout
from training.schema.record_parts import LeftOut

MOST = 50  # names of a kind that a record keeps


def left_out_of(layout: Layout, system: set[str], others: Counter[str], loose: Mapping[str, int]) -> LeftOut:
    """For the record: names and counts, the most frequent first, and reasons."""
    names = dict(sorted(count_system(system).items(), key=lambda item: (-item[1], item[0])))
    endings = dict(sorted(others.items(), key=lambda item: (-item[1], item[0])))
    return LeftOut(
        system=_first(names), files=_first(endings), folders=_first(layout.unused), loose=_first(dict(loose))
    )


def left_out_lines(left: LeftOut, root: "str | Path | None" = None) -> list[str]:
    """A line for each kind of what was left out (of `root`, if it is to be named)."""
    lines = []
    of = f" in {root}" if root is not None else ""
    if left.folders:
        by_reason: dict[str, list[str]] = {}
        for name, why in left.folders.items():
            by_reason.setdefault(str(why), []).append(f"{name}/")
        folders = "; ".join(f"{_few(names)} ({why})" for why, names in by_reason.items())
        lines.append(f"folders not used{of}: {folders}")
    if left.loose:
        images = _few([f"{count} in {'its root' if at == '.' else f'{at}/'}" for at, count in left.loose.items()])
        lines.append(f"images outside of class folders, not used{of}: {images}")
    if left.files:
        kinds = _few([f"{count} {ending or 'without extension'}" for ending, count in left.files.items()], 12)
        lines.append(f"no images, not used{of}: {kinds}")
    if left.system:
        names = _few([f"{count} {name.strip()}" for name, count in left.system.items()], 9)
        lines.append(f"system and hidden files and folders, not used{of}: {names}")
    return lines


def _first(items: Mapping[str, int | str]) -> dict[str, int | str] | None:
    return dict(list(items.items())[:MOST]) or None


def _few(words: list[str], most: int = 5) -> str:
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")
