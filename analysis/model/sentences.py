"""What the table means, in sentences with numbers: noise, what could be seen at all, what val says about test.

Every sentence is one function; each gives "" where its figures can't be had.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import chi2, norm

from analysis.statistics import inference
from analysis.statistics.judge import Judgement, Row, difference, difference_variance, paired_image_variance
from analysis.statistics.spread import Pooled

BARE = ("model", "optimizer", "scheduler")  # said without the name of the setting
POWER = 0.8
MOST_OTHERS = 300  # rows that are enough for a mean
MOST_SEEDS = 200  # beyond which nobody would run more


@dataclass(frozen=True)
class Table:
    """What the sentences are about: rows by key, what they are called, and the images they were selected on."""

    evidence: Mapping[str, Row]
    judged: Judgement
    labels: Mapping[str, str]
    n_val: int
    epoch_gains: Sequence[float] = ()  # of the done runs, see run_folder.epoch_gain


def sentences(table: Table) -> list[str]:
    """All that can be said."""
    if not table.evidence:
        return []
    every = [claim, noise_floor, detectable, val_and_test, flattery_by_epoch, flattery_by_choice, sharpen]
    return [text for text in (one(table) for one in every) if text]


def labels(table: pd.DataFrame) -> dict[str, str]:
    """What tells each row from the others, in a few words: `resnet50 lr=0.0001`. `table`: factors.settings()."""

    def word(name: str, value: Any) -> str:
        text = f"{value:g}" if isinstance(value, float) else str(value)
        return text if name in BARE else f"{name}={text}"

    columns = [[word(str(name), value) for value in table[name].tolist()] for name in table.columns]
    texts = [" ".join(words) for words in zip(*columns, strict=True)] if columns else [""] * len(table)
    return {str(key): text or "the only row" for key, text in zip(table.index, texts, strict=True)}


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


def claim(table: Table) -> str:
    """What the marks and intervals are about."""
    judged = table.judged
    if judged.pooled is None:
        if len(table.evidence) == 1:
            return "The interval is about this trained model: how far another seed would move it is not known."
        best = sorted(table.evidence, key=lambda key: -table.evidence[key].mean_val)[:2]
        which = " and ".join(table.labels[key] for key in best)
        return (
            "About these trained models, not their configurations: nothing was run twice, and another seed may turn "
            f"any difference around. One more seed each of the best two by val ({which}) would show by how much."
        )
    borrowed = sum(row.seeds == 1 for row in table.evidence.values())
    text = (
        "About configurations: seeds and test images both count as draws; marks are corrected over all comparisons "
        "with the reference (Holm)"
    )
    if borrowed:
        text += f"; {borrowed} row{_s(borrowed)} with one seed borrow{'s' if borrowed == 1 else ''} the others' spread"
    if any(row.correct is None for row in table.evidence.values()):
        text += "; without predictions, images count as drawn anew for each row, which is too careful"
    return text + "."


def noise_floor(table: Table) -> str:
    """How much replicates differ, and what the size of the test set alone explains."""
    judged = table.judged
    alone = _alone(table)
    if judged.pooled is None:
        return f"{_n_test(table)} test images alone leave a standard deviation of {alone:.2f} points in each accuracy."
    low, high = deviation_interval(judged.pooled)
    text = (
        f"Noise floor: runs of one configuration have a standard deviation of {judged.pooled.sd:.2f} points of test "
        f"accuracy ({low:.2f} to {high:.2f}; {judged.pooled.rows} configuration{_s(judged.pooled.rows)} with "
        f"{judged.pooled.df + judged.pooled.rows} runs)"
    )
    if judged.pooled_val is not None:
        text += f" and {judged.pooled_val.sd:.2f} of val accuracy"
    return f"{text}; drawing other {_n_test(table)} test images would alone give {alone:.2f}."


def deviation_interval(pooled: Pooled) -> tuple[float, float]:
    """95 % interval of a standard deviation (chi-squared)."""
    tail = (1 - inference.LEVEL) / 2
    return tuple(pooled.sd * math.sqrt(pooled.df / chi2.ppf(q, pooled.df)) for q in (1 - tail, tail))  # type: ignore[return-value]


def detectable(table: Table) -> str:
    """How large a true difference between two rows is seen four times out of five."""
    if not any(not math.isnan(verdict.diff) for verdict in table.judged.verdicts.values()):
        return ""
    z = inference.t_quantile(math.inf) + float(norm.ppf(POWER))
    images = z * math.sqrt(_paired_images(table)) * 100
    if table.judged.pooled is None:
        return (
            f"Between two trained models, these test images show a difference of {images:.1f} points four times out of "
            "five; smaller ones are often missed."
        )
    variance = table.judged.pooled.variance

    def seen(seeds: int) -> float:
        return z * math.sqrt(2 * variance / seeds + (images / z) ** 2)

    here = sorted({round(float(np.median([row.seeds for row in table.evidence.values()]))), 5})
    by_seeds = ", ".join(f"{seen(seeds):.1f} with {seeds} seed{_s(seeds)} each" for seeds in here)
    limit = f", {images:.1f} with any number of seeds (the limit of these test images)" if images >= 0.05 else ""
    seen_if = "A difference between two configurations is seen four times out of five if it is as large as"
    return f"{seen_if} {by_seeds}{limit}."


def val_and_test(table: Table) -> str:
    """Whether a higher val accuracy goes with a higher test accuracy."""
    rows = list(table.evidence.values())
    found = inference.kendall([row.mean_val for row in rows], [row.mean for row in rows])
    if found is None:
        return ""
    tau, (low, high) = found
    verdict = "val predicts the order on test" if low > 0 else "val does not visibly predict the order on test"
    if high < 0:
        verdict = "val and test disagree on the order"
    return f"Over the {len(rows)} rows, {verdict}: Kendall's tau {tau:.2f} ({low:.2f} to {high:.2f})."


def flattery_by_epoch(table: Table) -> str:
    """By how much the selected epoch's val accuracy stands above its neighbours'."""
    gains = table.epoch_gains
    if len(gains) < 2:
        return ""
    return (
        f"Selecting the best epoch flatters val accuracy: it lies {np.mean(gains):.2f} points above the mean of its "
        f"neighbours (mean over {len(gains)} runs)."
    )


def flattery_by_choice(table: Table) -> str:
    """By how much the best row's val accuracy is expected to be luck: what is left of its lead over the mean when each
    row is drawn towards it by as much as noise explains (Efron and Morris 1975, JASA 70)."""
    rows = list(table.evidence.values())
    if len(rows) < 3:
        return ""
    optimism = optimism_of_choice([row.val for row in rows], table.n_val, table.judged.pooled_val)
    return (
        f"Picking the best of {len(rows)} rows on {table.n_val} val images flatters its val accuracy by about "
        f"{optimism:.2f} points."
    )


def optimism_of_choice(val: Sequence[np.ndarray], n_val: int, pooled: Pooled | None) -> float:
    """Expected luck of the best of these rows in points; `val`: accuracies of each row's seeds in per cent. Noise is
    the spread between replicates, or where there are none, what the size of the val set explains."""
    means = np.array([row.mean() for row in val])
    share = np.clip(means.mean() / 100, 0.5 / n_val, 1 - 0.5 / n_val)
    single = pooled.variance if pooled is not None else 1e4 * share * (1 - share) / n_val
    noise = float(np.mean([single / len(row) for row in val]))
    total = float(means.var(ddof=1))
    kept = max(0.0, 1 - (len(means) - 3) / (len(means) - 1) * noise / total) if total else 0.0
    return float((means.max() - means.mean()) * (1 - kept))


def sharpen(table: Table) -> str:
    """What it would take to tell the reference from the best row that is tied with it."""
    judged = table.judged
    if judged.reference is None or judged.pooled is None:
        return ""
    tied = [key for key, verdict in judged.verdicts.items() if verdict.mark == "tied"]
    if not tied:
        return ""
    other = max(tied, key=lambda key: table.evidence[key].mean_val)
    first, second = table.evidence[judged.reference], table.evidence[other]
    value, low, high, _ = difference(first, second, judged)
    names = f"{table.labels[judged.reference]} and {table.labels[other]}"
    start = f"To sharpen the answer: {names} differ by {abs(value):.1f} ± {(high - low) / 2:.1f} points"
    seeds = seeds_needed(first, second, judged)
    if seeds is not None:
        return f"{start}: {seeds} more seed{_s(seeds)} of each would be needed if that is the true difference."
    images = images_needed(first, second, judged)
    if images is None:
        return f"{start}: no number of seeds or images would tell so small a difference."
    return f"{start}: seeds alone can't tell that; about {images} test images would be needed, with many seeds."


def seeds_needed(row: Row, other: Row, judged: Judgement) -> int | None:
    """How many more seeds of both leave 0 outside the interval of their difference as it stands; None where more than
    MOST_SEEDS, or images rather than seeds are what is missing."""
    assert judged.pooled is not None
    variance, _ = difference_variance(row, other, judged)
    images = paired_image_variance(row, other, judged.interaction)
    seeds = max(row.seeds, other.seeds)
    single = (variance - images) / (1 / row.seeds + 1 / other.seeds)
    z = inference.t_quantile(math.inf)
    left = ((row.mean - other.mean) / z) ** 2 - images
    if left <= 0 or 2 * single / left > MOST_SEEDS:
        return None
    return max(math.ceil(2 * single / left) - seeds, 1)


def images_needed(row: Row, other: Row, judged: Judgement) -> int | None:
    """How many test images would leave their share of the interval at half the difference as it stands."""
    value = abs(row.mean - other.mean)
    if value < 1e-3:
        return None
    images = paired_image_variance(row, other, judged.interaction)
    return math.ceil(row.n_test * images * (2 * inference.t_quantile(math.inf) / value) ** 2 / 100) * 100


def _paired_images(table: Table) -> float:
    """Variance that the test images leave in a difference, averaged over the rows against the reference."""
    judged = table.judged
    reference = table.evidence[judged.reference or ""]
    others = [row for key, row in table.evidence.items() if key != judged.reference and row.images == reference.images]
    others = others[:MOST_OTHERS]
    if judged.pooled is not None:
        return float(np.mean([paired_image_variance(row, reference, judged.interaction) for row in others]))
    return float(np.mean([paired_image_variance(row, reference, 0.0) for row in others]))


def _alone(table: Table) -> float:
    """Standard deviation in points that drawing the test images leaves in one accuracy."""
    share = float(np.mean([row.mean for row in table.evidence.values()]))
    return 100 * math.sqrt(share * (1 - share) / _n_test(table))


def _n_test(table: Table) -> int:
    return max(row.n_test for row in table.evidence.values())


def _s(count: int) -> str:
    return "" if count == 1 else "s"
