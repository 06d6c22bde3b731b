"""How two runs differ, by their records: config, what it stood for, data, code, machine, packages."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from training.config import RunConfig, as_dict
from training.record import Record
from training.schema.json_parts import to_keys

NOT_RECORDED = "not recorded"
NO_SETTINGS = "sweep."  # where runs go
MOST_CLASSES = 10  # named


class Difference(NamedTuple):
    """`part`: config, resolved, data, code, machine or packages. `first` and `second` as text."""

    part: str
    name: str
    first: str
    second: str


def differences(first: Record, second: Record) -> list[Difference]:
    """All of them, in the order of the parts."""
    both = ((config_of(first), config_of(second)), *zip(_facts(first), _facts(second), strict=True))
    parts = ("config", "resolved", "data", "code", "machine", "packages")
    found = [_between(part, *pair) for part, pair in zip(parts, both, strict=True)]
    return [one for part in found for one in part]


def not_recorded(record: Record) -> list[str]:
    """What a record of an earlier version doesn't tell of code, machine and packages."""
    _, _, code, machine, packages = _facts(record)
    known = {**code, **machine, "packages": packages or None}
    return [name for name, value in known.items() if value is None and name not in ("cuda", "cudnn")]


def config_of(record: Record) -> dict[str, Any]:
    """The config under dotted keys. A key that the run's version didn't have is at its default, which never changes."""
    return {
        name: value
        for name, value in {**dict(leaves(as_dict(RunConfig()))), **dict(leaves(record.config or {}))}.items()
        if not name.startswith(NO_SETTINGS)
    }


def leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of nested dicts under its dotted name; lists as they are."""
    for key, value in node.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def packages_of(record: Record) -> dict[str, str]:
    """Name and version of all that was installed; {} where that isn't recorded."""
    pairs = (line.partition("==") for line in (record.versions.packages or "").split())
    return {name: version for name, _, version in pairs}


def _facts(record: Record) -> tuple[dict[str, Any], ...]:
    """What was resolved; data; code; machine; packages. None: not recorded."""
    resolved = {name: value for name, value in to_keys(record.resolved).items() if not name.startswith("device")}
    data = record.data
    about = {
        "fingerprint": data.fingerprint,
        "classes": None if data.classes is None else _classes(data.classes),
        **{f"{split} images": getattr(data.n, split) for split in ("train", "val", "test")},
        "drawn": data.drawn,
        "bad images left out": None if data.skipped is None else len(data.skipped),
        "split folders": data.split_folders,
        "value range": data.value_range,
    }
    code = {"code version": record.code_version, "python": record.versions.python}
    code |= {"torch": record.versions.torch, "torchvision": record.versions.torchvision}
    machine: dict[str, Any] = {"device": record.resolved.device, "device name": record.resolved.device_name}
    machine |= {"threads": record.threads}
    machine |= {name: getattr(record.machine, name) for name in ("system", "processor", "cores", "instructions")}
    machine |= {name: getattr(record.machine, name) for name in ("cuda", "cudnn")}
    return resolved, about, code, machine, packages_of(record)


def _classes(classes: list[Any]) -> str:
    more = f" and {len(classes) - MOST_CLASSES} more" if len(classes) > MOST_CLASSES else ""
    return f"{len(classes)}: {', '.join(map(str, classes[:MOST_CLASSES]))}{more}"


def _between(part: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    if part == "packages" and not (first and second):
        return []  # of one nothing is known, or of both
    absent = {"packages": "not installed", "config": "not there"}.get(part, NOT_RECORDED)
    found = []
    for name in dict.fromkeys([*first, *second]):
        if first.get(name, absent) != second.get(name, absent):
            texts = [_text(one.get(name, absent), part) for one in (first, second)]
            found.append(Difference(part, name, *texts))
    return found


def _text(value: Any, part: str) -> str:
    if value is None:
        return "null" if part == "config" else NOT_RECORDED
    return value if isinstance(value, str) else json.dumps(value)
