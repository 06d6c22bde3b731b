"""What a plan says of the images of its runs: what is seen of them, and which finished runs read them otherwise."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from sweeps.plan.jobs import Job
from training.engine.prepare import Prepared
from training.identity import identity, slug
from training.record import DONE, read_record
from training.run_folder import CONFIG


def data_notices(jobs: Sequence[Job]) -> list[str]:
    """A line for each data set of these jobs, and one for each kind of runs that they leave behind."""
    prepared = [job.prepared for job in jobs if job.prepared is not None]
    datasets = {one.dataset.fingerprint: one.dataset for one in prepared}
    return [*(f"data: {dataset.summary()}" for dataset in datasets.values()), *left_behind(prepared)]


def left_behind(prepared: Iterable[Prepared]) -> list[str]:
    """Finished runs of the same configurations that an earlier version made of the same images, read in another way.

    Their folders have other names, so they would be run anew without a word. Nothing is said where the new run was
    begun already: it was said then.
    """
    counts: Counter[tuple[Path, str]] = Counter()
    for run in prepared:
        if (run.folder / CONFIG).exists():  # the folder alone is Hydra's work, when a run is not part of a sweep
            continue
        for former, folder in former_folders(run):
            record = read_record(folder)
            if record is not None and record.status in DONE:
                counts[folder.parents[1], former] += 1
    return [
        f"{count} finished run{'s' * (count != 1)} in {folder} {'was' if count == 1 else 'were'} made with {why}: "
        f"{'it stays as it is and is' if count == 1 else 'they stay as they are and are'} run anew under "
        f"{'another name' if count == 1 else 'other names'}"
        for (folder, why), count in counts.items()
    ]


def former_folders(run: Prepared) -> list[tuple[str, Path]]:
    """How earlier versions read the images of a run, and the run folder that this gave."""
    found = []
    for former in run.dataset.former:
        resolved = replace(run.resolved, fingerprint=former.fingerprint, drawn=former.drawn)
        name = identity(run.config, resolved)
        found.append((former.why, run.folder.parents[1] / f"{slug(run.config, resolved)}-{name}" / run.replicate))
    return found
