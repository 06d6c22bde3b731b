"""From finished runs to which further ones are worth their time: a plan with commands (analysis/next.py prints it)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.model.model import ReportModel
from analysis.model.table import distinct, row_keys
from analysis.read.records import ReportError
from analysis.read.rerun import command_for, made_in
from analysis.statistics.next_runs import MOST_ROWS, Beliefs, Plan, Runs, believe, keep, plan
from analysis.statistics.noise import POINTS2, image_covariance
from analysis.statistics.results import RowResults


@dataclass(frozen=True)
class Candidate:
    """A row that can still be the best, or that is to get `more` runs. `p_best` and `minutes` (a run): None where not
    known. `command`: None where its folder doesn't tell how it was made."""

    key: str
    label: str
    results: RowResults
    p_best: float | None
    more: int
    minutes: float | None
    command: str | None
    made_in: Path | None


@dataclass(frozen=True)
class Advice:
    """On one test set. `plan`: None where nothing was run twice, and nothing can be foreseen."""

    candidates: Sequence[Candidate]
    runs: Runs | None
    beliefs: Beliefs | None
    plan: Plan | None


def advise(model: ReportModel, wanted: float, most_runs: int, budget_minutes: float) -> Advice:
    """What to run next: where nothing was run twice, one more seed each of the best two by val. Raises ReportError for
    folds of a cross-validation, and where there is nothing to choose between."""
    done = distinct(model.runs)
    done = done[done["status"] == "done"]
    if done["fold"].notna().any():
        raise ReportError("these runs are folds of a cross-validation; this plans further seeds of plain runs")
    if len(model.results) < 2:
        raise ReportError(
            f"{len(model.results)} configuration(s) with done runs: expected two or more to choose between"
        )
    known = minutes_of(done)
    if model.comparisons.noise.test is None:
        best = sorted(model.results, key=lambda key: -model.results[key].mean_val_percent)[:2]
        return Advice([_candidate(model, key, None, 1, known) for key in best], None, None, None)
    keys = list(model.results)
    runs = seen(model.results, model, known)
    if len(keys) > MOST_ROWS:
        kept = np.argsort(-runs.percent, kind="stable")[:MOST_ROWS].tolist()
        keys, runs = [keys[index] for index in kept], keep(runs, kept)
    beliefs = believe(runs)
    found = plan(runs, wanted, most_runs, budget_minutes)
    order = np.argsort(-beliefs.p_best, kind="stable").tolist()
    candidates = [
        _candidate(model, keys[index], float(beliefs.p_best[index]), int(found.more[index]), known) for index in order
    ]
    return Advice(candidates, runs, beliefs, found)


def seen(results: Mapping[str, RowResults], model: ReportModel, minutes: Mapping[str, float]) -> Runs:
    """What statistics needs of these rows."""
    rows = list(results.values())
    images = image_covariance(rows, model.comparisons.noise)
    typical = float(np.mean(list(minutes.values()))) if minutes else 1.0
    return Runs(
        np.array([100 * row.test_proportion for row in rows]),
        np.array([row.seeds for row in rows], dtype=float),
        np.array([row.seed_variance_points2 for row in rows]),
        POINTS2 * _without_negative(images.raw - np.diag(images.chance)),
        100 / max(row.n_test for row in rows),
        np.array([minutes.get(key, typical) for key in results]),
    )


def _without_negative(covariance: np.ndarray) -> np.ndarray:
    """The nearest matrix that is a covariance: an estimate, less chance, may have negative eigenvalues."""
    values, vectors = np.linalg.eigh(covariance)
    found: np.ndarray = (vectors * np.maximum(values, 0.0)) @ vectors.T
    return found


def minutes_of(done: pd.DataFrame) -> dict[str, float]:
    """Minutes a run of each row, as far as they are known."""
    timed = done[done["minutes"].fillna(0) > 0]
    means = timed["minutes"].groupby(row_keys(timed)).mean()
    return {str(key): float(value) for key, value in means.items()}


def _candidate(
    model: ReportModel, key: str, p_best: float | None, more: int, minutes: Mapping[str, float]
) -> Candidate:
    of_row = model.runs[row_keys(model.runs) == key]
    done = of_row[of_row["status"] == "done"]
    folder = Path(str(done["folder"].iloc[0]))
    first = int(of_row["seed"].max()) + 1 if of_row["seed"].notna().any() else 0
    command = command_for(folder, range(first, first + more)) if more else None
    typical = float(np.mean(list(minutes.values()))) if minutes else None
    label, results = model.labels[key], model.results[key]
    return Candidate(key, label, results, p_best, more, minutes.get(key, typical), command, made_in(folder))
