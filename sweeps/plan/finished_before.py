"""The finished runs of a sweep that new ones of a plan are compared with: read once for all of them."""

import dataclasses
import glob
from pathlib import Path

from training.engine.identity import identity
from training.engine.prepare import Prepared
from training.record import Record, read_record
from training.run_folder import CONFIG


class FinishedBefore:
    """Finished runs by the readable half of their folders' names."""

    def __init__(self) -> None:
        self._known: dict[Path, list[tuple[Path, Record]]] = {}

    def like(self, prepared: Prepared) -> list[tuple[Path, Record]]:
        """Of the same sweep, model, weights, optimizer, learning rate, schedule and replicate as a new run, with their
        folders; none for a run that was begun already."""
        if (prepared.folder / CONFIG).exists():  # the folder alone is Hydra's work, when a run is not part of a sweep
            return []
        prefix = prepared.slug.removesuffix(prepared.identity)
        pattern = prepared.folder.parents[1] / f"{glob.escape(prefix)}*" / glob.escape(prepared.replicate)
        if pattern not in self._known:
            folders = sorted(pattern.parents[1].glob(f"{pattern.parent.name}/{pattern.name}"))
            records = [(folder, read_record(folder)) for folder in folders]
            done = [(folder, one) for folder, one in records if one is not None and one.status == "done"]
            self._known[pattern] = done
        return self._known[pattern]


def on_other_images(prepared: Prepared, finished: FinishedBefore) -> list[tuple[Path, Record]]:
    """The finished runs that differ from a new one only in their images, which have changed since."""
    now = prepared.resolved.fingerprint
    known = {now, *(former.fingerprint for former in prepared.dataset.former)}  # these are told of as left behind
    found = []
    for folder, record in finished.like(prepared):
        then = record.data.fingerprint
        if then is None or then in known:
            continue
        if record.identity == identity(prepared.config, dataclasses.replace(prepared.resolved, fingerprint=then)):
            found.append((folder, record))
    return found
