"""The pictures of the page, as Plotly figures. Whatever text comes from files or config goes through `plain`."""

import html
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.model.model import ReportModel
from analysis.model.study import Importance, best_curve, importance
from analysis.model.table import distinct, row_keys
from analysis.model.wording import level_order, level_texts
from analysis.read.run_folder import read, read_test_predictions
from analysis.read.study import StudyResult
from training.console.table import visible
from training.record import Record, read_record

# After Okabe and Ito, which colour-blind people tell apart; the light ones darker, for a contrast of 3 to both a white
# and a dark page. Markers repeat the distinction
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#C2699B", "#B07D00", "#3D94C9", "#8C6D31", "#767676"]
SYMBOLS = ["circle", "square", "diamond", "triangle-up", "x", "star", "cross", "hexagon"]
MOST_LEVELS = 8  # of a numeric setting, beyond which its axis is a scale
PIXELS_AN_AXIS = 105  # of parallel coordinates, below which their ticks run into each other
PIXELS_A_CLASS = 30  # of a confusion matrix


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
    return titled(figure, f"val {metric.title}{unit}", f"test {metric.title}{unit} (95 % interval)")


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
    line = {"color": rows["val_acc"], "colorscale": [[0, "#B07D00"], [1, "#0072B2"]]}  # seen on white and on dark
    figure = go.Figure(go.Parcoords(dimensions=dimensions, line=line, labelfont={"size": 12}, tickfont={"size": 11}))
    width = PIXELS_AN_AXIS * (len(dimensions) - 1) + 160
    return figure.update_layout(
        margin={"l": 80, "r": 80, "t": 50, "b": 20}, meta={"min_width": width, "height": 380, "opaque": True}
    )


def _dimension(name: str, values: "pd.Series[Any]") -> dict[str, Any]:
    """An axis: numbers on a scale where there are many, else the levels in order."""
    levels = sorted(values.unique(), key=level_order)
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.notna().all() and len(levels) > MOST_LEVELS:
        if (numbers > 0).all() and numbers.max() > 20 * numbers.min():
            powers = np.log10(numbers.astype(float))
            ends = range(int(np.ceil(powers.min())), int(np.floor(powers.max())) + 1)
            ticks = {"tickvals": list(ends), "ticktext": [f"{10.0**power:g}" for power in ends]} if ends else {}
            return {"label": plain(short_name(name)), "values": powers.round(4)} | ticks
        return {"label": plain(short_name(name)), "values": numbers}
    words = [plain(one) for one in level_texts(levels)]
    places = [levels.index(one) for one in values]
    return {"label": plain(short_name(name)), "values": places, "tickvals": list(range(len(levels))), "ticktext": words}


def short_name(name: str) -> str:
    """trainer.label_smoothing is label_smoothing on an axis."""
    return name.rpartition(".")[2]


def search(found: StudyResult) -> Iterator[tuple[str, go.Figure]]:
    """Optuna's own pictures of a study: history, importance, slices; and what more trials bring."""
    from optuna import visualization

    name = plain(found.objective)
    about: dict[str, Any] = {"target_name": name}
    if len(found.study.directions) > 1:
        about["target"] = lambda trial: float(trial.values[0])
    yield "optimization history", _of_optuna(visualization.plot_optimization_history(found.study, **about), 0)
    curve = best_curve(found)
    kind = "expected best of so many random trials" if found.random else "best so far"
    figure = go.Figure(go.Scatter(x=list(range(1, len(curve) + 1)), y=curve, line={"color": COLOURS[0]}))
    yield kind, titled(figure, "trials", name)
    if parts := importance(found):
        yield "importance: what the best tenth of the trials differs in", _importance(parts)
    settings = len({one for trial in found.trials for one in trial.params})
    yield "slices", _of_optuna(visualization.plot_slice(found.study, **about), 220 * settings)


def _of_optuna(figure: go.Figure, min_width: int) -> go.Figure:
    """A picture of Optuna's under our own title, its legend below; the page scrolls where it is wider."""
    legend = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom"}
    figure.for_each_xaxis(lambda axis: axis.update(dtick=1, exponentformat="e") if axis.type == "log" else None)
    figure.update_layout(title=None, margin={"l": 60, "r": 10, "t": 20, "b": 60}, legend=legend)
    return figure.update_layout(meta={"min_width": min_width}) if min_width else figure


def _importance(parts: Mapping[str, Importance]) -> go.Figure:
    """The part of each setting with its interval, the largest at the top."""
    per_cent = [[100 * one.part, 100 * one.low, 100 * one.high] for one in parts.values()]
    figure = go.Figure(
        go.Scatter(
            x=[part for part, _, _ in per_cent],
            y=[plain(short_name(name)) for name in parts],
            mode="markers",
            marker={"color": COLOURS[0], "size": 10},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [high - part for part, _, high in per_cent],
                "arrayminus": [part - low for part, low, _ in per_cent],
            },
        )
    )
    figure.update_yaxes(type="category", autorange="reversed", automargin=True)
    titled(figure, "importance, per cent (PED-ANOVA)", "").update_xaxes(range=[-2, 102])
    return figure.update_layout(meta={"height": 120 + 50 * len(parts)})


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
    heat.showscale = False  # the numbers are there
    figure = titled(go.Figure(heat), "guess", "class")
    # every name whole: as high and as wide as they are many, the page scrolls beyond
    figure.update_xaxes(type="category", tickangle=-90, dtick=1)
    figure.update_yaxes(type="category", autorange="reversed", automargin=True, dtick=1)
    longest = max(map(len, classes), default=0)
    size = PIXELS_A_CLASS * len(classes) + 8 * longest + 90
    return figure.update_layout(meta={"min_width": min(size + 40, 1600), "height": max(min(size, 1600), 320)}), folder


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


def runs_by_row(model: ReportModel) -> Iterator[tuple[str, list[Path]]]:
    """Label and run folders of every row, in the order of the table."""
    single = distinct(model.runs)
    by_key = {str(key): group for key, group in single.groupby(row_keys(single), sort=False)}
    for key in map(str, model.rows.index):
        seeds = by_key.get(key, single.iloc[:0]).sort_values(["seed", "fold"])
        yield model.labels[key], [Path(str(folder)) for folder in seeds["folder"]]


def runs_in_order(model: ReportModel) -> Iterator[tuple[str, Path]]:
    """Label and folder of every run, in the order of the table's rows."""
    for label, folders in runs_by_row(model):
        for folder in folders:
            yield f"{label} {folder.name}" if len(folders) > 1 else label, folder


def titled(figure: go.Figure, x: str, y: str) -> go.Figure:
    """`figure` with titles of its axes, and a legend below."""
    legend = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom"}
    figure.update_layout(yaxis_title=y, margin={"l": 60, "r": 10, "t": 20, "b": 50}, legend=legend)
    return figure.update_xaxes(title={"text": x, "standoff": 12}, automargin=True)
