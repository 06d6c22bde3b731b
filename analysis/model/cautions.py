"""What may be wrong with a comparison: a line for each thing that its reader should know. Reads runs, no files."""

import json
from pathlib import Path

import pandas as pd

from analysis.model.factors import FACTORS
from analysis.model.table import distinct, row_keys
from analysis.read.run_folder import class_counts
from analysis.statistics.comparisons import Comparisons
from training.provenance.code_version import first_alike

MIXED = {
    "code_version": "versions of the training code",
    "device": "kinds of device",
    "precision": "precisions",
    "data_fingerprint": "data sets (fingerprints)",
    "torch": "versions of torch",
}
NO_RESULT = ("failed", "diverged", "pruned", "unfinished", "unreadable")
EDGE_LEVELS = 3  # of a numeric setting, from which on its range has an inside
CARRIED_POINTS = 5.0  # that the average falls without its best class


def cautions(runs: pd.DataFrame, comparisons: Comparisons) -> list[str]:
    """All that is to be said of these runs."""
    done = distinct(runs)
    done = done[done["status"] == "done"]
    found = [
        *mixed(done),
        *unfinished(runs),
        *overlap(done),
        *twins(done, comparisons),
        *two_labels(done),
        *single_valued(done),
        *folded(done),
    ]
    return [*found, *edges(done, comparisons), *carried(done, comparisons)]


def mixed(done: pd.DataFrame) -> list[str]:
    """What should be one in a comparison and is not."""
    lines = []
    for name, what in MIXED.items():
        values = done[name]
        if name == "code_version":  # versions that are known to give the same results count as one
            values = values.map(first_alike, na_action="ignore")
        counts = values.value_counts()
        if len(counts) > 1:
            each = ", ".join(f"{value} ({count} runs)" for value, count in counts.items())
            lines.append(f"{len(counts)} {what} are mixed here: {each}")
    return lines


def unfinished(runs: pd.DataFrame) -> list[str]:
    """Runs that are no known result."""
    single = distinct(runs)
    counts = single["status"].value_counts()
    some = [f"{counts[name]} {name}" for name in NO_RESULT if name in counts]
    known = single[single["status"] == "done"][["val_acc", "test_acc"]].notna().all(axis=1)
    if known.any() and not known.all():
        some.append(f"{int((~known).sum())} done without a val or test accuracy")
    return [f"not in the means: {', '.join(some)}"] if some else []


def overlap(done: pd.DataFrame) -> list[str]:
    """Images that are in two splits, as the runs found by their content."""
    lines = []
    for name, where in (("shared_test", "test"), ("shared_val", "val")):
        most = done[name].max()
        if pd.notna(most) and most > 0:
            lines.append(f"{int(most)} of the {where} images are in train too: {where} accuracy is biased upwards")
    return lines


def twins(done: pd.DataFrame, comparisons: Comparisons) -> list[str]:
    """Test accuracy with and without the images that have a copy in train: of the reference, and where the others move
    most."""
    known = done[done["test_without_twins"].notna()] if "test_without_twins" in done else done[:0]
    if known.empty:
        return []
    most, n = int(known["test_twins"].max()), int(known["n_test"].max())
    rows = known.groupby(row_keys(known), sort=False)[["test_acc", "test_without_twins"]].mean()
    key = comparisons.reference if comparisons.reference in rows.index else rows.index[0]
    whose = "the reference row" if key == comparisons.reference else "the first such row"
    with_them, without = rows["test_acc"].at[key], rows["test_without_twins"].at[key]
    line = (
        f"{most} of {n} test images have a copy in train: {whose} has {without:.2f} % without them, {with_them:.2f} %"
    )
    gains = rows["test_acc"] - rows["test_without_twins"]
    others = f"; rows gain {gains.min():+.2f} to {gains.max():+.2f} points by them" if len(rows) > 1 else ""
    return [f"{line} with them{others} (column test_without_twins)"]


def single_valued(done: pd.DataFrame) -> list[str]:
    """Images that came out in one colour, in which nothing can be seen."""
    most = done["single_valued"].max() if "single_valued" in done else None
    if pd.isna(most) or not most:
        return []
    blank = done["blank_on_white"].max()
    why = f", {int(blank)} of them white on transparency, laid on white" if pd.notna(blank) and blank else ""
    return [f"{int(most)} of the images are of one single colour as the networks see them{why}: record.json names them"]


def two_labels(done: pd.DataFrame) -> list[str]:
    """Files that are there under two labels, as the runs found by their content."""
    places = {"train": "in train", "val": "of val, with train or within", "test": "of test, with train or within"}
    counts = {split: done[f"two_labels_{split}"].max() for split in places}
    some = [f"{int(count)} {places[split]}" for split, count in counts.items() if pd.notna(count) and count > 0]
    if not some:
        return []
    first = next(iter(done["two_labels_first"].dropna()), "")
    example = f" (the first: {first})" if first else ""
    return [f"the same files have two labels, of which at least one is wrong: {', '.join(some)}{example}"]


def folded(done: pd.DataFrame) -> list[str]:
    """What replicates of a cross-validation are, and whether they can be compared with the others."""
    counts = sorted(done["folds"].dropna().unique())
    if not counts:
        return []
    lines = []
    kinds = [f"{count} folds" for count in counts] + ["no folds"] * bool(done["folds"].isna().any())
    if len(kinds) > 1:
        lines.append(f"rows with {' and with '.join(kinds)} are mixed here: they train on different numbers of images")
    rows = done[done["folds"].notna()]
    partial = [key for key, runs in rows.groupby(row_keys(rows)) if runs["fold"].nunique() < runs["folds"].iloc[0]]
    if partial:
        which = f"{len(partial)} row{'s lack' if len(partial) > 1 else ' lacks'} some of the folds"
        lines.append(f"{which}: the val accuracy there is not that of a whole cross-validation")
    lines.append(
        "replicates are folds: each trained and was validated on other images, so that they differ by the choice of "
        "training images among these with the seed; another collection of images may differ by more"
    )
    return lines


def edges(done: pd.DataFrame, comparisons: Comparisons) -> list[str]:
    """Numeric settings in which the reference row has the least or largest value that was tried."""
    best = done[row_keys(done) == comparisons.reference]
    lines = []
    for name in FACTORS:
        if best.empty or not pd.api.types.is_numeric_dtype(done[name].dtype):
            continue
        tried, value = sorted(done[name].dropna().unique()), best[name].iloc[0]
        if len(tried) >= EDGE_LEVELS and value in (tried[0], tried[-1]):
            end, beyond = ("least", "smaller") if value == tried[0] else ("largest", "larger")
            lines.append(f"the reference row has the {end} {name} that was tried ({value:g}): try {beyond} ones")
    return lines


def carried(done: pd.DataFrame, comparisons: Comparisons) -> list[str]:
    """A class that carries the accuracy of the reference row: without its images accuracy would be much lower. Where it
    is not known how many these are, large classes together. Means over the row's runs, as far as they have the same
    classes and as many test images of each."""
    best = done[row_keys(done) == comparisons.reference]
    by_run, accuracies, counts = list[dict[str, float]](), list[float](), dict[str, int]()
    for text, accuracy, folder in zip(best["test_per_class"], best["test_acc"], best["folder"], strict=True):
        percent = _by_class(text)
        if len(percent) < 3 or pd.isna(accuracy):
            continue
        there = class_counts(Path(str(folder)), list(percent))
        if by_run and (percent.keys() != by_run[0].keys() or there != counts):
            continue
        counts = there
        by_run.append(percent)
        accuracies.append(float(accuracy))
    if not by_run:
        return []
    percent = {name: sum(one[name] for one in by_run) / len(by_run) for name in by_run[0]}
    accuracy, worst = sum(accuracies) / len(accuracies), min(percent, key=percent.__getitem__)
    start = f"{accuracy:.1f} % of the reference's test images are right, but"
    end = f"(worst: {worst}, {percent[worst]:.1f} %)"
    if not counts:
        mean = sum(percent.values()) / len(percent)
        if accuracy - mean <= CARRIED_POINTS:
            return []
        return [f"large classes carry the average: {start} {mean:.1f} % on average over the classes {end}"]
    n, right = sum(counts.values()), {name: counts[name] * percent[name] for name in percent}
    total = sum(right.values())
    without = {name: (total - right[name]) / (n - counts[name]) for name in percent if counts[name] < n}
    top = min(without, key=without.__getitem__)
    if accuracy - without[top] <= CARRIED_POINTS:
        return []
    share = 100 * counts[top] / n
    return [f"class {top} carries the average: {start} {without[top]:.1f} % without its {share:.0f} % {end}"]


def _by_class(text: object) -> dict[str, float]:
    """Accuracies by class from a record, in per cent; none where they can't be read."""
    try:
        return {str(name): float(value) for name, value in json.loads(str(text)).items() if value is not None}
    except (ValueError, AttributeError, TypeError):
        return {}
