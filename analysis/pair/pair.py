"""Two runs -> all that is said of them."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from analysis.pair.test_images import TestImages, compare_images
from analysis.read.image_sets import split_key
from analysis.read.run_folder import read
from training.errors import ConfigError
from training.provenance.code_version import first_alike
from training.provenance.differences import Difference, differences, not_recorded
from training.provenance.histories import Parting, partings, results
from training.record import Record
from training.run_folder import CONFIG, RECORD, read_history

FIGURES = ("val_acc", "test_acc", "val_loss", "test_loss", "best_epoch", "epochs_run", "minutes", "params")
CLEAR = 0.05  # of a p value


@dataclass(frozen=True)
class Run:
    """One of the two."""

    letter: str
    folder: Path
    record: Record

    @property
    def label(self) -> str:
        """<slug>-<identity>/seed=<n>, which --reference and other programs take."""
        return f"{self.folder.parent.name}/{self.folder.name}"

    @cached_property
    def history(self) -> list[dict[str, float]]:
        """Its epochs."""
        return read_history(self.folder)

    def figure(self, name: str) -> float | int | None:
        """One of FIGURES."""
        return getattr(self.record, name) if name in ("best_epoch", "epochs_run") else self.record.figure(name)


@dataclass(frozen=True)
class Pair:
    """`images`: None where they can't be compared, for the reason `no_images`."""

    a: Run
    b: Run
    differences: list[Difference]
    partings: list[Parting]
    images: TestImages | None
    no_images: str

    @property
    def runs(self) -> tuple[Run, Run]:
        """Both."""
        return self.a, self.b

    @property
    def shared_epochs(self) -> int:
        """That both have trained."""
        return min(len(self.a.history), len(self.b.history))


def read_pair(first: Path, second: Path) -> Pair:
    """Raises ConfigError for what is no run, or can't be read."""
    a, b = _run("A", first), _run("B", second)
    images, why = None, ""
    try:
        images = compare_images((a.folder, a.record), (b.folder, b.record))
    except ValueError as error:
        why = str(error)
    return Pair(a, b, differences(a.record, b.record), partings(a.history, b.history), images, why)


def _run(letter: str, folder: Path) -> Run:
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder, and no run under outputs/ is called so")
    if not any((folder / name).exists() for name in (RECORD, CONFIG)):
        raise ConfigError(f"{folder}: no run in it (looked for {RECORD} and {CONFIG}); expected a run folder")
    record = read(folder)
    if record.status == "unreadable":
        raise ConfigError(f"{folder}: {record.failure.message}")
    return Run(letter, folder.absolute(), record)


def said(pair: Pair) -> list[str]:
    """What it comes to, in sentences."""
    lines = [*_kin(pair), *_curves(pair), *_images(pair)]
    versions = [run.record.code_version for run in pair.runs]
    if None not in versions and versions[0] != versions[1] and len({first_alike(str(one)) for one in versions}) == 1:
        lines.append(
            f"The two versions of the code, {versions[0]} and {versions[1]}, are known to give the same results."
        )
    for run in pair.runs:
        if unknown := not_recorded(run.record):
            lines.append(f"{run.letter} was trained by a version that doesn't record {', '.join(unknown)}.")
    return lines


def _kin(pair: Pair) -> list[str]:
    a, b = pair.a.record, pair.b.record
    lines = []
    if pair.a.folder.resolve() == pair.b.folder.resolve():
        lines.append("A and B are the same folder.")
    elif a.identity == b.identity and (a.seed, a.fold) != (b.seed, b.fold):
        lines.append(
            "A and B are replicates of one configuration: what differs between them is chance, of the seed"
            + (" and of the fold." if a.fold != b.fold else ".")
        )
    elif a.identity == b.identity:
        lines.append("A and B are the same configuration with the same seed, trained twice.")
    for run in pair.runs:
        if run.record.status != "done":
            lines.append(f"{run.letter} is {run.record.status} after {run.record.epochs_run or 0} epochs.")
    return lines


def _curves(pair: Pair) -> list[str]:
    shared = pair.shared_epochs
    if not shared:
        without = " and ".join(run.letter for run in pair.runs if not run.history)
        return [f"Curves can't be compared: {without} has no history.csv that can be read."]
    lines = []
    if not pair.partings:
        columns = [name for name in results(pair.a.history) if name in results(pair.b.history)]
        lines.append(f"All {shared} shared epochs are the same to the bit ({', '.join(columns)}).")
    train = next((one for one in pair.partings if one.column == "train_loss"), None)
    if train is not None:
        lines.append(
            f"The train loss parts in epoch {train.epoch}: {train.first:.4g} (A), {train.second:.4g} (B), "
            f"{train.second - train.first:+.3g}; by {train.largest:.3g} at most in the {shared} shared epochs."
        )
    elif pair.partings:
        lines.append(f"The train loss is the same to the bit in all {shared} shared epochs.")
    if split_key(pair.a.record, "val") != split_key(pair.b.record, "val"):
        lines.append("The val images are not the same, so val curves differ for that reason too.")
    return lines


def _images(pair: Pair) -> list[str]:
    found = pair.images
    if found is None:
        return [f"Test images can't be compared: {pair.no_images}."]
    low, high = found.interval
    lines = [
        f"Of {found.n} test images both are right on {found.both_right}, A alone on {found.only_a}, B alone on "
        f"{found.only_b}, neither on {found.both_wrong}."
    ]
    if found.only_a + found.only_b == 0:
        lines.append("No image is right in one and wrong in the other, so there is nothing to test.")
        return lines
    better = "A" if found.points > 0 else "B"
    verdict = (
        f"{better} is the better of these two trained models on images like these"
        if found.p < CLEAR
        else "which of these two trained models is better on images like these is not shown"
    )
    lines.append(
        f"A less B: {found.points:+.2f} points of accuracy, 95 % interval {low:+.2f} to {high:+.2f}; exact McNemar p "
        f"{found.p:.2g}: {verdict}. That is about these two models, not about their settings: other seeds give other "
        "models (analysis.report compares configurations over their seeds)."
    )
    return lines
