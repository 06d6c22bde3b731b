"""The index of a folder with many runs: what was read from them, in one file, so that it is read once.

.runs.npz holds the frame of records.frame(), column by column: the distinct values as JSON and an integer a run; and
for each run folder the sizes and times of its files. A run whose files are as they were is taken from there, the
others are read anew. Losing the file costs time and nothing else.
"""

import contextlib
import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from training.run_folder import CONFIG, HISTORY, RECORD, predictions_file, write_whole

INDEX = ".runs.npz"
VERSION = 9  # of the file's form, and of what records.frame() reads; another is read anew
WORTH = 200  # runs, from which on a file is kept
FILES = (RECORD, CONFIG, HISTORY, predictions_file("test"))
Reader = Callable[[Sequence[Path]], pd.DataFrame]


def through_index(folder: Path, runs: Sequence[Path], read: Reader) -> pd.DataFrame:
    """read(runs), a row a run in their order, with the help of the index in `folder`."""
    if len(runs) < WORTH:
        return with_none(read(runs))
    names = [str(run).removeprefix(f"{folder}/") for run in runs]
    seen = [signature(run) for run in runs]
    known, before = load_index(folder / INDEX)
    fresh = [name for name, sign in zip(names, seen, strict=True) if before.get(name) == sign]
    if len(fresh) == len(names) == len(known):
        frame = known.loc[names]
    else:
        kept = set(fresh)
        stale = [index for index, name in enumerate(names) if name not in kept]
        new = read([runs[index] for index in stale]).set_axis([names[index] for index in stale])
        frame = pd.concat([known.loc[fresh], new] if fresh else [new]).loc[names]
        with contextlib.suppress(OSError):  # a folder of somebody else's: read anew each time
            save_index(folder / INDEX, frame, seen)
    frame = frame.assign(folder=pd.Series([str(run) for run in runs], frame.index, dtype="str")).reset_index(drop=True)
    return with_none(frame)


def with_none(frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` with None for what is missing in columns of mixed values, wherever they have been."""
    mixed = [name for name in frame.columns if pd.api.types.is_object_dtype(frame[name].dtype)]
    return frame.assign(**{name: frame[name].where(frame[name].notna(), None) for name in mixed})


def signature(run: Path) -> str:
    """Size and time of each file that is read."""
    parts = []
    for name in FILES:
        try:
            found = os.stat(f"{run}/{name}")  # noqa: PTH116 (a third of the time of Path.stat, 40,000 times)
            parts.append(f"{found.st_size}.{found.st_mtime_ns}")
        except OSError:
            parts.append("")
    return " ".join(parts)


def save_index(file: Path, frame: pd.DataFrame, signatures: Sequence[str]) -> None:
    """Write the index of `frame`, whose index are the names of the run folders."""
    columns, codes = [], []
    for name in frame.columns:
        column, levels = pd.factorize(frame[name])
        codes.append(column.astype(np.int32))
        columns.append({"name": name, "dtype": str(frame[name].dtype), "levels": list(levels)})
    about = {"version": VERSION, "runs": list(frame.index), "signatures": list(signatures), "columns": columns}
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(about, default=plain).encode(), dtype=np.uint8)
    np.savez_compressed(buffer, about=text, codes=np.array(codes))
    write_whole(file, buffer.getvalue())


def load_index(file: Path) -> tuple[pd.DataFrame, dict[str, str]]:
    """The frame and the signatures in `file`; empty ones where there is none that can be read."""
    try:
        with np.load(file, allow_pickle=False) as content:
            about, codes = json.loads(content["about"].tobytes()), content["codes"]
        if about["version"] != VERSION:
            return pd.DataFrame(), {}
        columns = {
            column["name"]: taken(column["levels"], column["dtype"], row)
            for column, row in zip(about["columns"], codes, strict=True)
        }
        frame = pd.DataFrame(columns).set_axis(about["runs"])
        return frame, dict(zip(about["runs"], about["signatures"], strict=True))
    except Exception:  # not there, cut off, not ours, another version's: whatever it is, it can be made again
        return pd.DataFrame(), {}


def taken(levels: list[Any], dtype: str, codes: np.ndarray) -> "pd.Series[Any]":
    """The column of these distinct values that `codes` name; -1 for a missing one."""
    given: Any = dtype
    column: pd.Series[Any] = pd.Series(levels, dtype=given).reindex(codes).reset_index(drop=True)
    return column.astype(given)


def plain(value: Any) -> Any:
    """A value of numpy's as JSON has it."""
    return value.item() if isinstance(value, np.generic) else str(value)
