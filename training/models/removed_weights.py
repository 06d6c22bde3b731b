"""Weights that sweep.keep_weights removed: what a program that wants them says. Without torch."""

from pathlib import Path

from training.record import Record, read_record
from training.run_folder import BEST


def standing(record: Record, folder: Path) -> tuple[float, float, str]:
    """Sorts done runs from the best by val: accuracy, then loss, then the name, so that the order is always one."""
    accuracy, loss = record.val.acc, record.val.loss
    return -(accuracy or 0.0), loss if loss is not None else float("inf"), f"{folder.parent.name}/{folder.name}"


def removed(folder: Path) -> str | None:
    """The line about the weights of the run in `folder`, where a budget has removed them; else None."""
    if (folder / BEST).is_file() or (kept := (read_record(folder) or Record()).weights_removed) is None:
        return None
    best = best_with_weights(folder.absolute().parents[1])
    hint = f"the best run is {best}" if best is not None else "no other run of the sweep has any"
    return f"{folder}: the weights of this run were removed by sweep.keep_weights={kept}; {hint}"


def best_with_weights(sweep: Path) -> Path | None:
    """The best run of a sweep, by val, that has its weights."""
    found = []
    for file in sweep.glob(f"*/*/{BEST}"):
        record = read_record(file.parent)
        if record is not None and record.status == "done" and not record.is_soup:
            found.append((standing(record, file.parent), file.parent))
    return min(found)[1] if found else None
