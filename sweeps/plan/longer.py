"""Runs that are asked for more epochs than a finished run has, and otherwise the same: new runs from the start.

The schedule runs over all epochs, so what has been trained with one of 10 is no beginning of one of 20.
"""

import dataclasses
from pathlib import Path

from sweeps.plan.finished_before import FinishedBefore
from training.engine.identity import identity
from training.engine.prepare import Prepared
from training.run_folder import BEST


def longer_than_finished(prepared: Prepared, finished: FinishedBefore) -> str:
    """A line for a new run that differs from a finished one of the same sweep in a larger trainer.epochs alone; empty
    for any other."""
    found = finished_with_fewer(prepared, finished)
    return advice(prepared, *found) if found else ""


def advice(prepared: Prepared, folder: Path, epochs: int) -> str:
    """What is going to happen, and how to begin from what there is."""
    asked = prepared.config.trainer.epochs
    return (
        f"trainer.epochs={asked} is a new run from the start, not {asked - epochs} more epochs for the finished one of "
        f"{epochs}; to begin from its weights: weights=checkpoint 'weights.path=\"{folder / BEST}\"'"
    )


def finished_with_fewer(prepared: Prepared, finished: FinishedBefore) -> tuple[Path, int] | None:
    """The finished run with the most epochs that differs from this one only in having fewer; and their number."""
    config, found = prepared.config, None
    for folder, record in finished.like(prepared):
        epochs = ((record.config or {}).get("trainer") or {}).get("epochs")
        if not isinstance(epochs, int) or not 1 <= epochs < config.trainer.epochs:
            continue
        try:
            shorter = dataclasses.replace(config, trainer=dataclasses.replace(config.trainer, epochs=epochs))
        except Exception:  # a warm-up that is longer than this, say: then it can't be the same
            continue
        same = record.identity == identity(shorter, prepared.resolved)
        if same and (found is None or epochs > found[1]):
            found = (folder, epochs)
    return found
