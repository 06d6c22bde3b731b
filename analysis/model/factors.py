"""What matters: the effect of one setting with all others matched, and whether it depends on another.

Rows that agree in all settings but one make a matched pair. Weights count as asked, with a model's own default called
`default` (resnet18's V1, resnet50's V2), so that models can be matched.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pandas as pd

from analysis.model.wording import level_order, level_text, plural, signed
from analysis.read.distinguish import aliased_factors, hidden_columns
from analysis.statistics.effects import LEAST_PAIRS, Effect, Interaction, changes, in_units, interaction, paired_effect
from analysis.statistics.metric_names import ACCURACY, Metric
from analysis.statistics.noise import Noise
from analysis.statistics.results import RowResults

FACTORS = ("model", "weights", "optimizer", "lr", "scheduler", "weight_decay", "batch_size", "epochs")
MOST_LEVELS = 12


@dataclass(frozen=True)
class FactorEffect:
    """The effect of level `high` of a factor against level `low`, in points or as `metric` is shown."""

    factor: str
    low: object
    high: object
    effect: Effect
    metric: Metric = ACCURACY

    def __str__(self) -> str:
        found = self.effect
        matched = f"{found.pairs} matched pair{plural(found.pairs)}"
        against = f"{self.factor}: {level_text(self.high)} against {level_text(self.low)}"
        digits = self.metric.decimals
        points = signed(found.points, f"+.{digits}f")
        return f"{against} {points} [{found.low:.{digits}f}, {found.high:.{digits}f}] ({matched})"


@dataclass(frozen=True)
class FactorInteraction:
    """How the effect of a factor differs between levels of another one, and those effects by level."""

    by_level: list[tuple[object, FactorEffect]]
    interaction: Interaction
    ordered: bool = True  # whether the levels of the other one have an order

    @property
    def metric(self) -> Metric:
        """In which effects are shown."""
        return self.by_level[0][1].metric


def settings(rows: pd.DataFrame, default_weights: Mapping[str, str], extra: Iterable[str] = ()) -> pd.DataFrame:
    """The factors of each row; those that all rows share are left out. A choice of a group (augment, experiment) is one
    factor, whatever keys it sets. `default_weights`: by row, what `default`
    stands for there."""
    names = [*FACTORS, *extra]
    table = rows[[name for name in names if name in rows]].astype(object)
    if "weights" in table:
        resolved = rows["weights_resolved"].astype(object)
        default = pd.Series([default_weights.get(str(key)) for key in rows.index], rows.index, dtype=object)
        table["weights"] = resolved.str.lower().where(resolved.str.lower() != default.str.lower(), "default")
    table = table.drop(columns=hidden_columns(table))
    table = table.where(table.notna(), "none")
    table = table[[name for name in table if name == "model" or table[name].nunique() > 1]]
    return table.drop(columns=aliased_factors(table))


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


def factor_effects(
    table: pd.DataFrame, results: Mapping[str, RowResults], noise: Noise, metric: Metric = ACCURACY
) -> list[FactorEffect]:
    """The effect of each level of each factor against the one that most rows have (the lowest on a tie). A setting
    with more than MOST_LEVELS values is a scale, on which hardly two rows match. `results` are by `metric`."""
    found = []
    known = table.loc[[key for key in table.index if key in results]]
    for factor in table.columns:
        counts = known[factor].value_counts()
        if not 2 <= len(counts) <= MOST_LEVELS:
            continue
        base = min(counts.index[counts == counts.max()], key=level_order)
        groups = match_rows(known, results, str(factor))
        for level in sorted((level for level in counts.index if level != base), key=level_order):
            if effect := _matched_effect(groups, str(factor), base, level, noise, metric):
                found.append(effect)
    return found


def match_rows(table: pd.DataFrame, results: Mapping[str, RowResults], factor: str) -> list[dict[Any, RowResults]]:
    """The rows in groups that agree in all settings but `factor`, on the same test images: level -> results."""
    others = [name for name in table.columns if name != factor]
    groups: dict[Any, dict[Any, RowResults]] = {}
    rest = zip(*(table[name] for name in others), strict=True) if others else [()] * len(table)
    for key, level, same in zip(table.index, table[factor], rest, strict=True):
        if key in results:
            groups.setdefault((same, results[key].test_set_id), {})[level] = results[key]
    return list(groups.values())


def factor_interaction(
    table: pd.DataFrame,
    results: Mapping[str, RowResults],
    noise: Noise,
    factor: str,
    by: str,
    order: Mapping[str, float],
    metric: Metric = ACCURACY,
) -> FactorInteraction | int:
    """Of two factors, for the two levels of `factor` that are matched at most levels of `by`; where fewer than two of
    these have an effect whose error is known, at how many levels of `by` there are matched rows. `order`: where the
    levels of `by` stand (models by their parameters), numbers stand where they are."""
    by_levels = sorted(table[by].unique(), key=lambda one: (order.get(str(one), 0.0), *level_order(one)))
    groups = {level: match_rows(table[table[by] == level], results, factor) for level in by_levels}
    found: tuple[int, list[tuple[object, FactorEffect]]] = (0, [])
    for low, high in combinations(sorted(table[factor].unique(), key=level_order), 2):
        matched = sum(any(low in group and high in group for group in groups[level]) for level in by_levels)
        effects = [
            (level, effect)
            for level in by_levels
            if (effect := _matched_effect(groups[level], factor, low, high, noise, metric, least_pairs=1))
        ]
        score = (len(effects), matched, sum(effect.effect.pairs for _, effect in effects))
        if score > (len(found[1]), found[0], sum(effect.effect.pairs for _, effect in found[1])):
            found = (matched, effects)
    matched, effects = found
    if len(effects) < 2:
        return matched
    ordered = len(effects) == 2 or bool(order) or not any(isinstance(level, str) for level, _ in effects)
    return FactorInteraction(effects, interaction([one.effect for _, one in effects]), ordered)


def interaction_lines(found: FactorInteraction | int, factor: str, by: str, negligible_points: float) -> list[str]:
    """Yes, no, or can't tell. `negligible_points`: what is too small to matter, in points of the metric."""
    if isinstance(found, int):
        why = f"no two levels of {by} have two of {factor} with all else matched"
        if found > 1:
            why = (
                f"{found} levels of {by} have matched rows, but too few to know their noise: run some with another seed"
            )
        return [f"{factor} x {by}: can't tell, {why}"]
    lines = [f"{factor} x {by}: {by}={level_text(level)}: {effect}" for level, effect in found.by_level]
    trend = found.interaction
    change = (len(found.by_level) - 1) * max(abs(trend.low), abs(trend.high))  # from the first level to the last
    digits, unit = found.metric.decimals, "points a level" if found.metric.scale > 1 else "a level"
    negligible = negligible_points * found.metric.scale / 100
    interval = f"{signed(trend.points_per_level, f'+.{digits}f')} {unit} "
    interval += f"[{trend.low:.{digits}f}, {trend.high:.{digits}f}], "
    change_seen = changes(trend, len(found.by_level), found.ordered)
    if change_seen == "trend":
        answer = f"yes, the effect {'rises' if trend.points_per_level > 0 else 'falls'} from level to level"
    elif change_seen:
        answer = "yes"
    elif found.ordered and change < negligible:
        answer = "no, at most by less than the noise floor"
    else:
        answer = "can't tell"
    question = f"does the effect of {factor} change with {by}?"
    return [*lines, f"{question} {answer}: {interval if found.ordered else ''}all levels alike: p {trend.p_same:.2g}"]


def _matched_effect(
    groups: list[dict[Any, RowResults]],
    factor: str,
    low: object,
    high: object,
    noise: Noise,
    metric: Metric,
    least_pairs: int = LEAST_PAIRS,
) -> FactorEffect | None:
    pairs = [(group[high], group[low]) for group in groups if low in group and high in group]
    effect = paired_effect(pairs, noise, least_pairs)
    if effect is None:
        return None
    return FactorEffect(factor, low, high, in_units(effect, metric.sign * metric.scale / 100), metric)
