"""What lies in the files that wandb writes offline, by wandb's own message types."""

import json
import struct
from pathlib import Path
from typing import Any

BLOCK, HEADER = 32768, 7  # LevelDB's log format, after 7 bytes of wandb's own


def messages(file: Path) -> list[bytes]:
    """The messages in a .wandb file, as they were written."""
    content, at, found, part = file.read_bytes(), 7, [], b""
    assert content[:4] == b":W&B"
    while at + HEADER <= len(content):
        left = BLOCK - at % BLOCK
        if left < HEADER:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + HEADER])
        part += content[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind in (1, 4):  # whole, or the last piece
            found.append(part)
            part = b""
    return found


def wandb_run(file: Path) -> dict[str, Any]:
    """The run in a .wandb file: id, name, group, config, summary, exit code, and its rows in the order of time."""
    from wandb.proto import wandb_internal_pb2

    run: dict[str, Any] = {"rows": [], "summary": {}, "config": {}}
    for message in messages(file):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(message)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run |= {"id": record.run.run_id, "name": record.run.display_name, "group": record.run.run_group}
            run["config"] |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
        elif kind == "config":
            run["config"] |= {item.key: json.loads(item.value_json) for item in record.config.update}
        elif kind == "history":
            items = record.history.item
            run["rows"].append({item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items})
        elif kind == "summary":
            items = record.summary.update
            run["summary"] |= {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}
        elif kind == "exit":
            run["exit"] = record.exit.exit_code
    return run


def wandb_runs(root: Path) -> list[dict[str, Any]]:
    """All runs below a folder, the earliest first."""
    return [wandb_run(file) for file in sorted(root.rglob("offline-run-*/*.wandb"))]
