"""Which choice of each config group a run was composed from: augment=standard, experiment=finetune.

A record has the values alone. The choices stand in what Hydra leaves beside it, .hydra/hydra.yaml, under
hydra.runtime.choices; runs without that file (of another launcher, or moved without it) have none.
"""

import re
from collections.abc import Sequence
from pathlib import Path

HYDRA = ".hydra/hydra.yaml"
# Groups of which the outcome is a column already (model, ...), and those that change no result
NOT_SHOWN = ("model", "weights", "optimizer", "scheduler", "sweeps", "tracking")
LINE = re.compile(r"^ {6}([A-Za-z_]\w*): (\S.*)$")


def choices_of(folder: Path) -> dict[str, str]:
    """Group -> choice, of the run in `folder`; {} where its file says nothing."""
    try:
        text = (folder / HYDRA).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return {}
    # Not by a YAML parser: it takes 50 ms for these 200 lines, and a report may be of thousands of runs
    _, _, rest = text.partition("\n    choices:\n")
    found = {}
    for line in rest.splitlines():
        if not line.startswith("      "):
            break
        if (match := LINE.match(line)) and match[1] not in NOT_SHOWN and match[2] != "null":
            found[match[1]] = match[2].strip("'\"")
    return found


def groups_of(choices: Sequence[dict[str, str]]) -> list[str]:
    """The groups of which any run has a choice."""
    return sorted({name for one in choices for name in one})
