"""What an Optuna study says beyond its runs: which settings matter, what more trials bring, edges of its space."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from analysis.read.study import StudyResult
from analysis.statistics.selection import expected_best

ENOUGH_TRIALS = 8  # finished, from which on importance is worth a line
RESAMPLED = (20, 100)  # draws of the trials for an interval, the fewer the more trials there are
EDGE = 0.05  # of a range, in which a best value counts as at its end
SHOWN = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True)
class Importance:
    """Of a setting in a search, as a part of 1, with a 95 % interval."""

    part: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.part:.0f} % ({100 * self.low:.0f} to {100 * self.high:.0f})"


def progress(found: StudyResult) -> str:
    """The expected best of so many random trials, or the best so far of trials that learn from each other."""
    values = found.values
    if len(values) < 3:
        return ""
    counts = [count for count in SHOWN if count < len(values)] + [len(values)]
    curve = best_curve(found)
    steps = ", ".join(f"{curve[count - 1]:.2f} after {count}" for count in counts)
    what = "expected best (Dodge et al. 2019)" if found.random else "best so far"
    return f"Study {found.study.study_name}: {what} {found.objective} of its {len(values)} finished trials: {steps}."


def best_curve(found: StudyResult) -> list[float]:
    """The best value after 1, 2, ... trials: expected where they are random draws, else as it went."""
    signed = found.sign * np.array(found.values)
    if found.random:
        return [found.sign * expected_best(signed.tolist(), count) for count in range(1, len(signed) + 1)]
    return (found.sign * np.maximum.accumulate(signed)).tolist() if len(signed) else []


@cache
def importance(found: StudyResult) -> dict[str, Importance]:
    """What part of the difference between good trials and all trials each setting makes in the first objective, the
    largest first: PED-ANOVA (Watanabe et al. 2023, IJCAI; Optuna's default), with a percentile interval over
    draws of as many trials with replacement. {} where there are too few trials or settings."""
    trials = _first_objective(found)
    varied = {name for trial in trials for name in trial.params}
    if len(trials) < ENOUGH_TRIALS or len(varied) < 2 or len(set(found.values)) < 2:
        return {}
    parts = _ped_anova(trials, found.sign)
    generator = np.random.default_rng(0)
    count = int(np.clip(2000 // len(trials), *RESAMPLED))  # a draw takes a second where there are thousands of trials
    draws = [generator.integers(0, len(trials), len(trials)) for _ in range(count)]
    drawn = [one for one in (_ped_anova([trials[place] for place in draw], found.sign) for draw in draws) if one]
    if not parts or len(drawn) < count / 2:
        return {}
    result = {}
    for name, part in parts.items():
        low, high = np.quantile([one.get(name, 0.0) for one in drawn], [0.025, 0.975])
        result[name] = Importance(part, min(float(low), part), max(float(high), part))
    return result


def _first_objective(found: StudyResult) -> list[Any]:
    """The finished trials with their first objective alone."""
    from optuna.trial import create_trial

    return [
        create_trial(params=trial.params, distributions=trial.distributions, value=trial.values[0])
        for trial in found.trials
    ]


def _ped_anova(trials: Sequence[Any], sign: int) -> dict[str, float]:
    """The importance of each setting, 1 in all; {} where it can't be had."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize" if sign > 0 else "minimize")
    study.add_trials(trials)
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", message="Target and region quantiles select the same")
        try:
            found: dict[str, float] = optuna.importance.get_param_importances(study, evaluator=evaluator)
        except (ValueError, RuntimeError, UserWarning):  # trials that are all alike, a space that changed on the way
            return {}
    return found if all(map(math.isfinite, found.values())) else {}


def importance_line(found: StudyResult) -> str:
    """Importance in words."""
    parts = ", ".join(f"{name} {one}" for name, one in importance(found).items())
    if not parts:
        return ""
    return f"What the best tenth of {len(found.trials)} trials differs in, by {found.objective} (PED-ANOVA): {parts}."


def edges(found: StudyResult) -> list[str]:
    """Settings in which the best trial lies at an end of the range that was searched."""
    if not found.trials:
        return []
    best = max(found.trials, key=lambda trial: found.sign * trial.values[0])
    lines = []
    for name, space in best.distributions.items():
        low, high, value = getattr(space, "low", None), getattr(space, "high", None), best.params[name]
        if low is None or high is None or low == high:
            continue
        place = position(float(value), float(low), float(high), bool(getattr(space, "log", False)))
        if not EDGE < place < 1 - EDGE:
            lines.append(f"the best trial's {name}={value:g} is at the end of its range ({low:g} to {high:g})")
    return lines


def position(value: float, low: float, high: float, log: bool) -> float:
    """Where `value` is between `low` (0) and `high` (1), on the scale that was searched."""
    if log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return (value - low) / (high - low)
