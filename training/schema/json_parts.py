"""Typed parts of a JSON file: read whatever is in it, and write back what isn't known."""

import dataclasses
from collections.abc import Callable, Hashable, Mapping
from functools import cache, partial
from types import UnionType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

Part = TypeVar("Part")
Extra = dict[str, Any]


def from_keys(kind: type[Part], content: Mapping[str, Any]) -> Part:
    """A record, or a part of one such as Scores, from what the file has. What is of another type than it should be goes
    to `extra`."""
    known: dict[str, Any] = {}
    taken = 0
    extra: Extra = {}
    table = _table(cast(Hashable, kind))
    for name, _, take in table:
        if name not in content:
            continue
        taken += 1
        value = content[name]
        found = take(value)
        if found is not None:
            known[name] = found
        elif value is not None:
            extra[name] = value
    if taken < len(content):
        names = {name for name, _, _ in table}
        extra |= {name: value for name, value in content.items() if name not in names}
    return kind(**known, extra=extra)  # type: ignore[call-arg]


def to_keys(part: Any) -> dict[str, Any]:
    """A record or a part of one as the file has it: without what is None or empty."""
    content = dict(part.extra)
    for name, is_part, _ in _table(cast(Hashable, type(part))):
        value = getattr(part, name)
        if is_part:
            value = to_keys(value) or None
        if value is not None:
            content[name] = value
    return content


@cache
def _table(kind: Any) -> list[tuple[str, bool, Callable[[Any], Any]]]:
    """Of each field: its name, whether it is a part, and what takes a value of its type."""
    hints = get_type_hints(kind)
    rows = []
    for entry in dataclasses.fields(kind):
        hint = hints[entry.name]
        wanted = get_args(hint)[0] if isinstance(hint, UnionType) else hint
        is_part = dataclasses.is_dataclass(wanted)
        take = partial(_part, wanted) if is_part else _TAKES[get_origin(wanted) or wanted]
        if entry.name != "extra":
            rows.append((entry.name, is_part, take))
    return rows


def _part(kind: Any, value: Any) -> Any:
    return from_keys(kind, value) if isinstance(value, dict) else None


def as_text(value: Any) -> str | None:
    """As text; None stays None."""
    return value if value is None or isinstance(value, str) else str(value)


def as_number(value: Any) -> float | None:
    """A number, else None; none for a whole one that no float can hold."""
    ok = isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**1023)
    return value if ok else None


def as_whole(value: Any) -> int | None:
    """The value where it is a whole number, else None."""
    number = as_number(value)
    ok = number is not None and number == number // 1 and abs(number) < 2**63
    return int(number) if ok and number is not None else None


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _table_of(value: Any) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None


def _list(value: Any) -> list[Any] | None:
    return value if isinstance(value, list) else None


_TAKES: dict[Any, Callable[[Any], Any]] = {
    str: as_text,
    int: as_whole,
    float: as_number,
    bool: _flag,
    dict: _table_of,
    list: _list,
}
