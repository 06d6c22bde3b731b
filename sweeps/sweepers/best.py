"""What a study found: its best trials, in a table and in optimization_results.yaml."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from training.console.table import print_table


def ranked(study: Study) -> Iterator[FrozenTrial]:
    """Finished trials, the best first (with several objectives: the Pareto front), each configuration once."""
    if len(study.directions) > 1:
        trials = study.best_trials
    else:
        done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        sign = -1.0 if study.direction is StudyDirection.MAXIMIZE else 1.0
        trials = sorted(done, key=lambda trial: (sign * trial.values[0], trial.number))
    seen: set[str] = set()
    for trial in trials:
        configuration = str(trial.user_attrs.get("run_folder", f"{trial.number}/")).rpartition("/")[0]
        if configuration not in seen:
            seen.add(configuration)
            yield trial


def show_best(console: Console, study: Study, objective: Sequence[str], folder: Path) -> None:
    """Print the best trial, or the Pareto front, and write it down."""
    several = len(objective) > 1
    best = list(ranked(study)) if several else list(ranked(study))[:1]
    if not best:
        return
    title = f"{'Pareto front' if several else 'Best trial'} of study {study.study_name}"
    names = list(best[0].params)
    rows = []
    for trial in sorted(best, key=lambda trial: trial.values[0]) if several else best:
        values = [f"{value:,.0f}" if value == round(value) else f"{value:.4g}" for value in trial.values]
        rows.append([str(trial.number), *values, *(f"{trial.params.get(name, '')}" for name in names)])
    console.print()
    print_table(console, ("trial", *objective, *names), rows, words=names, title=title)
    write_results(folder, [{"params": trial.params, "values": list(trial.values)} for trial in best])


def write_results(folder: Path, best: Sequence[dict[str, Any]]) -> None:
    """optimization_results.yaml, as the stock sweeper writes it."""
    if len(best[0]["values"]) == 1:
        content: dict[str, Any] = {"best_params": best[0]["params"], "best_value": best[0]["values"][0]}
    else:
        content = {"solutions": list(best)}
    OmegaConf.save(OmegaConf.create({"name": "optuna"} | content), folder / "optimization_results.yaml")
