"""Which run folder a user means: a path, or the short identity that the report's table shows. Without torch."""

import os
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from training.console.table import printable
from training.errors import ConfigError
from training.models.removed_weights import standing
from training.record import read_record
from training.run_folder import BEST, OUTPUTS

SHORT = re.compile(r"(?P<identity>[0-9a-f]{4,10})(?P<seed>/seed=\d+(-fold=\d+)?)?")


def named_run(name: str | Path, root: str | Path = OUTPUTS) -> Path:
    """The run folder that `name` means. 52a41: of the configuration in `root` whose identity begins so, the done run
    that is best by val; 52a41/seed=1: that one. outputs/grid/52a41: the same within one sweep; the folder of a
    configuration means the best of its runs, too. Any other name is a path, and given back as it is.

    Raises ConfigError where several configurations begin so.
    """
    path = Path(name)
    if os.path.exists(path):  # noqa: PTH110 (Path's own raises for a name too long)
        runs = list(path.glob("seed=*/")) if os.path.isdir(path) and not (path / BEST).is_file() else []  # noqa: PTH112
        return _best(str(name), runs) if runs else path
    text, sweep = _split(path)
    short = SHORT.fullmatch(text)
    if short is None:
        return path
    found = list(_configurations(sweep or Path(root), short["identity"], depth=1 if sweep else 2))
    names = sorted({folder.name.rpartition("-")[2] for folder in found})
    if len(names) > 1:
        those = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        raise ConfigError(f"{name}: {len(names)} configurations in {sweep or root} begin so ({those}); give more of it")
    wanted = short["seed"] or "/seed=*"
    runs = [run for folder in found for run in folder.glob(f"{wanted[1:]}/")]
    return _best(str(name), runs) if runs else path


def _split(path: Path) -> tuple[str, Path | None]:
    """The short name at the end of a path, with its seed, and the sweep's folder before it; None where none is."""
    parts = path.parts[-2:] if path.name.startswith("seed=") else path.parts[-1:]
    before = path.parents[len(parts) - 1] if len(path.parts) > len(parts) else None
    return "/".join(parts), before


def _configurations(folder: Path, identity: str, depth: int) -> Iterator[Path]:
    for found in sorted(folder.glob(f"{'*/' * (depth - 1)}*-{identity}*/")):
        if found.name.rpartition("-")[2].startswith(identity):
            yield found


def _best(name: str, runs: list[Path]) -> Path:
    """The best of these runs by val, of those with weights where any has some; said on stderr."""
    done = [(run, record) for run in runs if (record := read_record(run)) is not None and record.status == "done"]
    if not done:
        return runs[0]
    done = [one for one in done if (one[0] / BEST).is_file()] or done
    run = min(done, key=lambda one: standing(one[1], one[0]))[0]
    why = f" (the best of {len(done)} runs by val)" if len(done) > 1 else ""
    _say(f"{name}: {run}{why}")
    return run


@cache
def _say(line: str) -> None:
    """Once in a process: a config is read several times."""
    print(printable(line), file=sys.stderr)
