"""What the table means, in sentences with numbers: noise, what could be seen at all, what val says about test.

Every sentence is one function; each gives "" where its figures can't be had.
"""

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.model.wording import level_texts, plural
from analysis.read.distinguish import short_identities
from analysis.statistics import inference
from analysis.statistics.comparisons import LEAST_IMAGES, Comparisons
from analysis.statistics.next_look import seeds_needed
from analysis.statistics.noise import sampling_sd_points
from analysis.statistics.planning import (
    MOST_SEEDS,
    critical_of_many_seeds,
    detectable_by_simulation,
    detectable_points,
    images_needed,
    reference_image_variance,
)
from analysis.statistics.results import RowResults
from analysis.statistics.selection import selection_bias_points
from analysis.statistics.spread import largest_share, rms_interval_points
from training.console.program import called

WIDEST_SD_POINTS = 50.0  # that a standard deviation of percentages can truly have
UNNAMED = ("model", "optimizer", "scheduler")  # settings of which the value alone says what it is
SAME_POINTS = 0.5  # by which standard deviations differ that are told as one
VISIBLE_POINTS = 0.05  # what a number with one decimal shows


@dataclass(frozen=True)
class ComparedRows:
    """What the sentences are about: rows by key, what they are called, and the images they were selected on."""

    results: Mapping[str, RowResults]
    comparisons: Comparisons
    labels: Mapping[str, str]
    n_val: int
    epoch_gains_points: Sequence[float] = ()  # of the done runs, see run_folder.epoch_gain

    @property
    def n_test(self) -> int:
        """Test images."""
        return max(row.n_test for row in self.results.values())


def sentences(rows: ComparedRows) -> list[str]:
    """All that can be said."""
    if not rows.results:
        return []
    every = [too_few_images, scope_of_claims, noise_floor, detectable_difference, val_and_test]
    every += [selection_bias_of_epoch, selection_bias_of_row, how_to_resolve_a_tie]
    return [text for text in (one(rows) for one in every) if text]


def labels(settings: pd.DataFrame) -> dict[str, str]:
    """What tells each row from the others, in a few words: `resnet50 lr=0.0001`. `settings`: factors.settings()."""

    def words(name: str) -> list[str]:
        values = level_texts(settings[name].tolist())
        return values if name in UNNAMED else [f"{name}={text}" for text in values]

    columns = [words(str(name)) for name in settings.columns]
    texts = [" ".join(words) for words in zip(*columns, strict=True)] if columns else [""] * len(settings)
    return {str(key): text or "the only row" for key, text in zip(settings.index, texts, strict=True)}


def found_rates(runs: pd.DataFrame, labels: Mapping[str, str]) -> list[str]:
    """Which learning rates the runs with lr=auto found, a row each. `runs`: each once; none where none asked for it."""
    if "optimizer.lr" not in runs:
        return []
    auto = runs[(runs["optimizer.lr"] == "auto") & runs["lr_resolved"].notna()]
    parts = []
    for key, rates in auto.groupby("identity", sort=False)["lr_resolved"]:
        low, high = f"{rates.min():.2g}", f"{rates.max():.2g}"
        parts.append(f"{low if low == high else f'{low} to {high}'} ({labels[str(key)]})")
    return [f"lr=auto found {', '.join(parts)}."] if parts else []


def best_run(runs: pd.DataFrame, collapsed: Mapping[str, str]) -> list[str]:
    """What to call with the best run by val. `runs`: each once; nothing for one run, and for a published table.
    `collapsed`: rows of which some runs came to nothing, and how many."""
    done = runs[runs["status"] == "done"].sort_values("val_acc", ascending=False, kind="stable")
    if len(done) < 2 or not Path(folder := str(done["folder"].iloc[0])).is_dir():
        return []
    said = collapsed.get(str(done["identity"].iloc[0]))
    but = f" (of its configuration, {said})" if said else ""
    return [
        f"Classify new images with the best run by val{but}: {called('training.predict')} {shlex.quote(folder)} IMAGES"
    ]


def too_few_images(rows: ComparedRows) -> str:
    """That nothing is judged."""
    if rows.n_test >= LEAST_IMAGES or len(rows.results) < 2:
        return ""
    return f"{rows.n_test} test images are too few to tell rows apart: nothing is marked below {LEAST_IMAGES}."


def scope_of_claims(rows: ComparedRows) -> str:
    """What the marks and intervals are about, and at which level marks are judged."""
    level = level_of_marks(rows.comparisons)
    if rows.comparisons.claim == "model":
        if len(rows.results) == 1:
            return "The interval is about this trained model: how far another seed would move it is not known."
        best = sorted(rows.results, key=lambda key: -rows.results[key].mean_val_percent)[:2]
        which = " and ".join(rows.labels[key] for key in best)
        return (
            "About these trained models, not their configurations: each row rests on one run, and another seed may "
            f"turn any difference around. One more seed each of the best two by val ({which}) would show by how much."
            + (f" {level[0].upper()}{level[1:]}." if level else "")
        )
    borrowed = sum(row.seeds == 1 for row in rows.results.values())
    draws = "folds or splits" if any(row.overlap for row in rows.results.values()) else "seeds"
    text = f"About configurations: {draws} and test images both count as draws"
    if is_compared(rows.comparisons):
        text += "; worse and better are corrected over all comparisons with the reference"
        if not rows.comparisons.named:
            text += " and for its having been picked" + ("" if rows.comparisons.given else " by val")
    if level:
        text += f"; {level}"
    if borrowed:
        verb = "borrows" if borrowed == 1 else "borrow"
        text += f"; {borrowed} row{plural(borrowed)} with one seed {verb} the others' spread"
    if any(row.correct is None and not row.own_images for row in rows.results.values()):
        text += "; without predictions, images count as drawn anew for each row, which is too careful"
    return text + "."


def is_compared(comparisons: Comparisons) -> bool:
    """Whether there is a difference of any row from the reference."""
    return not all(math.isnan(one.diff) for one in comparisons.by_row.values())


def level_of_marks(comparisons: Comparisons) -> str:
    """At which level rows are marked, and why, where that isn't the usual one: `this is look 2, so marks are judged at
    1.8 % instead of 5 %`; "" where it is, and where nothing is compared."""
    if comparisons.level >= 1 - inference.LEVEL or not is_compared(comparisons):
        return ""
    criteria = comparisons.criteria
    reasons = [f"this is look {criteria.looks}"] if criteria.looks > 1 else []
    if hidden := criteria.hidden:
        verb = "counts" if hidden == 1 else "count"
        reasons.append(f"{hidden} row{plural(hidden)} hidden by --where {verb} as compared with the reference too")
    usual = 100 * (1 - inference.LEVEL)
    return f"{' and '.join(reasons)}, so marks are judged at {100 * comparisons.level:.2g} % instead of {usual:.0f} %"


def noise_floor(rows: ComparedRows) -> str:
    """How much replicates differ, and what the size of the test set alone explains."""
    sampling = _sampling_of_rows(rows)
    spread, val = rows.comparisons.noise.test, rows.comparisons.noise.val
    if spread is None:
        return f"{rows.n_test} test images alone leave a standard deviation of {sampling} in each accuracy."
    replicated = {key: row.test_percent for key, row in rows.results.items() if row.seeds > 1}
    low, high = np.minimum(rms_interval_points(list(replicated.values()), 100 / rows.n_test), WIDEST_SD_POINTS)
    text = (
        f"Noise floor: runs of one configuration have a standard deviation of {spread.sd_points:.2f} points of test "
        f"accuracy ({low:.2f} to {high:.2f}; {spread.rows} configuration{plural(spread.rows)} with "
        f"{spread.df + spread.rows} runs)"
    )
    if val is not None:
        text += f" and {val.sd_points:.2f} of val accuracy"
    most, share = largest_share(list(replicated.values()))
    if len(replicated) > 2 and share > 0.5:
        text += f"; {100 * share:.0f} % of its square comes from one of them, {rows.labels[list(replicated)[most]]}"
    return f"{text}; drawing other {rows.n_test} test images would alone give {sampling.removesuffix(' points')}."


def _sampling_of_rows(rows: ComparedRows) -> str:
    """The standard deviation that the choice of test images leaves in an accuracy: `1.21 points`, or where it is
    another for each row, as these are differently accurate, `1.10 (resnet50) to 2.92 points (resnet18)`."""
    each = {key: sampling_sd_points([row]) for key, row in rows.results.items()}
    least, most = min(each, key=each.__getitem__), max(each, key=each.__getitem__)
    if each[most] - each[least] < SAME_POINTS:
        return f"{sampling_sd_points(list(rows.results.values())):.2f} points"
    return f"{each[least]:.2f} ({rows.labels[least]}) to {each[most]:.2f} points ({rows.labels[most]})"


def detectable_difference(rows: ComparedRows) -> str:
    """How large a true difference between two rows is seen four times out of five."""
    comparisons = rows.comparisons
    if comparisons.reference is None or not is_compared(comparisons):
        return ""
    image_variance = reference_image_variance(rows.results, comparisons.reference, comparisons.noise)
    critical = critical_of_many_seeds(rows.results, comparisons, comparisons.level)
    limit = detectable_points(image_variance, critical)
    spread = comparisons.noise.test
    if spread is None:
        return (
            f"Between two trained models, these test images show a difference of {limit:.1f} points four times out of "
            "five; smaller ones are often missed."
        )
    parts, least = [], limit
    for seeds in sorted({round(float(np.median([row.seeds for row in rows.results.values()]))), 5}):
        points = detectable_by_simulation(rows.results, comparisons, seeds)
        size = f"{points:.1f}" if points < 100 else "no difference that there can be"
        parts.append(f"{size} with {seeds} seed{plural(seeds)} each")
        least = min(least, points)
    if limit >= VISIBLE_POINTS:
        parts.append(f"{least:.1f} with any number of seeds (the limit of these test images)")
    start = "A difference between two configurations is seen four times out of five if it is as large as"
    return f"{start} {', '.join(parts)}."


def val_and_test(rows: ComparedRows) -> str:
    """Whether a higher val accuracy goes with a higher test accuracy."""
    results = list(rows.results.values())
    correlation = inference.kendall([row.mean_val_percent for row in results], [row.test_proportion for row in results])
    if correlation is None:
        return ""
    tau, (low, high) = correlation
    answer = "val predicts the order on test" if low > 0 else "val does not visibly predict the order on test"
    if high < 0:
        answer = "val and test disagree on the order"
    return f"Over the {len(results)} rows, {answer}: Kendall's tau {tau:.2f} ({low:.2f} to {high:.2f})."


def selection_bias_of_epoch(rows: ComparedRows) -> str:
    """By how much the selected epoch's val accuracy stands above the curve of its neighbours."""
    gains = rows.epoch_gains_points
    if len(gains) < 2:
        return ""
    return (
        f"Selection of the epoch biases val accuracy upwards: it lies {np.mean(gains):.2f} points above the "
        f"curve of its neighbours (mean over {len(gains)} runs)."
    )


def selection_bias_of_row(rows: ComparedRows) -> str:
    """By how much the best row's val accuracy is expected to be luck."""
    results = list(rows.results.values())
    if len(results) < 3:
        return ""
    if len({row.mean_val_percent for row in results}) == 1:
        return ""  # none was selected
    bias = max(0.0, selection_bias_points(results, rows.comparisons.noise))
    return (
        f"Selecting the best of {len(results)} rows on {rows.n_val} val images biases its val accuracy upwards by "
        f"about {bias:.2f} points."
    )


def how_to_resolve_a_tie(rows: ComparedRows) -> str:
    """What it would take to tell the reference from the best row that is not separated from it."""
    comparisons, noise = rows.comparisons, rows.comparisons.noise
    near = [key for key, one in comparisons.by_row.items() if one.mark == "not separated"]
    if comparisons.reference is None or noise.test is None or not near:
        return ""
    other = max(near, key=lambda key: rows.results[key].mean_val_percent)
    first, second = rows.results[comparisons.reference], rows.results[other]
    found = comparisons.by_row[other]
    names = f"{rows.labels[comparisons.reference]} and {rows.labels[other]}"
    half = (found.diff_high - found.diff_low) / 2
    start = f"To sharpen the answer: {names} differ by {abs(found.diff):.1f} ± {half:.1f} points"
    if first.overlap or second.overlap:
        return f"{start}; more folds or splits of the same images add less than they cost, more images tell more."
    wanted = seeds_needed(rows.results, comparisons, other)
    if wanted == "seeds":
        return f"{start}: more than {MOST_SEEDS} seeds of each would be needed to tell so small a difference."
    if wanted != "images":
        counts = (wanted.of_reference, rows.labels[comparisons.reference]), (wanted.of_other, rows.labels[other])
        more = " and ".join(f"{count} more seed{plural(count)} of {name}" for count, name in counts if count)
        keys = list(rows.results)
        name = short_identities(keys)[keys.index(comparisons.reference)] or ""
        again = f"--looks {comparisons.criteria.looks + 1} --reference {shlex.quote(name)}"
        chance = min(5 * round(20 * wanted.power), 95)
        return (
            f"{start}; {more} would tell in about {chance} % of cases if that is the true difference "
            f"(then say {again})."
        )
    critical = critical_of_many_seeds(rows.results, comparisons, comparisons.level_next)
    images = images_needed(first, second, noise, critical)
    if not images:
        return f"{start}: no number of seeds or images would tell so small a difference."
    return f"{start}: seeds alone can't tell that; about {images} test images would be needed, with many seeds."
