"""What a plan says of the images of its runs: what is seen of them, and which finished runs of the same settings an
earlier version read or computed otherwise."""

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sweeps.plan.finished_before import FinishedBefore, on_other_images
from sweeps.plan.jobs import Job
from training.config import RunConfig
from training.device import former_precision
from training.engine.identity import ResolvedSettings, identity, slug
from training.engine.prepare import Prepared
from training.engine.tracking.data_card import card_of
from training.record import DONE, read_record
from training.run_folder import CONFIG
from training.schema.data_card import lines

STAY = "they stay as they are and are"
Former = tuple[str, dict[str, Any]]  # what was otherwise, in words, and in which resolved settings
FINETUNE = "experiment=finetune as it was before December 2026 (experiment=finetune_v1 finds them)"
TOO_LARGE = "a head as its library draws it, which is too large for few classes (docs/models.md)"


def data_notices(jobs: Sequence[Job]) -> list[str]:
    """A line for each data set of these jobs, and one for each kind of runs that they leave behind."""
    prepared = [job.prepared for job in jobs if job.prepared is not None]
    found = []
    for one in {each.dataset.fingerprint: each for each in prepared}.values():
        found += [one.dataset.summary(), *lines(card_of(one.dataset, one.config.data))]
    return [*(f"data: {line}" for line in found), *left_behind(prepared)]


def changed_images(prepared: Sequence[Prepared]) -> list[str]:
    """Finished runs of the same configurations whose images have changed since: an image more makes another data set,
    and all runs new."""
    counts: Counter[tuple[Path, str]] = Counter()
    finished = FinishedBefore()
    for run in prepared:
        for folder, record in on_other_images(run, finished):
            then, now = record.data.n, [len(run.dataset.split[name]) for name in ("train", "val", "test")]
            before = [then.train, then.val, then.test]
            sizes = "as many, but not the same" if before == now else f"{_sizes(before)} then, {_sizes(now)} now"
            counts[folder.parents[1], sizes] += 1
    return [
        f"{count} finished run{'s' * (count != 1)} in {folder} {'was' if count == 1 else 'were'} made with the same "
        f"settings before the images changed ({sizes}): {'it stays as it is and is' if count == 1 else STAY} run anew"
        for (folder, sizes), count in counts.items()
    ]


def _sizes(counts: Sequence[int | None]) -> str:
    return "+".join("?" if count is None else str(count) for count in counts)


def left_behind(prepared: Sequence[Prepared]) -> list[str]:
    """Finished runs of the same configurations that an earlier version made of the same images, read in another way or
    in another precision; or whose images have changed.

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
    behind = [
        f"{count} finished run{'s' * (count != 1)} in {folder} {'was' if count == 1 else 'were'} made with {why}: "
        f"{'it stays as it is and is' if count == 1 else STAY} run anew under "
        f"{'another name' if count == 1 else 'other names'}"
        for (folder, why), count in counts.items()
    ]
    return [*behind, *changed_images(prepared)]


def former_folders(run: Prepared) -> list[tuple[str, Path]]:
    """What earlier versions did otherwise with a run (how they read its images, in which precision), and the run
    folder that this gave."""
    readings: list[Former] = [
        (former.why, {"fingerprint": former.fingerprint, "drawn": former.drawn}) for former in run.dataset.former
    ]
    precisions: list[Former] = []
    if found := former_precision(run.config.trainer, run.compute, run.config.data.size):
        former, where = found
        hint = "" if run.resolved.new_head else f" (trainer.precision={former} finds them)"
        why = f"{former}, which trainer.precision=auto is no longer for {where}{hint}"
        precisions = [(why, {"precision": former})]
    heads: list[Former] = [(TOO_LARGE, {"new_head": False})] if run.resolved.new_head else []
    combined = itertools.product(*([("", {}), *each] for each in (readings, precisions, heads)))
    folders = [
        (
            ", and ".join(why for why, _ in parts if why),
            _folder(run.config, run, replace(run.resolved, **_merged(parts))),
        )
        for parts in combined
        if any(why for why, _ in parts)
    ]
    recipe = _former_finetune(run.config)
    return folders if recipe is None else [*folders, (FINETUNE, _folder(recipe, run, run.resolved))]


def _former_finetune(config: RunConfig) -> RunConfig | None:
    """What experiment=finetune gave before (experiment=finetune_v1); None for a config that isn't of it."""
    trainer, augment = config.trainer, config.augment
    given = (trainer.batch_size, trainer.monitor, trainer.tta, trainer.label_smoothing, trainer.ema, augment.trivial)
    if given != (16, "val_loss", "flip", 0.1, 0.98, True):
        return None
    trainer = replace(trainer, batch_size=32, monitor="val_acc", tta="none")
    return replace(config, trainer=trainer, augment=replace(augment, trivial=False))


def _merged(parts: Iterable[Former]) -> dict[str, Any]:
    return {key: value for _, changed in parts for key, value in changed.items()}


def _folder(config: RunConfig, run: Prepared, resolved: ResolvedSettings) -> Path:
    name = f"{slug(config, resolved)}-{identity(config, resolved)}"
    return run.folder.parents[1] / name / run.replicate
