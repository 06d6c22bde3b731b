"""Rows judged by another metric than accuracy (--metric): from the predictions of their runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.model.row_results import judged_runs, results_of_rows
from analysis.model.sentences import level_of_marks
from analysis.model.splits import parts_of
from analysis.model.table import row_keys
from analysis.read.image_sets import order_of
from analysis.read.records import ReportError, nearest
from analysis.read.run_folder import read
from analysis.statistics.comparisons import ONE_LOOK, Comparisons, Criteria
from analysis.statistics.metric_names import ACCURACY, METRICS, Metric
from analysis.statistics.metrics import RunScores, RunValues, draw_images, in_units, results_by, run_values
from analysis.statistics.results import RowResults
from training.record import read_predictions

MONITORS = {"val_acc": "accuracy", "val_loss": "log-loss", "val_macro_f1": "macro-f1"}
MONITORS |= {"val_balanced_acc": "balanced-accuracy"}
Weights = Mapping[str, float]


@dataclass(frozen=True)
class Judging:
    """What rows are judged by. `weights`: of classes by name, for class-weighted accuracy; without, all classes count
    the same. `criteria`: looks, what matters (in points; a value times 100 of a metric that is shown as it is) and
    hidden rows. `calibration`: with columns about it; `device`: with what each row's runs were made on."""

    metric: Metric = ACCURACY
    weights: Weights | None = None
    calibration: bool = False
    criteria: Criteria = ONE_LOOK
    device: bool = False


def results_by_metric(runs: pd.DataFrame, judging: Judging) -> tuple[dict[str, RowResults], list[str]]:
    """The results of each row by a metric, so that higher is better; and a line for each run that can't be judged so.
    Raises ReportError where a weight names no class, or where none is above 0."""
    metric = judging.metric
    by_accuracy = results_of_rows(runs)
    if metric is ACCURACY:
        return by_accuracy, []
    done = judged_runs(runs)
    seeds: dict[str, list[RunValues]] = {}
    drawn: dict[str, np.ndarray] = {}  # by test set
    lines, classes = [], set[str]()
    for key, folder, part in zip(map(str, row_keys(done)), done["folder"], parts_of(done), strict=True):
        try:
            val, test, names = scores_of(Path(folder), judging.weights)
        except ValueError as error:
            lines.append(f"{folder}: {error}; not judged by {metric.title}")
            continue
        classes.update(names)
        test_set = by_accuracy[key].test_set_id
        if not metric.by_image and (test_set not in drawn or by_accuracy[key].own_images):
            drawn[test_set] = draw_images(test.labels)
        found = run_values(metric, val, test, drawn.get(test_set), part)
        if np.isnan([found.val, found.test]).any():
            raise ReportError(f"--class-weights: no class of the val or test images of {folder} counts more than 0")
        seeds.setdefault(key, []).append(found)
    for name in judging.weights or {}:
        if classes and name not in classes:
            raise ReportError(f"--class-weights {name}: no such class{nearest(name, classes)}")
    return {key: results_by(metric, of_row, by_accuracy[key]) for key, of_row in seeds.items()}, lines


def scores_of(folder: Path, weights: Weights | None = None) -> tuple[RunScores, RunScores, list[str]]:
    """The predictions of a run for val and test, images and classes in the order of their names; and the names of the
    classes. Raises ValueError with the reason where they can't be had."""
    record = read(folder)
    if record.data.classes is not None:
        names = list(map(str, record.data.classes))
        columns = np.argsort(np.array(names), kind="stable")
        names = [names[index] for index in columns]
        each = None if weights is None else np.array([weights.get(name, 1.0) for name in names])
    elif weights is None:
        names, columns, each = [], None, None
    else:
        raise ValueError("its record has no names of classes for --class-weights")
    found = []
    for split in ("val", "test"):
        ids, labels, logits = read_predictions(folder, record, split)
        order = order_of(ids)
        labels, logits = labels[order].astype(np.int64), logits[order]
        if columns is not None:
            labels, logits = np.argsort(columns)[labels], logits[:, columns]
        if not np.isfinite(logits).all():
            raise ValueError(f"predictions_{split}.npz has scores that are no finite numbers")
        found.append(RunScores(labels, logits, each))
    return found[0], found[1], names


def add_metric(
    rows: pd.DataFrame, results: Mapping[str, RowResults], comparisons: Comparisons, metric: Metric
) -> tuple[pd.DataFrame, Comparisons]:
    """`rows` with the columns of a metric, val and test, after test_acc; and `comparisons` in its units."""
    if metric is ACCURACY:
        return rows, comparisons
    factor = metric.sign * metric.scale / 100
    places: dict[str, Any] = {}
    for split in ("val", "test"):
        percent = {key: getattr(row, f"{split}_percent").mean() for key, row in results.items()}
        values = [factor * percent[key] if key in percent else np.nan for key in map(str, rows.index)]
        places[f"{split}_{metric.column}"] = pd.Series(values, rows.index, dtype="float64")
    after = list(rows.columns).index("test_acc") + 1
    before, behind = rows.columns[:after], rows.columns[after:]
    table = rows.assign(**places)[[*before, *places, *behind]]
    return table, in_units(comparisons, metric)


def parse_weights(text: str | None) -> dict[str, float] | None:
    """`cat=5,dog=1` -> the weights by class. Raises ReportError."""
    if text is None:
        return None
    found: dict[str, float] = {}
    for part in text.split(","):
        name, equals, number = part.rpartition("=")
        try:
            weight = float(number)
        except ValueError:
            weight = np.nan
        if not equals or not name or not 0 <= weight < np.inf:
            raise ReportError(f"--class-weights {part}: expected CLASS=WEIGHT with a weight of 0 or more")
        if name in found:
            raise ReportError(f"--class-weights: {name} is given twice")
        found[name] = weight
    return found


def metric_sentences(judging: Judging, comparisons: Comparisons, left_out: Sequence[str]) -> list[str]:
    """What is said of a comparison by another metric than accuracy."""
    metric = judging.metric
    if not comparisons.by_row:
        return [f"No run could be judged by {metric.title}.", *left_out]
    how = "a value an image" if metric.by_image else "a bootstrap of the test images within each class"
    better = "higher" if metric.sign > 0 else "lower"
    text = (
        f"Judged by {metric.title} ({better} is better): test_95, diff, mark, and the reference, which is the best by "
    )
    text += f"{'its name' if comparisons.given else f'val_{metric.column}'}. "
    if comparisons.claim == "model":
        scope = f"About these trained models, not their configurations: each row rests on one run ({how})."
    else:
        scope = f"About configurations: seeds and test images both count as draws ({how}, seeds crossed with it)."
    if level := level_of_marks(comparisons):
        scope += f" {level[0].upper()}{level[1:]}."
    return [text.replace("the best by its name", "named") + scope, *left_out]


def monitor_caution(runs: pd.DataFrame, metric: Metric) -> list[str]:
    """A line where runs chose their epoch by something else than they are judged by."""
    if "trainer.monitor" not in runs:
        return []
    done = runs[runs["status"] == "done"]
    monitors = done["trainer.monitor"].fillna("val_acc").value_counts()
    lines = []
    for name, count in monitors.items():
        if (same := MONITORS.get(str(name))) != metric.name:
            option = f" (--metric {same} judges by it)" if same in METRICS else ""
            lines.append(f"{count} runs chose their epoch by {name}{option}; {metric.title} is judged here")
    return lines
