"""The pictures of the page, as Plotly figures. Whatever text comes from files or config goes through `plain`."""

import html
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.model.model import ReportModel
from analysis.model.study import best_curve, importance
from analysis.model.table import distinct, row_keys
from analysis.model.wording import level_order
from analysis.read.run_folder import read, read_test_predictions
from analysis.read.study import StudyResult
from training.console.table import visible
from training.record import Record, read_record
from training.run_folder import HISTORY

# Okabe and Ito's colours, which colour-blind people tell apart; markers and dashes repeat the distinction
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#8C6D31", "#767676"]
DASHES = ["solid", "dash", "dot", "dashdot"]
SYMBOLS = ["circle", "square", "diamond", "triangle-up", "x", "star", "cross", "hexagon"]
DRAWN = 8  # runs whose curves are drawn at first; the legend shows the others
MOST_LEVELS = 8  # of a numeric setting, beyond which its axis is a scale
MOST_RUNS, MOST_POINTS = 200, 300  # of curves: runs, and epochs of each


def plain(text: object) -> str:
    """`text` for Plotly, which would read <b> and <a> in it."""
    return html.escape(visible(str(text)), quote=False)


def val_against_test(model: ReportModel) -> go.Figure | None:
    """Val against test accuracy (or what else rows are judged by) of every row, with the intervals of the table."""
    metric = model.judging.metric
    val, test = f"val_{metric.column}", f"test_{metric.column}"
    rows = model.rows[model.rows[test].notna() & model.rows[val].notna()]
    if rows.empty:
        return None
    figure = go.Figure()
    for number, (name, group) in enumerate(rows.groupby("model", sort=False, dropna=False)):
        figure.add_scatter(
            x=group[val].round(3),
            y=group[test].round(3),
            mode="markers",
            name=plain(name),
            text=[plain(model.labels[str(key)]) for key in group.index],
            hovertemplate="%{text}<br>val %{x:.2f}, test %{y:.2f}<extra></extra>",
            marker={"color": COLOURS[number % 8], "symbol": SYMBOLS[number % 8], "size": 9},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": (group["test_high"] - group[test]).round(3),
                "arrayminus": (group[test] - group["test_low"]).round(3),
                "thickness": 1,
                "width": 3,
            },
        )
    unit = ", per cent" if metric.scale > 1 else ""
    return _titled(figure, f"val {metric.title}{unit}", f"test {metric.title}{unit} (95 % interval)")


def curves(model: ReportModel) -> list[tuple[str, go.Figure]]:
    """Val accuracy, train loss and learning rate by epoch, of every run that has a history; best rows first."""
    wanted = {"val_acc": "val accuracy, per cent", "train_loss": "train loss", "lr": "learning rate"}
    figures = {name: go.Figure() for name in wanted}
    drawn = 0
    for label, folder in runs_in_order(model):
        try:
            history = pd.read_csv(folder / HISTORY, usecols=["epoch", *wanted]).dropna()
        except (OSError, ValueError):
            continue
        if history.empty:
            continue
        history = history.iloc[:: -(-len(history) // MOST_POINTS)]
        for name, figure in figures.items():
            figure.add_scatter(
                x=history["epoch"],
                y=[float(f"{value:.5g}") for value in history[name]],
                mode="lines+markers" if len(history) < 3 else "lines",
                name=plain(label),
                visible=True if drawn < DRAWN else "legendonly",
                line={"color": COLOURS[drawn % 8], "dash": DASHES[drawn // 8 % 4]},
            )
        drawn += 1
        if drawn == MOST_RUNS:
            break
    return [(wanted[name], _titled(figure, "epoch", wanted[name])) for name, figure in figures.items() if figure.data]


def parallel(model: ReportModel) -> go.Figure | None:
    """The settings that differ, and what came out, a line a row."""
    has_settings = model.rows.index.isin(model.settings.index)  # a soup has none
    rows = model.rows[model.rows["val_acc"].notna() & has_settings]
    settings = model.settings.loc[rows.index]
    settings = settings[[name for name in settings if settings[name].nunique() > 1]]
    if len(rows) < 2 or settings.empty:
        return None
    dimensions = [_dimension(str(name), settings[name]) for name in settings]
    for name in ("val_acc", "test_acc"):
        if rows[name].notna().all():
            dimensions.append({"label": name, "values": rows[name].round(3)})
    line = {"color": rows["val_acc"], "colorscale": "Cividis", "showscale": True, "colorbar": {"title": "val_acc"}}
    figure = go.Figure(go.Parcoords(dimensions=dimensions, line=line))
    return figure.update_layout(margin={"l": 70, "r": 40, "t": 60, "b": 30})


def _dimension(name: str, values: "pd.Series[Any]") -> dict[str, Any]:
    """An axis: numbers on a scale where there are many, else the levels in order."""
    levels = sorted(values.unique(), key=level_order)
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.notna().all() and len(levels) > MOST_LEVELS:
        if (numbers > 0).all() and numbers.max() > 20 * numbers.min():
            return {"label": plain(f"log10 {name}"), "values": np.log10(numbers.astype(float))}
        return {"label": plain(name), "values": numbers}
    ticks = [plain(f"{one:g}" if isinstance(one, float) else one) for one in levels]
    places = [levels.index(one) for one in values]
    return {"label": plain(name), "values": places, "tickvals": list(range(len(levels))), "ticktext": ticks}


def search(found: StudyResult) -> Iterator[tuple[str, go.Figure]]:
    """Optuna's own pictures of a study: history, importance, slices; and what more trials bring."""
    from optuna import visualization

    name = plain(found.objective)
    about: dict[str, Any] = {"target_name": name}
    if len(found.study.directions) > 1:
        about["target"] = lambda trial: float(trial.values[0])
    yield "optimization history", visualization.plot_optimization_history(found.study, **about)
    curve = best_curve(found)
    kind = "expected best of so many random trials" if found.random else "best so far"
    figure = go.Figure(go.Scatter(x=list(range(1, len(curve) + 1)), y=curve, line={"color": COLOURS[0]}))
    yield kind, _titled(figure, "trials", f"{kind}: {name}")
    if proportions := importance(found):
        bars = {"x": list(proportions.values()), "y": [plain(one) for one in proportions], "orientation": "h"}
        figure = go.Figure(go.Bar(**bars, marker={"color": COLOURS[0]}))
        yield "importance", _titled(figure, "share of the variance (fANOVA)", "")
    yield "slices", visualization.plot_slice(found.study, **about)


def confusion(model: ReportModel) -> tuple[go.Figure, Path] | None:
    """Test images of the reference row's first seed, by class and guess; and the folder of that run."""
    folder = reference_run(model)
    if folder is None:
        return None
    try:
        _, labels, logits = read_test_predictions(folder, read(folder))
    except ValueError:  # not there, or left out of all comparisons, which the cautions say
        return None
    guesses = logits.argmax(1)
    classes = [plain(name) for name in class_names(folder, int(max(labels.max(), guesses.max())) + 1)]
    counts = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(counts, (labels, guesses), 1)
    proportions = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    cells = {"text": counts, "texttemplate": "%{text}"} if len(classes) <= 20 else {}
    heat = go.Heatmap(
        z=proportions.round(3),
        x=classes,
        y=classes,
        colorscale="Cividis",
        customdata=counts,
        hovertemplate="%{y} taken for %{x}: %{customdata} (%{z:.0%})<extra></extra>",
        **cells,
    )
    figure = _titled(go.Figure(heat), "guess", "class")
    figure.update_xaxes(type="category").update_yaxes(type="category", autorange="reversed")
    return figure, folder


def reference_run(model: ReportModel) -> Path | None:
    """The folder of the reference row's done run with the lowest seed."""
    done = distinct(model.runs)
    done = done[(done["status"] == "done") & (row_keys(done) == model.comparisons.reference)]
    return Path(done.sort_values(["seed", "fold"])["folder"].iloc[0]) if len(done) else None


def class_names(folder: Path, count: int) -> list[str]:
    """The classes of a run; numbers where its record doesn't tell."""
    found = (read_record(folder) or Record()).data.classes
    if isinstance(found, list) and len(found) >= count:
        return [str(name) for name in found]
    return [str(number) for number in range(count)]


def runs_in_order(model: ReportModel) -> Iterator[tuple[str, Path]]:
    """Label and folder of every run, in the order of the table's rows."""
    single = distinct(model.runs)
    by_key = {str(key): group for key, group in single.groupby(row_keys(single), sort=False)}
    for key in map(str, model.rows.index):
        seeds = by_key.get(key, single.iloc[:0]).sort_values(["seed", "fold"])
        for run in seeds.itertuples():
            fold = "" if run.fold is pd.NA else " fold=" + str(run.fold)
            suffix = f" seed={run.seed}{fold}" if len(seeds) > 1 else ""
            yield f"{model.labels[key]}{suffix}", Path(str(run.folder))


def _titled(figure: go.Figure, x: str, y: str) -> go.Figure:
    legend = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom"}
    figure.update_layout(yaxis_title=y, margin={"l": 60, "r": 10, "t": 20, "b": 50}, legend=legend)
    return figure.update_xaxes(title={"text": x, "standoff": 12}, automargin=True)
