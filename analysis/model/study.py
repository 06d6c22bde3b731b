"""What an Optuna study says beyond its runs: which settings matter, what more trials bring, edges of its space."""

import math

import numpy as np

from analysis.read.study import StudyResult
from analysis.statistics.selection import expected_best

ENOUGH_TRIALS = 8  # finished, from which on importance is worth a line
EDGE = 0.05  # of a range, in which a best value counts as at its end
SHOWN = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


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


def importance(found: StudyResult) -> dict[str, float]:
    """The part of the first objective's variance that each setting explains (fANOVA, Hutter et al. 2014, ICML)."""
    varied = [name for name in found.study.get_trials(deepcopy=False)[0].params] if found.trials else []
    if len(found.trials) < ENOUGH_TRIALS or len(varied) < 2 or len(set(found.values)) < 2:
        return {}
    import optuna

    try:
        return dict(
            optuna.importance.get_param_importances(
                found.study,
                evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0),
                target=lambda trial: float(trial.values[0]),
            )
        )
    except (ValueError, RuntimeError):  # a space that changed from trial to trial
        return {}


def importance_line(found: StudyResult) -> str:
    """Importance in words."""
    proportions = importance(found)
    parts = ", ".join(f"{name} {100 * proportion:.0f} %" for name, proportion in proportions.items())
    return f"What explains {found.objective} in the search (fANOVA): {parts}." if parts else ""


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
