"""What matters: the effect of one setting with all others matched, and whether it depends on another.

Rows that agree in all settings but one make a matched pair. Weights count as asked, with a model's own default called
`default` (resnet18's V1, resnet50's V2), so that models can be matched.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import chi2

from analysis.show.formats import signed
from analysis.statistics import inference
from analysis.statistics.judge import Judgement, Row, difference_variance, mean_image_variance, paired_image_variance

FACTORS = ("model", "weights", "optimizer", "lr", "scheduler", "weight_decay", "batch_size", "epochs")
MOST_LEVELS = 12
Pair = tuple[str, str]


@dataclass(frozen=True)
class Effect:
    """Of `high` against `low` in points of test accuracy, over `pairs` matched pairs; `p` uncorrected."""

    factor: str
    low: object
    high: object
    value: float
    ends: tuple[float, float]
    p: float
    pairs: int

    def __str__(self) -> str:
        first, last = self.ends
        matched = f"{self.pairs} matched pair{'' if self.pairs == 1 else 's'}"
        against = f"{self.factor}: {_word(self.high)} against {_word(self.low)}"
        return f"{against} {signed(self.value)} [{first:.1f}, {last:.1f}] ({matched})"


def settings(rows: pd.DataFrame, default_weights: Mapping[str, str], extra: Iterable[str] = ()) -> pd.DataFrame:
    """The factors of each row; those that all rows share are left out. `default_weights`: by row, what `default`
    stands for there."""
    names = [*FACTORS, *extra]
    table = rows[[name for name in names if name in rows]].astype(object)
    if "weights" in table:
        resolved = rows["weights_resolved"].astype(object)
        own = pd.Series([default_weights.get(str(key)) for key in rows.index], rows.index, dtype=object)
        table["weights"] = resolved.str.lower().where(resolved.str.lower() != own.str.lower(), "default")
    table = table.where(table.notna(), "none")
    return table[[name for name in table if name == "model" or table[name].nunique() > 1]]


def default_weights(runs: pd.DataFrame) -> dict[str, str]:
    """For each identity, what its model calls default weights: the last of model.weights, from the config."""
    if "model.weights" not in runs:
        return {}
    found = {}
    for key, text in zip(runs["identity"], runs["model.weights"], strict=True):
        try:
            names = json.loads(text) if isinstance(text, str) else []
        except ValueError:
            names = []
        if names:
            found[str(key)] = str(names[-1])
    return found


def effects(table: pd.DataFrame, evidence: Mapping[str, Row], judged: Judgement) -> list[Effect]:
    """The effect of each level of each factor against the one that most rows have (the lowest on a tie). A setting
    with more than MOST_LEVELS values is a scale, on which hardly two rows match."""
    found = []
    known = table.loc[[key for key in table.index if key in evidence]]
    for factor in table.columns:
        counts = known[factor].value_counts()
        if not 2 <= len(counts) <= MOST_LEVELS:
            continue
        base = min(counts.index[counts == counts.max()], key=level_order)
        groups = by_the_rest(known, evidence, str(factor))
        for level in sorted((level for level in counts.index if level != base), key=level_order):
            pairs = [(group[level], group[base]) for group in groups if level in group and base in group]
            effect = measure(pairs, evidence, judged) if pairs else None
            if effect is not None:
                found.append(Effect(str(factor), base, level, *effect, len(pairs)))
    return found


def by_the_rest(table: pd.DataFrame, evidence: Mapping[str, Row], factor: str) -> list[dict[Any, str]]:
    """The rows in groups that agree in all settings but `factor`, on the same images: level -> key."""
    others = [name for name in table.columns if name != factor]
    groups: dict[Any, dict[Any, str]] = {}
    rest = zip(*(table[name] for name in others), strict=True) if others else [()] * len(table)
    for key, level, same in zip(table.index, table[factor], rest, strict=True):
        if key in evidence:
            groups.setdefault((same, evidence[key].images), {})[level] = str(key)
    return list(groups.values())


def measure(
    pairs: list[Pair], evidence: Mapping[str, Row], judged: Judgement
) -> tuple[float, tuple[float, float], float] | None:
    """Mean difference over matched pairs in points, its interval and p. The error is the noise between replicates where
    that is known; else what the pairs differ among each other, for which there must be two."""
    values = np.array([evidence[a].mean - evidence[b].mean for a, b in pairs])
    mean = float(values.mean())
    if judged.pooled is None:
        if len(values) < 2:
            return None
        error, df = float(values.std(ddof=1)) / math.sqrt(len(values)), len(values) - 1.0
    else:
        sides = [(evidence[a], evidence[b]) for a, b in pairs]
        total = [difference_variance(a, b, judged) for a, b in sides]
        images = [paired_image_variance(a, b, judged.interaction) for a, b in sides]
        seeds = sum(variance - image for (variance, _), image in zip(total, images, strict=True)) / len(pairs) ** 2
        error = math.sqrt(seeds + mean_image_variance(sides, judged.interaction))
        df = min(df for _, df in total)
    if error == 0:
        return 100 * mean, (100 * mean, 100 * mean), 0.0 if mean else 1.0
    half = inference.t_quantile(df) * error
    return 100 * mean, (100 * (mean - half), 100 * (mean + half)), inference.t_test(mean / error, df)


@dataclass(frozen=True)
class Interaction:
    """How the effect of `factor` differs between levels of `by`: an effect a level, the p that all are the same, and,
    in the order of the levels, the change a step with its interval and p."""

    effects: list[tuple[object, Effect]]
    p_same: float
    step: float
    ends: tuple[float, float]
    p_step: float


def interaction(
    table: pd.DataFrame,
    evidence: Mapping[str, Row],
    judged: Judgement,
    factor: str,
    by: str,
    order: Mapping[str, float],
) -> Interaction | None:
    """Of two factors; None where the design does not allow it: `factor` has two levels at two levels of `by` at least.
    `order`: where the levels of `by` stand (models by their parameters), numbers stand where they are."""
    levels = table[factor].value_counts().index[:2]
    if len(levels) < 2:
        return None
    low, high = sorted(levels, key=level_order)
    found: list[tuple[object, Effect]] = []
    for level in sorted(table[by].unique(), key=lambda one: (order.get(str(one), 0.0), *level_order(one))):
        groups = by_the_rest(table[table[by] == level], evidence, factor)
        pairs = [(group[high], group[low]) for group in groups if low in group and high in group]
        effect = measure(pairs, evidence, judged) if pairs else None
        if effect is not None:
            found.append((level, Effect(factor, low, high, *effect, len(pairs))))
    if len(found) < 2:
        return None
    values = np.array([effect.value for _, effect in found])
    errors = np.array([(e.ends[1] - e.ends[0]) / 2 / inference.t_quantile(math.inf) for _, e in found])
    errors = np.maximum(errors, 1e-9)
    weights = errors**-2
    mean = (weights * values).sum() / weights.sum()
    p_same = float(chi2.sf((weights * (values - mean) ** 2).sum(), len(values) - 1))
    place = np.arange(len(values)) - (weights * np.arange(len(values))).sum() / weights.sum()
    step = float((weights * place * values).sum() / (weights * place**2).sum())
    error = float((weights * place**2).sum()) ** -0.5
    half = inference.t_quantile(math.inf) * error
    return Interaction(found, p_same, step, (step - half, step + half), inference.t_test(step / error, math.inf))


def tell(found: Interaction | None, factor: str, by: str, floor: float) -> list[str]:
    """Yes, no, or can't tell. `floor`: what is too small to matter, in points."""
    if found is None:
        return [f"{factor} x {by}: can't tell, no two levels of {by} have {factor} with all else matched"]
    lines = [f"{factor} x {by}: {by}={_word(level)}: {effect}" for level, effect in found.effects]
    low, high = found.ends
    if found.p_step < 1 - inference.LEVEL:
        answer = f"yes, the effect {'grows' if found.step > 0 else 'shrinks'} from level to level"
    elif max(abs(low), abs(high)) < floor:
        answer = "no, at most by less than the noise floor"
    else:
        answer = "can't tell"
    numbers = f"{signed(found.step)} points a level [{low:.1f}, {high:.1f}], all levels alike: p {found.p_same:.2g}"
    return [*lines, f"does the effect of {factor} change with {by}? {answer}: {numbers}"]


def level_order(level: object) -> tuple[int, float, str]:
    """Sorts levels: numbers, then none and default, then the other words."""
    number = isinstance(level, int | float) and not isinstance(level, bool)
    return (0, float(level), "") if number else (1, 0.0, "" if level in ("none", "default") else str(level))  # type: ignore[arg-type]


def _word(level: object) -> str:
    return f"{level:g}" if isinstance(level, float) else str(level)
