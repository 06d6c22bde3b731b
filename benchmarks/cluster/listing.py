"""How long it takes to look at a sweep of many run folders: status, report, and the plan of the same command.

The folders come from a grid whose runs are over at once (benchmarks/cluster/instant.py). Whole processes, start-up
included; a sweep of one run beside it says what of that is start-up.
"""

import tempfile
from pathlib import Path

from benchmarks.cluster.out import write
from benchmarks.jobs import TINY
from benchmarks.measure import python, show


def seconds(folder: Path, runs: int) -> dict[str, float]:
    """Of each command. Raises CalledProcessError."""
    sweep = ["-m", *TINY, "trainer.epochs=3", f"sweep.root={folder}", f"seed={','.join(map(str, range(runs)))}"]
    made = python("-m", "benchmarks.cluster.instant", *sweep, "hydra/launcher=instant")
    grid = str(folder / "grid")
    return {
        "the sweep itself": made,
        "python -m sweeps.status": python("-m", "sweeps.status", grid),
        "python -m analysis.report, first": python("-m", "analysis.report", grid),
        "python -m analysis.report, again": python("-m", "analysis.report", grid),
        "train.py -m ... sweep.plan=true": python("train.py", *sweep, "sweep.plan=true"),
    }


def measure(counts: list[int], out: Path | None) -> None:
    """One table."""
    found = {}
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            found[count] = seconds(Path(folder), count)
        write(out, {"what": "listing", "runs": count, **found[count]})
    rows = [[what, *(f"{found[count][what]:.1f}" for count in counts)] for what in found[counts[0]]]
    show("Seconds to look at a sweep", ["", *(f"{count} runs" for count in counts)], rows)
